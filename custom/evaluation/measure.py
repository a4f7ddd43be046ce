"""A measure of an evaluation: what is measured, how it is called, and which way is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

__all__ = ["Measure", "best_method", "format_mean", "format_value", "higher_is_better", "title"]


@dataclass(frozen=True)
class Measure:
    """What a table has a column of.

    Attributes:
        name: Of the column.
        label: For people.
        unit: Of the values; empty for plain numbers.
        better: ``higher``, ``lower``, or ``target`` where a value should be right.
        digits: Decimals that mean something; None for three significant digits.
        convention: How it is defined.
        function: Takes what the table's units compare, gives a value a unit ``(n,)``, or None where
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
        """Return what ``summary.json`` says of the measure."""
        told = ("label", "unit", "better", "digits", "convention")
        return {name: getattr(self, name) for name in told}


# The following take what ``summary.json`` says of a measure.


def title(about: Mapping[str, Any]) -> str:
    """Return a measure's label with its unit."""
    return f"{about['label']} [{about['unit']}]" if about["unit"] else str(about["label"])


def format_value(about: Mapping[str, Any], value: float | None) -> str:
    """Return a value with the digits that mean something; ``-`` where there is none."""
    if value is None:
        return "-"
    digits = about["digits"]
    return f"{value:.3g}" if digits is None else f"{value:.{digits}f}"


def format_mean(about: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    """Return mean and deviation of a measure.

    Args:
        about: Of the measure.
        value: ``mean`` and ``std``; None where there is none.
    """
    beside = "" if value["std"] is None else f" ± {format_value(about, value['std'])}"
    return format_value(about, value["mean"]) + beside


def higher_is_better(about: Mapping[str, Any]) -> bool:
    """Return True if a measure improves upwards."""
    return bool(about["better"] == "higher")


def best_method(about: Mapping[str, Any], values: Mapping[str, float | None]) -> str:
    """Return the method with the best value, or nothing if there is none or no best.

    Args:
        about: Of the measure.
        values: Method to value.
    """
    known = {method: value for method, value in values.items() if value is not None}
    if not known or about["better"] == "target":
        return ""
    return (max if higher_is_better(about) else min)(known, key=known.__getitem__)
