"""Diagnostics of the voxelwise networks for diffusion-weighted signals."""
