"""Which aims hold on acquired scans: of ``gan3d_sr_denoise``, and of the mice.

Every value is of ``docs/results/acquired.json`` and ``acquired_micro.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.acquired_cases import HELD, TRAINED
from benchmarks.acquired_measures import HEAD
from benchmarks.acquired_others import INTERIOR
from benchmarks.acquired_page import level
from benchmarks.publishing import aim

OURS, TOLD = "ours", "ours, told"
MOST_BEHIND = {OURS: 0.1, TOLD: 0.05}  # dB
LEAST_AHEAD = {0.0: 0.3, 0.03: 0.3, 0.06: 1.0}  # dB, told, by noise of a truncated k-space
RIVALS = {0.0: ("Lanczos",)}  # else:
NOISY_RIVALS = ("cubic", "Lanczos", "back-projection", "NLM + cubic")
LEAST_THICK, LEAST_CLEAN, LEAST_MICE = 1.0, 45.0, 0.8  # dB; thick slices: "decibels"
Gains = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]


def restoring(sr: Mapping[str, Any], thick: Mapping[str, Any]) -> str:
    """Return which aims of super-resolution hold, as a list in Markdown."""
    lines = []
    for name, most in MOST_BEHIND.items():
        for where, found in _means(sr["gains"], name).items():
            title = f"{name}, dB to the best classical method that knows no more, {where}"
            lines.append(aim(title, found, -most, least=True))
    ahead = {
        level(noise): sr["kspace"][level(noise)][TOLD]
        - max(sr["kspace"][level(noise)][rival] for rival in RIVALS.get(noise, NOISY_RIVALS))
        for noise in LEAST_AHEAD
    }
    for noise, least in LEAST_AHEAD.items():
        rivals = "Lanczos" if noise in RIVALS else "cubic, Lanczos, back-projection and NLM + cubic"
        title = f"{TOLD}, dB to {rivals}, k-space truncation with {level(noise)} noise"
        lines.append(aim(title, {level(noise): ahead[level(noise)]}, least, least=True))
    white = {name: sr["noise_gain"][name] for name in MOST_BEHIND}
    power = {
        f"{name}, {noise}": of[name] for noise, of in sr["power"].items() for name in MOST_BEHIND
    }
    lines.append(aim("gain of white noise", white, 1.0))
    lines.append(aim("power above the acquired band over the truth's", power, 1.0))
    for where, found in _means(thick["gains"], OURS).items():
        title = f"{OURS}, thick slices, dB as in the first line, {where}"
        lines.append(aim(title, found, LEAST_THICK, least=True))
    return _listed(lines)


def denoising(found: Mapping[str, Any]) -> str:
    """Return which aims of the denoiser hold, as a list in Markdown."""
    worst = {
        f"{one['scan']}, {level(one['noise'])}": one["worst"]
        for group in found["gains"].values()
        for one in group[OURS]
    }
    clean = {scan: one[HEAD.name] for scan, one in found["own_noise"].items()}
    repeats = {f"scan {n}": value for n, value in enumerate(found["repeat_errors"][OURS], 1)}
    to_best = "worst volume, dB to the best of NLM and BM4D, level estimated"
    back = "a volume without added noise comes back at so many dB"
    return _listed(
        (
            aim(to_best, worst, 0.0, least=True),
            aim(back, clean, LEAST_CLEAN, least=True),
            aim("error of a repeat over the single scan's", repeats, 1.0),
        )
    )


def mice(results: Path) -> str:
    """Return which aims of ``micro_mri_denoise`` hold, as a list in Markdown."""
    content = json.loads((results / "acquired_micro.json").read_text(encoding="utf-8"))
    parts = {f"noise x {part['noise']:g}": part for part in content["levels"]}
    ahead = {
        title: part["mean"][INTERIOR]["model"] - part["mean"][INTERIOR][part["best"]]
        for title, part in parts.items()
    }
    worst = {title: part[f"worst over bicubic, {INTERIOR}"] for title, part in parts.items()}
    return _listed(
        (
            aim("inside, dB to the best classical method", ahead, LEAST_MICE, least=True),
            aim("worst stack, dB to bicubic", worst, 0.0, least=True),
        )
    )


def _means(gains: Gains, name: str) -> dict[str, dict[str, float]]:
    """Return the mean difference under every condition, of each group of volumes."""
    where = {HELD: "unknown scanners", TRAINED: "a known scanner"}
    return {
        where[group]: {f"{one['operator']}, {level(one['noise'])}": one["mean"] for one in of[name]}
        for group, of in gains.items()
    }


def _listed(lines: Iterable[str]) -> str:
    """Return lines as a list in Markdown."""
    return "\n".join(f"- {line}" for line in lines)
