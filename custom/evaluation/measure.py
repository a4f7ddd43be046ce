"""A measure of an evaluation: its function, its label, and which direction is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

__all__ = ["Measure", "best_method", "format_mean", "format_value", "higher_is_better", "title"]


@dataclass(frozen=True)
class Measure:
    """One column of a table of measures.

    Attributes:
        name: Name of the column.
        label: Label in figures and on pages.
        unit: Unit of the values; empty for plain numbers.
        better: ``higher``, ``lower``, or ``target`` where there is a true value.
        digits: Decimals to show; None for three significant digits.
        convention: Definition.
        function: Function of the compared images: one value for each unit, ``(n,)``, or None where
            there is none.
    """

    name: str
    label: str
    unit: str
    better: Literal["higher", "lower", "target"]
    digits: int | None
    convention: str
    function: Callable[[Any], Sequence[float] | Tensor | None]

    def about(self) -> dict[str, Any]:
        """Return the measure's entry in ``summary.json``."""
        told = ("label", "unit", "better", "digits", "convention")
        return {name: getattr(self, name) for name in told}


# The following take a measure's entry in ``summary.json``.


def title(about: Mapping[str, Any]) -> str:
    """Return a measure's label with its unit."""
    return f"{about['label']} [{about['unit']}]" if about["unit"] else str(about["label"])


def format_value(about: Mapping[str, Any], value: float | None) -> str:
    """Return a value with its significant digits; ``-`` where there is none."""
    if value is None:
        return "-"
    digits = about["digits"]
    return f"{value:.3g}" if digits is None else f"{value:.{digits}f}"


def format_mean(about: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    """Return mean and deviation of a measure.

    Args:
        about: Entry of the measure in ``summary.json``.
        value: ``mean`` and ``std``; None where there is none.
    """
    beside = "" if value["std"] is None else f" ± {format_value(about, value['std'])}"
    return format_value(about, value["mean"]) + beside


def higher_is_better(about: Mapping[str, Any]) -> bool:
    """Return True if higher values of a measure are better."""
    return bool(about["better"] == "higher")


def best_method(about: Mapping[str, Any], values: Mapping[str, float | None]) -> str:
    """Return the method with the best value; empty if there is no value or no better direction.

    Args:
        about: Entry of the measure in ``summary.json``.
        values: Method to value.
    """
    known = {method: value for method, value in values.items() if value is not None}
    if not known or about["better"] == "target":
        return ""
    return (max if higher_is_better(about) else min)(known, key=known.__getitem__)
