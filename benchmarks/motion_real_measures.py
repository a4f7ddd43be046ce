"""Measures of ``benchmarks.motion_real``, with a reference and without one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from custom.metrics.image_pairs import data_range_of
from custom.metrics.psnr import peak_signal_to_noise_ratio
from custom.metrics.slice_quality import entropy_focus, measure_stack
from custom.metrics.ssim import structural_similarity

Volume = NDArray[Any]
Row = dict[str, Any]
UNREFERENCED = ("entropy", "focus", "gradient_entropy", "ghosting", "correlation")


def slices_compared(
    truth: Volume, before: Volume, after: Mapping[str, Volume], about: Mapping[str, Any]
) -> list[Row]:
    """Return PSNR and SSIM of every slice before, and after each of several methods.

    Args:
        truth: ``(X, Y, S)``; the data range is its whole.
        before: As it was given.
        after: Name of a method to its result.
        about: What each row says besides.
    """
    reach = data_range_of(torch.from_numpy(truth.astype(np.float64))[None, None])
    found: list[Row] = [{**about, "slice": number} for number in range(truth.shape[2])]
    for name, values in {"before": before, **after}.items():
        pair = [torch.from_numpy(np.moveaxis(v, 2, 0)[:, None].copy()) for v in (values, truth)]
        for measure in (peak_signal_to_noise_ratio, structural_similarity):
            key = "psnr" if measure is peak_signal_to_noise_ratio else "ssim"
            for row, value in zip(found, measure(*pair, reach).tolist(), strict=True):
                row[f"{key}_{name}"] = value
    return found


def gains(rows: Iterable[Row], method: str = "ours") -> Row:
    """Return the mean gain over slices that moved, the share that gains, and the worst volume."""
    moved = [row for row in rows if np.isfinite(row["psnr_before"])]
    gain = {id(row): row[f"psnr_{method}"] - row["psnr_before"] for row in moved}
    volumes = dict.fromkeys(row["volume"] for row in moved)
    by_volume = {
        name: float(np.mean([gain[id(row)] for row in moved if row["volume"] == name]))
        for name in volumes
    }
    worst = min(by_volume, key=lambda name: by_volume[name])
    return {
        "slices": len(moved),
        "psnr_before": float(np.mean([row["psnr_before"] for row in moved])),
        "ssim_before": float(np.mean([row["ssim_before"] for row in moved])),
        "psnr": float(np.mean(list(gain.values()))),
        "ssim": float(np.mean([row[f"ssim_{method}"] - row["ssim_before"] for row in moved])),
        "better": float(np.mean([value > 0 for value in gain.values()])),
        "worst": by_volume[worst],
        "worst_volume": worst,
    }


def harm(pairs: Sequence[tuple[Volume, Volume]]) -> Row:
    """Return what became of still volumes: the mean and least PSNR to them, slices kept as is.

    Args:
        pairs: Each volume before and after; the PSNR is of whole volumes.
    """
    found, kept = [], []
    for before, after in pairs:
        one, other = (torch.from_numpy(v.astype(np.float64))[None, None] for v in (after, before))
        found.append(float(peak_signal_to_noise_ratio(one, other, data_range_of(other))))
        kept += (before == after).all(axis=(0, 1)).tolist()
    finite = [value for value in found if np.isfinite(value)]
    return {
        "psnr": float(np.mean(finite)) if finite else None,
        "least": min(finite, default=None),
        "kept": float(np.mean(kept)),
    }


def gradient_entropy(image: Volume) -> float:
    """Return the entropy focus of the gradient's magnitude: low where few edges are sharp."""
    return entropy_focus(np.hypot(*np.gradient(image.astype(float))))


def without_reference(stack: Volume, phase_axis: int | None = None) -> Row:
    """Return the median over slices of measures that need no reference.

    Args:
        stack: ``(X, Y, S)``; slices without at least a twentieth of tissue are left out.
        phase_axis: For the ghosts.
    """
    bright = stack > 0.25 * stack[stack > 0].mean()
    filled = [number for number in range(stack.shape[2]) if bright[..., number].mean() > 0.05]
    measured = measure_stack(stack, phase_axis)
    found: dict[str, list[float]] = {name: [] for name in UNREFERENCED}
    for number in filled:
        found["gradient_entropy"].append(gradient_entropy(stack[..., number]))
        for name in UNREFERENCED:
            if name != "gradient_entropy":
                found[name].append(getattr(measured[number], name))
    return {name: _median(values) for name, values in found.items()}


def _median(values: Sequence[float]) -> float | None:
    """Return the median of what could be measured."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.median(finite)) if finite else None


def change(before: Volume, after: Volume) -> float:
    """Return the norm of what was changed over that of the volume."""
    return float(np.linalg.norm(after - before) / np.linalg.norm(before))
