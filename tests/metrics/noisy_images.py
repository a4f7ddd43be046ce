"""Images and noisy versions of them, in 2D and 3D."""

import torch


def pair(shape=(3, 1, 37, 52), gain=1.0, seed=0):
    """Smooth images with edges, each of another contrast, and noisy versions of them."""
    random = torch.Generator().manual_seed(seed)
    axes = [torch.linspace(0, 3 + i, length) for i, length in enumerate(shape[2:])]
    grid = torch.meshgrid(*axes, indexing="ij")
    clean = torch.sin(grid[0] * grid[1] + grid[-1]) + (grid[0] > 1) + 1.5
    contrast = torch.tensor([1.0, 2.5, 0.3])[: shape[0]].reshape(-1, *[1] * (len(shape) - 1))
    clean = clean.expand(shape) * contrast
    return gain * (clean + 0.2 * torch.randn(shape, generator=random)), gain * clean
