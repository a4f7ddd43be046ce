"""Summarise the rows of an evaluation: overall, by group, and the model against the others."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap

from custom.evaluation.measure import Measure

__all__ = ["mean_gain", "rows_at_lowest", "spread", "summarise", "summarise_seconds"]

Row = Mapping[str, Any]
_FEWEST_SUBJECTS = 3  # for an interval
_DRAWS = 10_000


def summarise(
    rows: Sequence[Row],
    measures: Iterable[Measure],
    groups: Sequence[str] = (),
    unit: Sequence[str] = ("scan",),
    subject: str = "subject",
    lowest: str | None = None,
    each: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Average the measures of each method over all units and over groups of them.

    Args:
        rows: One row for each unit and method, from :func:`~custom.evaluation.table.read_rows`.
        measures: Measures; those that no method has are left out.
        groups: Columns that define the groups.
        unit: Columns that identify a unit, the same for every method.
        subject: Column of the person or animal; where it is empty, the scan stands for it.
        lowest: A column of numbers: ``overall``, ``each`` and the gains use only the rows in
            which it is lowest, for example those without added noise.
        each: A column; ``each`` lists the measures for each of its values.
        seed: Seed of the bootstrap.

    Returns:
        ``methods``, ``measures``, ``overall``, ``groups``, ``model_against``, and ``each``, as in
        ``summary.json``.
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    known = [m for m in measures if any(row.get(m.name) is not None for row in rows)]
    names = [measure.name for measure in known]
    main = rows_at_lowest(rows, lowest)
    told = {} if each is None else {"each": _each(main, names, each)}
    gains = {
        other: {m.name: mean_gain(main, m, other, unit, subject, seed) for m in known}
        for other in methods
        if other != "model"
    }
    return {
        "methods": methods,
        "measures": {measure.name: measure.about() for measure in known},
        "overall": _by_method(main, methods, names, unit),
        "groups": {
            group: {
                value or "unknown": _by_method(
                    [row for row in rows if row[group] == value], methods, names, unit
                )
                for value in sorted({row[group] for row in rows}, key=_order)
            }
            for group in groups
        },
        **told,
        "model_against": gains,
    }


def rows_at_lowest(rows: Sequence[Row], column: str | None) -> Sequence[Row]:
    """Return the rows in which a column of numbers has its lowest value; all without a column."""
    if column is None:
        return rows
    first = min((row[column] for row in rows), key=_order)
    return [row for row in rows if row[column] == first]


def spread(values: Iterable[float]) -> dict[str, Any]:
    """Return ``mean``, sample deviation ``std`` and number ``n`` of the finite values.

    ``infinite`` is the number of the others, where there are any.
    """
    given = list(values)
    # The PSNR of an image equal to its reference is infinite, and so would be the mean.
    finite = [value for value in given if math.isfinite(value)]
    result: dict[str, Any] = {
        "mean": statistics.fmean(finite) if finite else None,
        "std": statistics.stdev(finite) if len(finite) > 1 else None,
        "n": len(finite),
    }
    return result | ({"infinite": len(given) - len(finite)} if len(finite) < len(given) else {})


def mean_gain(
    rows: Sequence[Row],
    measure: Measure,
    other: str,
    unit: Sequence[str] = ("scan",),
    subject: str = "subject",
    seed: int = 0,
) -> dict[str, Any] | None:
    """Compare the model with another method on the same units.

    Rows, unit, subject and seed are those of :func:`summarise`.

    Returns:
        :func:`spread` of the gains (positive: the model is better); ``better``, the number of
        units with a gain among ``of``; ``subjects``; ``ci95``: range of the mean in 95 % of 10,000
        draws of as many subjects, each with all its units (None with fewer than three subjects:
        units of one subject are not independent). None for a measure without a better direction.
    """
    if measure.better == "target":
        return None
    sign = 1 if measure.better == "higher" else -1
    values = {(row["method"], *(row[name] for name in unit)): row[measure.name] for row in rows}
    gains: dict[str, list[float]] = {}
    for row in rows:
        if row["method"] != "model" or row[measure.name] is None:
            continue
        theirs = values.get((other, *(row[name] for name in unit)))
        gain = math.nan if theirs is None else sign * (row[measure.name] - theirs)
        if math.isfinite(gain):
            gains.setdefault(row.get(subject) or row["scan"], []).append(gain)
    found = [gain for of_subject in gains.values() for gain in of_subject]
    return spread(found) | {
        "better": sum(gain > 0 for gain in found),
        "of": len(found),
        "subjects": len(gains),
        "ci95": _interval(list(gains.values()), seed),
    }


def summarise_seconds(
    rows: Sequence[Mapping[str, Any]], per: str = "scan"
) -> dict[str, dict[str, Any]]:
    """Return the time for a scan, or for one of its slices, by method.

    Medians, since a scan restored while the machine did something else is no measure of a method.

    Args:
        rows: One row for each scan and method, the scans in the same order for all, as
            :class:`~custom.evaluation.table.Times` collects them.
        per: ``scan`` or ``slice``.

    Returns:
        Method, the model first, to ``median``, ``min`` and ``max`` of the seconds, ``scans``, and,
        except for the model itself, ``model_ratio``: the median over scans of the model's time
        divided by the method's.
    """
    taken: dict[str, list[float]] = {}
    for row in sorted(rows, key=lambda row: row["method"] != "model"):
        parts = row["slices"] if per == "slice" else 1
        taken.setdefault(row["method"], []).append(row["seconds"] / parts)
    result: dict[str, dict[str, Any]] = {}
    for method, seconds in taken.items():
        result[method] = {
            "median": statistics.median(seconds),
            "min": min(seconds),
            "max": max(seconds),
            "scans": len(seconds),
        }
        if method != "model":
            ratios = [model / other for model, other in zip(taken["model"], seconds, strict=True)]
            result[method]["model_ratio"] = statistics.median(ratios)
    return result


def _interval(gains: Sequence[Sequence[float]], seed: int) -> list[float] | None:
    """Return the interval of the mean over units, of a bootstrap over subjects."""
    if len(gains) < _FEWEST_SUBJECTS:
        return None

    def mean(sums: NDArray[Any], counts: NDArray[Any], axis: int) -> NDArray[Any]:
        return np.asarray(sums.sum(axis) / counts.sum(axis))

    # Sums and counts drawn together: a subject brings all its units, and the mean is over units.
    interval = bootstrap(
        ([sum(of) for of in gains], [len(of) for of in gains]),
        mean,
        paired=True,
        n_resamples=_DRAWS,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return [float(interval.low), float(interval.high)]


def _by_method(
    rows: Sequence[Row], methods: Sequence[str], names: Sequence[str], unit: Sequence[str]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Return method to measure to :func:`spread`; rows without the measure do not count.

    Units of which one method has an infinite value do not count for any: means of different units
    cannot be compared. ``left_out`` is their number, ``infinite`` that of the method's own.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {method: {} for method in methods}
    for name in names:
        given = [row for row in rows if row[name] is not None]
        infinite = [row for row in given if not math.isfinite(row[name])]
        left_out = {tuple(row.get(key) for key in unit) for row in infinite}
        for method in methods:
            own = [row for row in given if row["method"] == method]
            kept = [row for row in own if tuple(row.get(key) for key in unit) not in left_out]
            found[method][name] = spread(row[name] for row in kept)
            if left_out:
                equal = sum(row["method"] == method for row in infinite)
                found[method][name] |= {"left_out": len(own) - len(kept), "infinite": equal}
    return found


def _each(rows: Sequence[Row], names: Sequence[str], column: str) -> dict[str, Any]:
    """Return value of a column to method to measure to number; None if JSON cannot hold it."""
    found: dict[str, Any] = {}
    for row in rows:
        values = {name: row[name] for name in names}
        found.setdefault(row[column], {})[row["method"]] = {
            name: value if value is not None and math.isfinite(value) else None
            for name, value in values.items()
        }
    return found


def _order(value: str) -> tuple[int, float, str]:
    """Return the sort key of a value of a column: numbers by size, then words, then empty."""
    try:
        return (0, float(value), "")
    except ValueError:
        return (1 if value else 2, 0.0, value)
