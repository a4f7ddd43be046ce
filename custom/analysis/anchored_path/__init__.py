"""Diagnostics of the anchored path diffusion (APDDM)."""
