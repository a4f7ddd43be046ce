"""Tables of ``benchmarks.motion_real``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.motion_real_measures import UNREFERENCED
from benchmarks.publishing import markdown, number

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
