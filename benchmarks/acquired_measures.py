"""Measures of the page on acquired scans, and paired differences to the best classical method."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.acquired_cases import GAIN_FROM, Case, Truth
from benchmarks.acquired_methods import restored
from custom.evaluation.image_measures import psnr
from custom.evaluation.summary import mean_gain, spread
from custom.metrics.image_pairs import data_range_of
from custom.metrics.psnr import peak_signal_to_noise_ratio
from custom.metrics.unmeasured_band import unmeasured_band

Row = dict[str, Any]
HEAD = psnr(region="head")


def rows_of(cases: Iterable[Case], folders: Mapping[str, Path]) -> list[Row]:
    """Measure every case restored by every method."""
    return [
        {
            "scan": case.truth.scan,
            "subject": case.truth.subject,
            "group": case.truth.group,
            "operator": case.made_by,
            "noise": case.noise,
            "method": name,
            **measured(case, restored(folder, case)),
        }
        for case in cases
        for name, folder in folders.items()
        if not case.draw
    ]


def measured(case: Case, result: NDArray[np.float64]) -> Row:
    """Return the measures of one result.

    ``psnr``, ``psnr_head``: in dB, whole and in the head without its edge; the data range is the
    99.9th percentile of the reference. ``bias``: mean error over mean intensity in the head.
    ``power``, ``correlation``, after k-space truncation: see
    :func:`custom.metrics.unmeasured_band.unmeasured_band`.
    """
    truth, head = case.truth.values, case.truth.head
    pair = [torch.from_numpy(np.asarray(v, np.float64))[None, None] for v in (result, truth)]
    reach = _reach(case.truth)
    mask = torch.from_numpy(head)[None, None]
    found: Row = {
        "psnr": float(peak_signal_to_noise_ratio(pair[0], pair[1], reach)),
        HEAD.name: float(peak_signal_to_noise_ratio(pair[0], pair[1], reach, mask)),
        "bias": float((result - truth)[head].mean() / truth[head].mean()),
    }
    if case.made_by == "kspace":
        found["power"], found["correlation"] = unmeasured_band(result, truth, 2)
    return found


@lru_cache
def _reach(truth: Truth) -> torch.Tensor:
    """Return the data range of a volume."""
    return data_range_of(torch.from_numpy(truth.values)[None, None], (0, 99.9))


def noise_gains(cases: Sequence[Case], folder: Path) -> list[float]:
    """Return what becomes of white noise, one number a volume.

    The deviation, in the head, of the results of two draws of the noise from each other, over that
    of their inputs.
    """
    found = []
    for second in (case for case in cases if case.draw):
        (first,) = (
            case
            for case in cases
            if case.truth is second.truth
            and (case.operator, case.noise) == GAIN_FROM
            and not case.draw
        )
        difference = restored(folder, first) - restored(folder, second)
        deviation = float(difference[first.truth.head].std()) / np.sqrt(2)
        found.append(deviation / first.sigma)
    return found


def repeat_errors(cases: Iterable[Case], folder: Path) -> list[float]:
    """Return the error against the mean of the other repeats, over the single scan's own."""
    found = []
    for case in cases:
        head = case.truth.head
        errors = [(v - case.truth.values)[head] for v in (restored(folder, case), case.degraded())]
        found.append(float(np.linalg.norm(errors[0]) / np.linalg.norm(errors[1])))
    return found


def own_noise(case: Case, folder: Path) -> Row:
    """Return what a denoiser took for noise in a volume that nothing was added to.

    ``level``: its estimate, as a share of the tissue; ``taken``: deviation of what it took away in
    the head, over that level; ``psnr_head``: how near the result is to the volume.
    """
    sidecar = json.loads((folder / f"{case.name}_restored.json").read_text(encoding="utf-8"))
    sigma = float(sidecar["parameters"]["noise_level"])
    result = restored(folder, case)
    change = (result - case.degraded())[case.truth.head]
    return {
        "level": sigma / case.truth.tissue,
        "taken": float(np.sqrt(np.mean(change**2))) / sigma,
        HEAD.name: measured(case, result)[HEAD.name],
    }


def repeat_noise(cases: Sequence[Case]) -> Row:
    """Return what consecutive scans of a series differ by, in the head.

    ``correlation``: of the difference between neighbours in the plane, 0 for white noise; ``error``
    of the scans as a share of the tissue; ``white``: the part of it that second differences along
    all axes find; ``left``: the share of the error that stays if all of that is taken away.
    """
    found = []
    for first, second in pairwise(cases):
        head, tissue = first.truth.head, first.truth.tissue
        change = (second.degraded() - first.degraded()) / (np.sqrt(2) * tissue)
        near = [head & np.roll(head, 1, axis) for axis in (0, 1)]
        moved = [np.roll(change, 1, axis) for axis in (0, 1)]
        high = change
        for axis in range(3):
            high = ndimage.convolve1d(high, [1, -2, 1], axis) / np.sqrt(6)
        found.append(
            (
                np.mean(
                    [np.corrcoef(change[n], m[n])[0, 1] for n, m in zip(near, moved, strict=True)]
                ),
                np.sqrt(np.mean((first.degraded() - first.truth.values)[head] ** 2)) / tissue,
                np.median(np.abs(high[head])) / 0.6745,
            )
        )
    correlation, error, white = np.mean(found, axis=0).tolist()
    left = math.sqrt(1 - (white / error) ** 2)
    return {"correlation": correlation, "error": error, "white": white, "left": left}


def conditions(rows: Iterable[Row]) -> list[tuple[str, float]]:
    """Return every operator with every noise level, in order."""
    return list(dict.fromkeys((row["operator"], row["noise"]) for row in rows))


def mean_of(rows: Iterable[Row], method: str, name: str) -> float:
    """Return the mean of a measure of a method; infinite where every volume is as its reference."""
    found = spread(row[name] for row in rows if row["method"] == method)
    return float("inf") if found["mean"] is None else float(found["mean"])


def gain(rows: Sequence[Row], ours: str, opponents: Collection[str]) -> Row:
    """Compare a method with the best of others, by the PSNR in the head of the same volumes.

    Returns:
        ``best``: The opponent with the highest mean; ``mean`` of the differences, ``ci95`` over
        people (None with fewer than three), ``worst`` of the volumes, and its ``scan``.
    """
    best = max(opponents, key=lambda name: mean_of(rows, name, HEAD.name))
    named = [{**row, "method": "model"} if row["method"] == ours else row for row in rows]
    found = mean_gain(named, HEAD, best) or {}
    of = {(row["method"], row["scan"]): row[HEAD.name] for row in rows}
    single = {row["scan"]: of[ours, row["scan"]] - of[best, row["scan"]] for row in rows}
    scan = min(single, key=lambda name: single[name])
    return {
        "best": best,
        "mean": found["mean"],
        "ci95": found["ci95"],
        "worst": single[scan],
        "scan": scan,
    }


def would_use(mean: float, worst: float) -> str:
    """Return whether one would use a method for what it gains, in dB."""
    if mean < -0.05:
        return "no"
    return "yes" if mean > 0.1 and worst > -0.1 else "either"
