"""Colours and labels of figures with many lines, without overlaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from custom.evaluation.drawing import COLOURS, INK, SOFT

__all__ = ["label_ends", "styles_of"]

# Every fifth network has the next dash: ten colours alone are hard to tell apart.
_DASHES = ("-", (0, (4, 1.5)), (0, (1.5, 1)))
_ONE_DASH = 5  # networks
_CLASSICAL: dict[str, dict[str, Any]] = {
    "noisy": {"color": SOFT, "linestyle": ":"},
    "WLS": {"color": SOFT, "linestyle": "--"},
    "NLLS": {"color": INK, "linestyle": "--"},
    "DIPY WLS": {"color": SOFT, "linestyle": "-."},
    "DIPY NLLS": {"color": INK, "linestyle": "-."},
}
_LABEL_GAP = 0.048  # share of an axis between two labels


def styles_of(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return colour, line and marker of each estimator, the same in every figure."""
    networks = [name for name in dict.fromkeys(names) if name not in _CLASSICAL]
    found = {
        name: {
            "color": COLOURS[i % len(COLOURS)],
            "linestyle": _DASHES[i // _ONE_DASH % len(_DASHES)],
        }
        for i, name in enumerate(networks)
    }
    return {name: _CLASSICAL.get(name) or found[name] for name in dict.fromkeys(names)}


def label_ends(ax: Axes, ends: Mapping[str, tuple[tuple[float, float], str]]) -> None:
    """Write names beside the last points of lines, moved apart where they would overlap.

    Args:
        ax: Axes whose limits and scales are set.
        ends: Name to the point and its colour.
    """
    lower, upper = ax.get_ylim()
    logarithmic = ax.get_yscale() == "log"

    def share(value: float) -> float:
        value = min(max(value, lower), upper)
        if logarithmic:
            return float(np.log(value / lower) / np.log(upper / lower))
        return (value - lower) / (upper - lower)

    order = sorted(ends, key=lambda name: ends[name][0][1])
    places = [share(ends[name][0][1]) for name in order]
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + _LABEL_GAP)
    for i in reversed(range(len(places))):  # labels that were pushed above the top move down again
        most = 1.0 if i == len(places) - 1 else places[i + 1] - _LABEL_GAP
        places[i] = min(places[i], most)
    for name, place in zip(order, places, strict=True):
        (x, y), colour = ends[name]
        ax.annotate(
            name,
            xy=(x, min(max(y, lower), upper)),
            xytext=(1.03, place),
            textcoords="axes fraction",
            fontsize=8,
            color=colour,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.5,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
        )
