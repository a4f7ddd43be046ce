"""Diffusion-weighted signals: tensors, gradients, noise, priors."""
