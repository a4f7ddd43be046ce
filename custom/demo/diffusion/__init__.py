"""Diffusion-weighted phantoms."""
