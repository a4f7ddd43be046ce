"""Diagnostics of the 3D generative adversarial networks."""
