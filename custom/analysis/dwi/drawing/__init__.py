"""Figures of the diagnostics of diffusion-weighted signals."""
