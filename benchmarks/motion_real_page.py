"""Tables and pictures of ``benchmarks.motion_real``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.acquired_cases import Array
from benchmarks.motion_real_measures import UNREFERENCED
from benchmarks.publishing import markdown, number, save_small
from custom.evaluation.drawing import empty_figure, show_slice

Found = Mapping[str, Any]
_WORDS = {
    "entropy": "entropy",
    "focus": "gradient energy",
    "gradient_entropy": "entropy of the gradient",
    "ghosting": "ghosts",
    "correlation": "likeness of neighbours",
    "distance": "distance to the still mean",
}


def condition_table(found: Mapping[str, Found]) -> str:
    """Return gain and harm under every condition."""
    lines = []
    for name, one in found.items():
        still = one["still"]
        psnr = "as it was" if still["psnr"] is None else f"{still['psnr']:.1f}"
        lines.append(
            [
                *(name, one["slices"], f"{one['psnr_before']:.2f}", f"{one['psnr']:+.2f}"),
                *(f"{one['ssim_before']:.3f}", f"{one['ssim']:+.3f}"),
                *(f"{100 * one['better']:.0f} %", f"{one['worst']:+.2f}"),
                *(psnr, f"{100 * still['kept']:.0f} %"),
            ]
        )
    head = ["motion or image", "slices", "PSNR, dB", "gain, dB", "SSIM", "gain", "slices better"]
    return markdown([*head, "worst volume, dB", "still head: PSNR to it, dB", "slices kept"], lines)


def denoiser_table(found: Mapping[str, Found]) -> str:
    """Return the gains of several methods on the same slices."""
    lines = [
        [
            *(name, f"{one['psnr']:+.2f}", f"{one['ssim']:+.3f}"),
            *(f"{100 * one['better']:.0f} %", f"{one['worst']:+.2f}"),
        ]
        for name, one in found.items()
    ]
    head = ["method", "gain in PSNR, dB", "in SSIM", "slices better", "worst volume, dB"]
    return markdown(head, lines)


def scan_table(found: Mapping[str, Found]) -> str:
    """Return the measures without a reference of T1-weighted volumes."""
    names = [name for name in UNREFERENCED if name not in ("ghosting", "correlation")]
    lines = [
        [
            scan,
            *(_pair(one, name) for name in names),
            f"{100 * one['change']:.1f} %",
            f"{100 * one['kept']:.0f} %",
        ]
        for scan, one in found.items()
    ]
    return markdown(["volume", *(_WORDS[name] for name in names), "changed", "slices kept"], lines)


def series_table(found: Mapping[str, Found]) -> str:
    """Return the measures of each volume of the echo-planar series."""
    names = ("correlation", "ghosting", "distance")
    lines = [
        [
            *(scan, "still" if one["still"] else "", f"{one['alike']:.2f}"),
            *(_pair(one, name) for name in names),
            f"{100 * one['change']:.1f} %",
            f"{100 * one['kept']:.0f} %",
        ]
        for scan, one in found.items()
    ]
    words = [_WORDS[name] for name in names]
    return markdown(["volume", "", "most alike another", *words, "changed", "slices kept"], lines)


def _pair(one: Found, name: str) -> str:
    """Return a measure before and after; and of the still head, where it is known."""
    text = f"{number(one['before'][name])} / {number(one['after'][name])}"
    return (
        f"{text} (still: {number(one['still'][name])})"
        if "still" in one and isinstance(one["still"], dict)
        else text
    )


def draw_pairs(
    shown: Sequence[tuple[str, Sequence[Array]]],
    target: Path,
    work: Path,
    pixel: tuple[float, float] = (1, 1),
) -> None:
    """Draw a row for each pair: before, after, their difference; where it is known, the truth."""
    width, height = shown[0][1][0].shape
    columns = max(len(images) for _, images in shown) + 1
    tall = 3 * height * pixel[1] / (width * pixel[0]) + 0.4
    figure = empty_figure(3 * columns, tall * len(shown))
    axes = figure.subplots(len(shown), columns, squeeze=False)
    for row, (title, images) in zip(axes, shown, strict=True):
        white = float(np.percentile(images[0], 99.5))
        style: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": white}
        difference = {"cmap": "RdBu_r", "vmin": -white / 5, "vmax": white / 5}
        names = ["before", "after", "change, to a fifth of white", "without motion"]
        order = [images[0], images[1], images[1] - images[0], *images[2:]]
        for ax, name, image in zip(row, names, order, strict=False):
            show_slice(ax, image, pixel, **(difference if name.startswith("change") else style))
            ax.set_title(name, fontsize=9)
        row[0].set_title(f"{title}\n{names[0]}", fontsize=9)
    drawn = work / f"{target.stem}.png"
    figure.savefig(drawn, dpi=100)
    save_small(drawn, target)
