"""Tables of any evaluation in Markdown, from its ``summary.json`` alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.publishing import markdown
from custom.evaluation.measure import best_method, format_value, title

Summary = Mapping[str, Any]


def about_data(summary: Summary) -> str:
    """Return one line on what was evaluated."""
    about = summary["dataset"]
    told = about.get("description") or about.get("name", "")
    counts = ", ".join(f"{name} {number}" for name, number in summary["counts"].items())
    lpips = "" if "lpips" in summary["measures"] else " LPIPS was not measured: no backbone file."
    return f"{told}: means over the split `{summary['split']}` ({counts}).{lpips}"


def quality_table(summary: Summary) -> str:
    """Return all measures and the time: a line a method, the best mean in bold."""
    measures, seconds = summary["measures"], summary["seconds"]
    rows = [
        [
            summary["method_names"][method],
            *(_cell(about, summary["overall"], method, name) for name, about in measures.items()),
            f"{seconds[method]['median']:.3g}" if method in seconds else "",
        ]
        for method in summary["methods"]
    ]
    head = ["method", *map(title, measures.values()), f"s/{summary['seconds_per']}"]
    return markdown(head, rows)


def group_table(summary: Summary, group: str, measure: str, label: str) -> str:
    """Return one measure by group: a line a method, a column a value of the group.

    Args:
        summary: Of the evaluation.
        group: Such as ``noise_level``; nothing is returned where the measure has no values.
        measure: Name of the measure.
        label: What stands before each value in the head.
    """
    if measure not in summary["measures"]:
        return ""
    about, parts = summary["measures"][measure], summary["groups"][group]
    rows = [
        [summary["method_names"][method]]
        + [_cell(about, values, method, measure) for values in parts.values()]
        for method in summary["methods"]
    ]
    return markdown([title(about), *(f"{label} {value}" for value in parts)], rows)


def each_table(summary: Summary, measure: str) -> str:
    """Return one measure of each scan: a line a scan, a column a method."""
    about, methods = summary["measures"][measure], summary["methods"]
    rows = []
    for scan, values in summary["each"].items():
        wrapped = {name: {measure: {"mean": of[measure]}} for name, of in values.items()}
        rows.append([scan, *(_cell(about, wrapped, method, measure) for method in methods)])
    return markdown([title(about), *(summary["method_names"][name] for name in methods)], rows)


def gain_table(
    summary: Summary, measures: Sequence[str] = ("psnr", "ssim"), others: Sequence[str] = ()
) -> str:
    """Return by how much the model is ahead of other methods, and on how many units.

    Args:
        summary: Of the evaluation.
        measures: Those to show.
        others: The methods; by default all.
    """
    shown = [name for name in measures if name in summary["measures"]]
    unit, rows = summary["unit"], []
    for method in others or summary["model_against"]:
        row = [summary["method_names"][method]]
        for name in shown:
            gain = summary["model_against"][method][name]
            digits = (summary["measures"][name]["digits"] or 3) + (name == "ssim")
            told = "-" if gain["mean"] is None else f"{gain['mean']:+.{digits}f}"
            if gain.get("ci95"):
                told += " ({:+.{d}f} to {:+.{d}f})".format(*gain["ci95"], d=digits)
            row += [told, f"{gain['better']} of {gain['of']}"]
        rows.append(row)
    heads = [(f"gain in {title(summary['measures'][n])}", f"{unit}s better") for n in shown]
    name = summary["method_names"]["model"]
    return markdown([f"{name} against", *(text for pair in heads for text in pair)], rows)


def time_table(summary: Summary) -> str:
    """Return the time that each method takes, the model first."""
    rows = [
        [
            summary["method_names"].get(method, method),
            f"{value['median']:.3g} ({value['min']:.3g} to {value['max']:.3g})",
        ]
        for method, value in summary["seconds"].items()
    ]
    return markdown(["method", f"seconds a {summary['seconds_per']}, median (range)"], rows)


def _cell(about: Mapping[str, Any], values: Mapping[str, Any], method: str, name: str) -> str:
    """Return a mean, in bold if it is the best."""
    means = {one: of[name]["mean"] for one, of in values.items()}
    text, best = format_value(about, means[method]), best_method(about, means)
    return f"**{text}**" if best and means[method] == means[best] else text
