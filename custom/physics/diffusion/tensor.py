"""The diffusion tensor: its signal, mean diffusivity and fractional anisotropy.

Tensors are six numbers ``Dxx, Dyy, Dzz, Dxy, Dxz, Dyz`` in µm²/ms (1e-3 mm²/s), b-values in ms/µm²
(1000 s/mm²), so that every number is of the order of one and single precision is enough.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "b_matrix",
    "fractional_anisotropy",
    "mean_diffusivity",
    "tensor_matrices",
    "tensor_signal",
]

_S_PER_MM2 = 1000.0  # one ms/µm²


def b_matrix(bvals: Tensor, bvecs: Tensor) -> Tensor:
    r"""Return the rows by which a tensor's six numbers become :math:`b\,g^T D\,g`.

    Args:
        bvals: b-values in s/mm².
        bvecs: Unit vectors; anything finite where ``bvals`` is 0.

    Shape:
        ``bvals``: ``(M,)``; ``bvecs``: ``(M, 3)``; output: ``(M, 6)`` in ms/µm².

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> b_matrix(torch.tensor([1000.0]), torch.tensor([[0.6, 0.8, 0.0]]))
        tensor([[0.3600, 0.6400, 0.0000, 0.9600, 0.0000, 0.0000]])
    """
    if bvals.ndim != 1 or bvecs.shape != (len(bvals), 3):
        raise ValueError(
            f"bvals must be (M,) and bvecs (M, 3), got {tuple(bvals.shape)} and "
            f"{tuple(bvecs.shape)}"
        )
    x, y, z = bvecs.unbind(1)
    # Mixed products twice: D is symmetric, and six numbers hold such an element once.
    products = torch.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], dim=1)
    return products * (bvals / _S_PER_MM2).unsqueeze(1)


def tensor_signal(tensors: Tensor, b_rows: Tensor) -> Tensor:
    r"""Return :math:`S / S_0 = \exp(-b\,g^T D\,g)`.

    Shape:
        ``tensors``: ``(*, 6)`` in µm²/ms; ``b_rows``: ``(M, 6)``; output: ``(*, M)``.

    Source:
        docs/methods/dwi_vae.md, "Simulation" (equation 5).
    """
    return torch.exp(-(tensors @ b_rows.T))


def mean_diffusivity(tensors: Tensor) -> Tensor:
    """Return a third of the trace, ``(*,)``, in the unit of ``tensors``, ``(*, 6)``."""
    return tensors[..., :3].mean(-1)


def fractional_anisotropy(tensors: Tensor) -> Tensor:
    r"""Return the fractional anisotropy, from 0 (isotropic) to 1 (a line).

    .. math:: \sqrt{\tfrac32}\, \|D - \bar D I\| / \|D\|

    Computed without eigenvalues. A tensor with negative eigenvalues can exceed 1, and is cut to 1;
    a tensor of zeros has 0.

    Shape:
        ``tensors``: ``(*, 6)``; output: ``(*,)``.

    Source:
        P. J. Basser, C. Pierpaoli, Journal of Magnetic Resonance B 111 (1996), 209-219.
    """
    diagonal, rest = tensors[..., :3], tensors[..., 3:]
    off = 2 * rest.square().sum(-1)
    deviation = (diagonal - diagonal.mean(-1, keepdim=True)).square().sum(-1) + off
    size = diagonal.square().sum(-1) + off
    ratio = 1.5 * deviation / size.clamp_min(torch.finfo(tensors.dtype).tiny)
    return ratio.sqrt().clamp(max=1.0)


def tensor_matrices(tensors: Tensor) -> Tensor:
    """Return symmetric matrices ``(*, 3, 3)`` of tensors ``(*, 6)``.

    Example:
        >>> tensor_matrices(torch.arange(1.0, 7.0))
        tensor([[1., 4., 5.],
                [4., 2., 6.],
                [5., 6., 3.]])
    """
    order = torch.tensor([0, 3, 4, 3, 1, 5, 4, 5, 2], device=tensors.device)
    return tensors[..., order].reshape(*tensors.shape[:-1], 3, 3)
