"""Tables of the page on acquired scans."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from benchmarks.acquired_cases import VARYING
from benchmarks.acquired_measures import HEAD, Row, conditions, gain, mean_of, would_use
from benchmarks.publishing import markdown

TEXTURE_NOISE = (0.0, 0.06)
Compared = Mapping[str, tuple[str, Collection[str]]]
"""Name of a comparison to our method and its opponents."""


def level(noise: float) -> str:
    """Return a noise level in words."""
    return "3 to 9 %, varying" if noise == VARYING else f"{100 * noise:.0f} %"


def of_condition(rows: Sequence[Row], operator: str, noise: float) -> list[Row]:
    """Return the rows of one operator and noise level."""
    return [row for row in rows if (row["operator"], row["noise"]) == (operator, noise)]


def psnr_table(rows: Sequence[Row], methods: Sequence[str]) -> str:
    """Return the mean PSNR in the head under every condition; the best is bold."""
    lines = []
    for operator, noise in conditions(rows):
        part = of_condition(rows, operator, noise)
        means = [mean_of(part, name, HEAD.name) for name in methods]
        shown = ["equal" if math.isinf(mean) else f"{mean:.2f}" for mean in means]
        best = max(mean for mean in means)
        bold = [
            f"**{text}**" if mean > best - 0.005 else text
            for text, mean in zip(shown, means, strict=True)
        ]
        lines.append([operator, level(noise), *bold])
    return markdown(["made by", "noise", *methods], lines)


def gains_of(rows: Sequence[Row], compared: Compared) -> dict[str, list[dict[str, Any]]]:
    """Compare our methods with the best of their opponents, under every condition."""
    return {
        name: [
            {"operator": operator, "noise": noise}
            | gain(of_condition(rows, operator, noise), ours, opponents)
            for operator, noise in conditions(rows)
        ]
        for name, (ours, opponents) in compared.items()
    }


def gain_table(gains: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Return the differences of our methods to the best classical one; last, whether to use it."""
    names = list(gains)
    lines = []
    for found in zip(*gains.values(), strict=True):
        cells = [_difference(one) for one in found]
        lines.append([found[0]["operator"], level(found[0]["noise"]), *cells])
    verdicts = [verdict(gains[name]) for name in names]
    lines.append(["**would I use it?**", "", *(f"**{text}**" for text in verdicts)])
    return markdown(["made by", "noise", *names], lines)


def verdict(gains: Sequence[Mapping[str, Any]]) -> str:
    """Return under how many conditions one would use a method."""
    counts = Counter(would_use(one["mean"], one["worst"]) for one in gains)
    if counts["no"]:
        word = "no" if counts["no"] >= counts["yes"] else "only where it wins"
    else:
        word = "yes" if counts["yes"] > counts["either"] else "it does no harm"
    return f"{word}: better under {counts['yes']}, equal {counts['either']}, worse {counts['no']}"


def _difference(one: Mapping[str, Any]) -> str:
    """Return a difference with its interval, its worst volume and whom it was measured against."""
    span = one["ci95"]
    between = f" ({span[0]:+.2f} to {span[1]:+.2f})" if span else ""
    return f"{one['mean']:+.2f}{between}, worst {one['worst']:+.2f}; {one['best']}"


def texture_table(
    rows: Sequence[Row], methods: Sequence[str], white_noise: Mapping[str, float]
) -> str:
    """Return gain of white noise, bias, and what lies above the acquired band.

    Args:
        rows: Of one group of volumes.
        methods: Their order.
        white_noise: Mean gain of each.
    """
    lines = []
    for name in methods:
        cells = [f"{white_noise[name]:.2f}"]
        for noise in TEXTURE_NOISE:
            of_kspace = of_condition(rows, "kspace", noise)
            cells += [
                f"{100 * mean_of(of_kspace, name, 'bias'):+.2f} %",
                f"{mean_of(of_kspace, name, 'power'):.2f}",
                f"{mean_of(of_kspace, name, 'correlation'):.2f}",
            ]
        lines.append([name, *cells])
    head = ["method", "noise gain"]
    for noise in ("no noise", "6 %"):
        head += [f"bias, {noise}", f"power above the band, {noise}", f"its correlation, {noise}"]
    return markdown(head, lines)


def whole_table(rows: Sequence[Row], methods: Sequence[str]) -> str:
    """Return the PSNR of each volume, whole and in the head, after k-space truncation alone."""
    part = of_condition(rows, "kspace", 0.0)
    lines = []
    for scan in dict.fromkeys(row["scan"] for row in part):
        of_scan = {row["method"]: row for row in part if row["scan"] == scan}
        cells = [f"{of_scan[m]['psnr']:.2f} / {of_scan[m][HEAD.name]:.2f}" for m in methods]
        lines.append([scan, of_scan[methods[0]]["group"], *cells])
    return markdown(["volume", "", *methods], lines)


def clean_table(found: Mapping[str, Mapping[str, float]]) -> str:
    """Return what was taken for noise in each volume that nothing was added to."""
    lines = [
        [scan, f"{100 * one['level']:.1f} %", f"{one['taken']:.2f}", f"{one[HEAD.name]:.2f}"]
        for scan, one in found.items()
    ]
    head = ["volume", "noise level found, of the tissue", "taken away, in levels", "PSNR, dB"]
    return markdown(head, lines)


def repeat_table(errors: Mapping[str, Sequence[float]]) -> str:
    """Return the error of each repeat against the mean of the others, 1 for the scan itself."""
    count = len(next(iter(errors.values())))
    # Nobody knows the level of a real scan: a method that can be told one was given an estimate.
    named = {name.replace("level told", "level estimated"): found for name, found in errors.items()}
    lines = [
        [name, *(f"{value:.3f}" for value in found), f"**{sum(found) / count:.3f}**"]
        for name, found in named.items()
    ]
    return markdown(["method", *(f"scan {n + 1}" for n in range(count)), "mean"], lines)
