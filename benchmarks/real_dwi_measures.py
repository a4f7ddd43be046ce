"""What can be said of denoised diffusion series without any truth, by a second acquisition."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from custom.physics.diffusion.gradient_table import GradientTable
from custom.physics.diffusion.tensor import fractional_anisotropy, mean_diffusivity
from custom.physics.diffusion.tensor_fit import fit_log_linear

Array = NDArray[np.float32]


def judge(
    noisy: tuple[Array, Array],
    pair: tuple[Array, Array],
    table: GradientTable,
    inside: NDArray[np.bool_],
    weighted: NDArray[np.bool_],
) -> dict[str, float]:
    """Return every figure of one method."""
    kinds = {"weighted": weighted, "b0": table.unweighted}
    row = {
        f"error_{kind}": against_the_other(
            tuple(values[..., which] for values in noisy),
            tuple(values[..., which] for values in pair),
            inside,
        )["error"]
        for kind, which in kinds.items()
    }
    first, second = (scalar_maps(values, table, inside) for values in pair)
    for name in ("fa", "md"):
        row[f"{name}_difference"] = float(np.abs(first[name] - second[name]).mean())
        row[f"{name}_correlation"] = float(np.corrcoef(first[name], second[name])[0, 1])
        row[f"{name}_mean"] = float((first[name].mean() + second[name].mean()) / 2)
    residual = (noisy[0] - pair[0])[..., weighted]
    if residual.any():
        row["residual_correlation"] = neighbour_correlation(residual, inside)
    return row


def scalar_maps(values: Array, table: GradientTable, inside: NDArray[np.bool_]) -> dict[str, Array]:
    """Return fractional anisotropy and mean diffusivity of voxels, by weighted least squares."""
    signals = torch.from_numpy(np.ascontiguousarray(values[inside]))
    unit = signals[:, torch.from_numpy(table.unweighted)].mean(1, keepdim=True).clamp_min(1e-3)
    tensors, _ = fit_log_linear(signals / unit, table.b_rows, scale_known=False)
    return {
        "fa": fractional_anisotropy(tensors).numpy(),
        "md": mean_diffusivity(tensors).numpy(),
    }


def neighbour_correlation(residual: Array, inside: NDArray[np.bool_]) -> float:
    """Return the mean correlation of a residual with its neighbours in plane; white noise has 0."""
    found = []
    for axis in (0, 1):
        first = np.take(residual, range(residual.shape[axis] - 1), axis)
        second = np.take(residual, range(1, residual.shape[axis]), axis)
        both = np.take(inside, range(inside.shape[axis] - 1), axis)
        both = both & np.take(inside, range(1, inside.shape[axis]), axis)
        found += [
            np.corrcoef(first[..., k][both], second[..., k][both])[0, 1]
            for k in range(residual.shape[-1])
        ]
    return float(np.mean(found))


def against_the_other(
    noisy: tuple[Array, Array], restored: tuple[Array, Array], inside: NDArray[np.bool_]
) -> dict[str, float]:
    """Judge two restored repeats by the noisy ones.

    ``error`` is the mean of ``(restored_1 - noisy_2)^2 - noise^2`` over volumes and voxels, in
    units of ``noise^2``, with ``noise^2`` half of the mean squared difference of the noisy
    repeats: 1 for the noisy series, 0 for the truth. The noise of the second repeat is independent
    of the first.
    """
    first, second = (values[inside].astype(float) for values in noisy)
    noise = ((first - second) ** 2).mean() / 2
    pairs = ((restored[0], second), (restored[1], first))
    errors = [((made[inside] - other) ** 2).mean() - noise for made, other in pairs]
    return {"error": float(np.mean(errors) / noise)}
