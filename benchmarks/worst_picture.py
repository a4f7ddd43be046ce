"""Picture of the worst case of a model, beside the best of the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.publishing import save_small
from custom.evaluation.drawing import empty_figure, show_slice


def draw_worst(shown: Mapping[str, NDArray[Any]], target: Path, work: Path) -> None:
    """Draw the middle slices of volumes, and errors of those that lie on the first one's grid.

    Args:
        shown: By title; the first is the reference.
        target: The picture, a JPEG.
        work: Folder for what is drawn first.
    """
    first = next(iter(shown))
    truth = shown[first]
    figure = empty_figure(3.2 * len(shown), 6.4)
    axes = figure.subplots(2, len(shown))
    white = float(np.percentile(truth, 99.5))
    for (title, values), (above, below) in zip(shown.items(), axes.T, strict=True):
        show_slice(above, values[:, :, values.shape[2] // 2], (1, 1), cmap="gray", vmax=white)
        above.set_title(title)
        if values.shape == truth.shape and title != first:
            error = (values - truth)[:, :, truth.shape[2] // 2]
            style = {"cmap": "RdBu_r", "vmin": -white / 5, "vmax": white / 5}
            show_slice(below, error, (1, 1), **style)
            below.set_title("error, to a fifth of white")
        else:
            below.set_axis_off()
    drawn = work / f"{target.stem}.png"
    figure.savefig(drawn, dpi=100)
    save_small(drawn, target)
