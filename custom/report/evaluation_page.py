"""Content of an evaluation's page, from its summary and its folders of figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from custom.evaluation.diagnostics_folder import read_diagnostics, read_figures
from custom.evaluation.measure import best_method, format_mean, format_value, title
from custom.evaluation.panels import FIGURE_COLUMNS

__all__ = ["FILTERS", "evaluation_content"]


_ARROWS = {"higher": "\u00a0↑", "lower": "\u00a0↓", "target": ""}  # not on a line of its own


def evaluation_content(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of the page.

    Args:
        folder: Output folder of an evaluation.
        summary: Content of its ``summary.json``.

    Returns:
        The summary; ``tables`` (title to value of the group to method to measure to mean);
        ``best`` (title, value and measure to the best method, and scan to the best of the first
        measure); ``others``, with which the model is compared; figures and diagnostics.

    Raises:
        KeyError: If the summary is not that of an evaluation.
    """
    measures = summary["measures"]
    tables = {_overall_title(summary): {"": summary["overall"]}} | {
        f"By {_words(group)}": values
        for group, values in summary["groups"].items()
        # One group alone would repeat the overall table.
        if len(values) > 1
    }
    best = {
        (title, value, name): best_method(
            about, {method: of[name]["mean"] for method, of in methods.items()}
        )
        for title, values in tables.items()
        for value, methods in values.items()
        for name, about in measures.items()
    }
    first = next(iter(measures))
    for scan, methods in summary.get("each", {}).items():
        values = {method: of[first] for method, of in methods.items()}
        best[scan] = best_method(measures[first], values)
    return {
        "title": f"Evaluation on {summary['dataset'].get('name', 'a dataset')}",
        "summary": summary,
        "names": summary["method_names"],
        "measures": measures,
        "first": first,
        "tables": tables,
        "best": best,
        "others": [method for method in summary["methods"] if method in summary["model_against"]],
        "figures": read_figures(folder / "figures" / "figures.csv", FIGURE_COLUMNS),
        "diagnostics": read_diagnostics(folder),
    }


def _gain(gain: Mapping[str, Any] | None, about: Mapping[str, Any]) -> Markup:
    """Return a gain of the model with its interval, and the number of units with a gain."""
    if gain is None or gain["mean"] is None:
        return Markup("-")

    def signed(value: float) -> str:
        return f"{'+' if value >= 0 else '-'}{format_value(about, abs(value))}"

    ends = gain["ci95"]
    interval = f" ({signed(ends[0])} to {signed(ends[1])})" if ends else ""
    of = f"{gain['better']} of {gain['of']}"
    return Markup('{}{}<br><span class="soft">{}</span>').format(signed(gain["mean"]), interval, of)


def _overall_title(summary: Mapping[str, Any]) -> str:
    """Return the title of the overall result: all units, or those of one value of a group."""
    for group, values in summary["groups"].items():
        for value, methods in values.items():
            if len(values) > 1 and methods == summary["overall"]:
                return f"{_words(group).capitalize()} {value}"
    return "Overall"


def _words(column: str) -> str:
    """Return the name of a column in words."""
    return column.replace("_", " ")


def _mean(value: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Return mean and deviation of a measure, and the number of infinite values."""
    infinite = value.get("infinite")
    return format_mean(about, value) + (f" ({infinite} equal)" if infinite else "")


FILTERS: dict[str, Callable[..., Any]] = {
    "mean": _mean,
    "gain": _gain,
    "number": lambda value, about: format_value(about, value),
    "measure": title,
    "arrow": lambda about: _ARROWS[about["better"]],
}
"""Filters of the template; ``about`` is the measure's entry in the summary."""
