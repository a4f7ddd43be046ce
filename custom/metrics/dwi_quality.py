"""Errors of diffusion signals, and of the tensors refitted from them."""

from __future__ import annotations

import torch
from torch import Tensor

from custom.physics.diffusion.tensor import fractional_anisotropy, mean_diffusivity
from custom.physics.diffusion.tensor_fit import fit_log_linear

__all__ = ["coverage", "refit_tensors", "signal_measures", "tensor_measures"]

_CHUNK = 65536
# At 1e-4 values near 0 rule the MSE of noisy D: 1.84e-4 instead of 2.86e-6 (mm²/s)².
_FLOOR = 0.01  # of S_0


def signal_measures(restored: Tensor, truth: Tensor) -> dict[str, float]:
    r"""Return the errors of signals in units of ``S_0``.

    ``mse`` is the mean square of the difference, ``nrmse`` is :math:`\|x - y\| / \|y\|` over all
    values together.

    Shape:
        ``restored``, ``truth``: ``(n, M)``.
    """
    square = (restored - truth).square().mean()
    size = truth.square().mean().clamp_min(torch.finfo(truth.dtype).tiny)
    return {"mse": float(square), "nrmse": float((square / size).sqrt())}


def refit_tensors(signals: Tensor, b_rows: Tensor) -> Tensor:
    """Fit tensors by weighted log-linear least squares, with ``S_0`` known and a floor of 0.01.

    Args:
        signals: Signals in units of the true ``S_0``.
        b_rows: b-matrix rows, from :func:`custom.physics.diffusion.tensor.b_matrix`.

    Shape:
        ``signals``: ``(n, M)``; ``b_rows``: ``(M, 6)``; output: ``(n, 6)`` in µm²/ms.

    Source:
        docs/methods/dwi_vae.md, "Evaluation": of the usual refits the nearest to the paper's
        tables.
    """
    rows = b_rows.to(signals)
    parts = [fit_log_linear(part, rows, floor=_FLOOR)[0] for part in torch.split(signals, _CHUNK)]
    return torch.cat(parts)


def tensor_measures(found: Tensor, truth: Tensor) -> dict[str, float]:
    """Return the errors of tensors, ``(n, 6)`` in µm²/ms.

    ``d_mse`` and ``d_mae`` are means over the six elements, ``md_mae`` is that of the mean
    diffusivity, in µm²/ms, ``fa_mae`` that of the fractional anisotropy.
    """
    # The mean diffusivity is linear in the tensor, the anisotropy is not.
    off = found - truth
    return {
        "d_mse": float(off.square().mean()),
        "d_mae": float(off.abs().mean()),
        "md_mae": float(mean_diffusivity(off).abs().mean()),
        "fa_mae": float((fractional_anisotropy(found) - fractional_anisotropy(truth)).abs().mean()),
    }


def coverage(restored: Tensor, truth: Tensor, deviation: Tensor, times: float) -> float:
    """Return the share of true values within ``times`` deviations of the restored ones.

    Shape:
        All ``(n, M)``.
    """
    return float(((restored - truth).abs() <= times * deviation).double().mean())
