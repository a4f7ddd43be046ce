"""Whether a scan's own spectrum tells how it was made, and what a network gains that is told so.

A scan is described by how its spectrum falls towards the end of the band: logarithms of the power
along each axis and in the corners, relative to that at a quarter of the band. A normal distribution
of these for each operator and noise level, with one covariance for all, is taken from the real
volumes of the training; those of the scanner that is judged are left out. An estimate counts where
its probability is 95 % or more; elsewhere the operator stays unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, special

from benchmarks.acquired_cases import NOISE, Case, truths
from benchmarks.acquired_measures import HEAD, measured
from benchmarks.acquired_methods import AS_TOLD, restored, run_ours
from benchmarks.acquired_page import level
from benchmarks.publishing import markdown
from benchmarks.real_brains import LABEL_MAPS, SOURCES
from custom.physics.acquisition import OPERATORS, TRAINING_OPERATORS

SURE = 0.95
UNSURE = "unsure"
_CROP = 80
_SHRINKAGE = 0.1  # of the covariance towards its diagonal
_FROM = np.arange(0.2, 1.0, 0.1)  # shares of the band along an axis; the first is the reference
_CORNERS = (1.0, 1.2, 1.4)
Array = NDArray[np.float64]


def falls(low: NDArray[Any]) -> Array:
    """Return how the spectrum of a volume falls (see the module)."""
    windows = np.ix_(*(np.hanning(size + 2)[1:-1] for size in low.shape))
    window = windows[0] * windows[1] * windows[2]
    mean = (low * window).sum() / window.sum()
    power = np.abs(fft.fftn((low - mean) * window)) ** 2
    along = np.broadcast_arrays(*np.ix_(*(2 * np.abs(fft.fftfreq(n)) for n in low.shape)))
    radius = np.sqrt(np.square(along).sum(axis=0))
    found = []
    for axis in along:
        near = axis > 0.8 * radius
        shells = [power[near & (axis >= a) & (axis < a + 0.1001)].mean() for a in _FROM]
        found.append(np.log(shells))
    corners = [np.log(power[(radius >= a) & (radius < a + 0.15)].mean()) for a in _CORNERS]
    made = np.concatenate([*found, corners])
    return np.asarray(made - np.mean([one[0] for one in found]))


def likeliest(known: Mapping[tuple[str, float], Array], given: Array) -> tuple[str, float]:
    """Return the likeliest operator, whatever the noise, by examples of each; and how likely."""
    means = {key: examples.mean(axis=0) for key, examples in known.items()}
    rest = np.concatenate([examples - means[key] for key, examples in known.items()])
    covariance = rest.T @ rest / (len(rest) - len(known))
    covariance += _SHRINKAGE * (np.diag(np.diag(covariance)) - covariance)
    away = [given - mean for mean in means.values()]
    parts = special.softmax([-0.5 * one @ np.linalg.solve(covariance, one) for one in away])
    found: Counter[str] = Counter()
    for (operator, _), part in zip(known, parts, strict=True):
        found[operator] += float(part)
    return found.most_common(1)[0]


def estimates(data: Path, cases: Sequence[Case]) -> list[tuple[str, float]]:
    """Return the likeliest operator of each case, and how likely it is."""
    sources = [s for s in SOURCES if s.split == "training" and s.file not in LABEL_MAPS]
    kinds = [(operator, noise) for operator in TRAINING_OPERATORS for noise in NOISE]
    learnt = [
        [falls(Case(truth, *kind).degraded()) for kind in kinds]
        for truth in truths(data, _CROP, sources)
    ]
    scanner = {source.subject: source.scanner for source in SOURCES}
    found = []
    for case in cases:
        own = scanner[case.truth.subject]
        others = [m for m, s in zip(learnt, sources, strict=True) if s.scanner != own]
        known = dict(zip(kinds, np.swapaxes(others, 0, 1), strict=True))
        found.append(likeliest(known, falls(case.degraded())))
    return found


def operator_part(data: Path, work: Path, cases: Sequence[Case], blind: Path) -> dict[str, Any]:
    """Return the table of estimates, and that of what a network gains that is told them."""
    cases = [case for case in cases if not case.draw]
    found = estimates(data, cases)
    taken = [name if sure >= SURE else UNSURE for name, sure in found]
    made = {UNSURE: blind}
    for name in set(taken) - {UNSURE}:
        told = f"acquired_by: {AS_TOLD.get(name, name)}"
        chosen = [case for case, other in zip(cases, taken, strict=True) if other == name]
        made[name] = run_ours("ours, estimated", told, chosen, work)
    gains: dict[tuple[str, float], list[float]] = {}
    for case, name in zip(cases, taken, strict=True):
        pair = (measured(case, restored(folder, case)) for folder in (blind, made[name]))
        before, after = (one[HEAD.name] for one in pair)
        gains.setdefault((case.operator, case.noise), []).append(after - before)
    right = [name == case.operator for case, (name, _) in zip(cases, found, strict=True)]
    sure = [one for one, name in zip(right, taken, strict=True) if name != UNSURE]
    changes = [
        [operator, *(f"{np.mean(one):+.2f}, worst {min(one):+.2f}" for one in of_noise)]
        for operator in OPERATORS
        for of_noise in [[gains[operator, noise] for noise in NOISE]]
    ]
    return {
        "confusion": _confusion(cases, [name for name, _ in found], taken),
        "gains": markdown(["made by", *(f"noise {level(noise)}" for noise in NOISE)], changes),
        "right": f"{sum(right)} of {len(right)}",
        "least": SURE,
        "sure": f"{sum(sure)} of {len(sure)}",
    }


def _confusion(cases: Sequence[Case], likely: Sequence[str], taken: Sequence[str]) -> str:
    """Return how often each operator was taken for which: all, and in brackets the sure ones."""
    lines = []
    for operator in OPERATORS:
        rows = [i for i, case in enumerate(cases) if case.operator == operator]
        counts = [Counter(names[i] for i in rows) for names in (likely, taken)]
        cells = [f"{counts[0][name]} ({counts[1][name]})" for name in TRAINING_OPERATORS]
        lines.append([operator, *("" if cell == "0 (0)" else cell for cell in cells)])
    return markdown(["made by / taken for", *TRAINING_OPERATORS], lines)
