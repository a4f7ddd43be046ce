"""Compare a series with the range of a model's training data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from custom.errors import InputError

__all__ = ["KINDS", "SeriesFacts", "TrainingRange"]

KINDS = ("volume", "diffusion")

# Factors beyond the training range that count as far; our choice. 1.5 for spacing and contrast,
# which the network's filters are fitted to; 4 for size, since filters see a voxel's surroundings
# only.
_FAR = {"spacing_mm": 1.5, "echo_time_ms": 1.5, "matrix": 4.0}
_NAMES = {
    ("spacing_mm", "in_plane"): ("spacing", "pixel spacing of {} mm"),
    ("spacing_mm", "between_slices"): ("slice-spacing", "slice spacing of {} mm"),
    ("matrix", "in_plane"): ("size", "matrix of {} pixels"),
    ("matrix", "slices"): ("slice-count", "number of {} slices"),
    ("echo_time_ms", ""): ("contrast", "echo time of {} ms"),
}


@dataclass(frozen=True)
class SeriesFacts:
    """Properties of a series that are compared with the training data.

    Attributes:
        in_plane_mm: Spacings of the pixels, along rows and along columns.
        between_slices_mm: Distance of neighbouring slices.
        in_plane: Pixels along rows and along columns.
        slices: Number of slices.
        echo_time_ms: Echo time, if the header has one.
    """

    in_plane_mm: tuple[float, float]
    between_slices_mm: float
    in_plane: tuple[int, int]
    slices: int
    echo_time_ms: float | None = None


class TrainingRange:
    """Ranges of spacing, size and contrast of a model's training data.

    Args:
        stated: ``training_range`` of a bundle's metadata: ``kind`` (``volume``, or ``diffusion``
            for series of several weightings), and ``[lowest, highest]`` of
            ``spacing_mm.in_plane``, ``spacing_mm.between_slices``, ``matrix.in_plane``,
            ``matrix.slices`` and ``echo_time_ms``. An entry that is missing or null does not
            matter to the model, and is not compared.

    Raises:
        InputError: If it does not have that form.
    """

    def __init__(self, stated: Mapping[str, Any]) -> None:
        self.kind = str(stated.get("kind"))
        if self.kind not in KINDS:
            raise InputError(f"training_range.kind must be one of {KINDS}, got {self.kind!r}")
        self.limits: dict[tuple[str, str], tuple[float, float]] = {}
        for group in _FAR:
            value = stated.get(group)
            parts = value if isinstance(value, Mapping) else {"": value}
            for part, limits in parts.items():
                if limits is not None:
                    self.limits[group, part] = _limits(group, part, limits)

    @property
    def wants_echo_time(self) -> bool:
        """True if the echo time is compared."""
        return ("echo_time_ms", "") in self.limits

    def faults(self, facts: SeriesFacts) -> Iterator[tuple[str, str]]:
        """Yield each property that is far from the training data: a short name, and one line.

        Args:
            facts: Properties of the series.
        """
        given: dict[tuple[str, str], tuple[float, ...]] = {
            ("spacing_mm", "in_plane"): facts.in_plane_mm,
            ("spacing_mm", "between_slices"): (facts.between_slices_mm,),
            ("matrix", "in_plane"): facts.in_plane,
            ("matrix", "slices"): (facts.slices,),
            ("echo_time_ms", ""): () if facts.echo_time_ms is None else (facts.echo_time_ms,),
        }
        for key, (low, high) in self.limits.items():
            factor = _FAR[key[0]]
            far = [value for value in given[key] if not low / factor <= value <= high * factor]
            if far:
                slug, words = _NAMES[key]
                trained = f"{low:g}" if low == high else f"{low:g} to {high:g}"
                yield (
                    f"far-{slug}",
                    f"{words.format(f'{far[0]:.3g}')} is far from the {trained} of the training",
                )


def _limits(group: str, part: str, limits: Any) -> tuple[float, float]:
    """Return one range, checked."""
    name = f"training_range.{group}{'.' * bool(part)}{part}"
    if (group, part) not in _NAMES:
        raise InputError(f"{name} is not known")
    try:
        low, high = (float(limit) for limit in limits)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not 0 < low <= high:
        raise InputError(f"{name} must be [lowest, highest], above 0, got {limits!r}")
    return low, high
