"""Units of an evaluation: the slices of a stack, or whole volumes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from custom.data.datasets.exclusions import read_exclusions
from custom.errors import InputError
from custom.metrics.image_pairs import RangeRule, data_range_of, plain
from custom.metrics.ssim import similarity_map
from custom.physics.intensity_statistics import OUTLIER, outlier_limit

__all__ = ["Compared", "Images", "Region", "Slices", "Units", "Volumes"]

logger = logging.getLogger(__name__)

_WIDE = 20.0  # times the tissue; the widest range of 50 images of scanners is 12 times it

Region = Callable[["Images"], Tensor | None]
"""Returns a mask on the references, ``(n, 1, *spatial)``; None where the region is unknown."""


@dataclass(eq=False)
class Compared:
    """The images of one method with their references, the argument of measures of images.

    Attributes:
        images: The units, for masks of their regions.
        predicted: Images of the method, ``(n, 1, *spatial)``, one a unit.
        reference: The references, of the same shape.
        data_range: Data range of each reference, in its units, ``(n,)``.
    """

    images: Images
    predicted: Tensor
    reference: Tensor
    data_range: Tensor

    @cached_property
    def similarity(self) -> Tensor:
        """The map of :func:`~custom.metrics.ssim.similarity_map`, made once for all regions."""
        return similarity_map(self.predicted, self.reference, self.data_range)


@dataclass(eq=False)
class Images:
    """The units of one item.

    Args:
        item: Its ``label``, and the images of all methods.
        name: Name of the item in messages.
        rows: Identifying columns of each unit.
        values: Function that converts an image of the item to units ``(n, 1, *spatial)``.
        data_range: Data range of the references, ``(n,)``.
        regions: Name to region.

    Attributes:
        reference: ``(n, 1, *spatial)``.
        further: Further columns of each unit, after the measures.

    Raises:
        InputError: If a reference has no range.
    """

    item: Mapping[str, Any]
    name: str
    rows: Sequence[dict[str, Any]]
    values: Callable[[Tensor], Tensor]
    data_range: Tensor
    regions: Mapping[str, Region]

    def __post_init__(self) -> None:
        """Convert the references."""
        if not bool((self.data_range > 0).all()):
            raise InputError(
                f"the reference of {self.name} is constant: leave it out of the evaluation"
            )
        self.reference = self.values(self.item["label"])
        self.further = [{"data_range": float(width)} for width in self.data_range]
        self._masks: dict[str, Tensor | None] = {}

    def image(self, key: str) -> Tensor | None:
        """Return an image of the item as units, or None if there is no such image."""
        return self.values(self.item[key]) if key in self.item else None

    def mask(self, region: str) -> Tensor | None:
        """Return the mask of a region, the same for every method."""
        if region not in self._masks:
            self._masks[region] = self.regions[region](self)
        return self._masks[region]

    def compare(self, method: str, key: str) -> Compared:
        """Return a method's images beside the references.

        Raises:
            ValueError: If they have another shape.
            InputError: If they are not finite.
        """
        predicted = self.values(self.item[key])
        if predicted.shape != self.reference.shape:
            raise ValueError(
                f"{method} must give {tuple(self.reference.shape[1:])} for {self.name}, "
                f"got {tuple(predicted.shape[1:])}"
            )
        if not bool(torch.isfinite(predicted).all()):
            raise InputError(f"{method} gives values that are not finite for {self.name}")
        return Compared(self, predicted, self.reference, self.data_range)


class Units:
    """Conversion of items to units, and their counts and facts for the summary.

    Args:
        columns: Columns that identify an item in the table: its keys, or names of columns to
            these.
        regions: Name to region, for measures of a region.
        rule: Rule for the data range, see :func:`~custom.metrics.image_pairs.data_range_of`.

    Attributes:
        columns: Columns of the table before the method, at last the class's own.
        further: Columns after the measures.
    """

    own: tuple[str, ...] = ()
    further: tuple[str, ...] = ("data_range",)

    def __init__(
        self,
        columns: Iterable[str] | Mapping[str, str],
        regions: Mapping[str, Region] | None = None,
        rule: RangeRule = "max - min",
    ) -> None:
        self.keys = (
            dict(columns) if isinstance(columns, Mapping) else {name: name for name in columns}
        )
        self.columns = (*self.keys, *self.own)
        self.regions = dict(regions or {})
        self.rule = rule
        self.start()

    def start(self) -> None:
        """Discard the state of an earlier run."""

    def about(self, item: Mapping[str, Any]) -> dict[str, Any]:
        """Return the identifying columns of an item; empty where it lacks the key."""
        return {name: _cell(item.get(key)) for name, key in self.keys.items()}

    def counts(self) -> dict[str, int]:
        """Return further counts for the summary."""
        return {}

    def facts(self) -> dict[str, str]:
        """Return further facts for the page."""
        return {}

    def tables(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return further tables: ``title``, ``columns``, ``rows`` and ``caption`` of each.

        Args:
            rows: Rows of ``metrics.csv``.
        """
        return []


class Volumes(Units):
    """Every item is a unit.

    Shape:
        Images of the items: ``(1, D, H, W)``.
    """

    def __call__(self, item: Mapping[str, Any]) -> Images:
        """Return the unit of an item."""
        name = str(item.get("scan", ""))
        width = _range_of(name, _volume(item["label"]), self.rule)
        return Images(item, name, [self.about(item)], _volume, width, self.regions)


class Slices(Units):
    """The slices of a stack that are not excluded, each divided by its ``image_scale``.

    The data range follows from the scan's kept reference slices together, as acquired, brought to
    the units of the slice, so PSNR and SSIM are what they would be on the acquired intensities. An
    excluded slice plays no part in it.

    The column ``slice`` is added, counted from 0. Where an item holds a list for a column, it is of
    a value for each slice.

    Attributes:
        excluded: Scan to the slices that were left out.

    Shape:
        Images of the items: ``(1, X, Y, S)``; factors: ``(S,)``, or one for all.
    """

    own = ("slice",)

    def start(self) -> None:
        """Discard the excluded slices of an earlier run."""
        self.excluded: dict[str, list[int]] = {}

    def __call__(self, item: Mapping[str, Any]) -> Images | None:
        """Return the kept slices of an item, or None if all are excluded."""
        name, reference = str(item.get("scan", "")), _stack(item["label"])
        bad = read_exclusions(item.get("exclusions")).get(name, set())
        excluded = sorted(index for index in bad if index < len(reference))
        if excluded:
            self.excluded[name] = excluded
        kept = [index for index in range(len(reference)) if index not in bad]
        if not kept:
            return None
        factors = torch.as_tensor(item.get("image_scale", 1.0)).expand(len(reference))
        factors = factors.cpu().double()[kept]
        acquired = reference[kept] * factors.reshape(-1, 1, 1, 1)
        width = _range_of(name, acquired.unsqueeze(0), self.rule)[0]
        rows = [self.about(_of_slice(item, index)) | {"slice": index} for index in kept]
        return Images(
            item, name, rows, lambda stack: _stack(stack)[kept], width / factors, self.regions
        )

    def counts(self) -> dict[str, int]:
        """Return the number of slices left out."""
        return {"excluded": sum(map(len, self.excluded.values()))}

    def facts(self) -> dict[str, str]:
        """Return the slices left out, as text."""
        lists = [f"{scan}: {', '.join(map(str, found))}" for scan, found in self.excluded.items()]
        return {"excluded slices": "; ".join(lists)} if lists else {}


def _of_slice(item: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return an item with the value of a slice in place of each list."""
    lists = {key: value[index] for key, value in item.items() if isinstance(value, list)}
    return dict(item) | lists


def _range_of(name: str, reference: Tensor, rule: RangeRule) -> Tensor:
    """Return the data range of a reference; warn if it is that of a few hot voxels."""
    width = data_range_of(reference, rule)
    tissue = outlier_limit(reference) / OUTLIER
    if rule == "max - min" and float(width.max()) > _WIDE * tissue:
        logger.warning(
            "%s: the range of the reference, %.3g, is that of a few hot voxels (tissue: %.3g), so "
            "its PSNR and SSIM are too good: give units a rule of percentiles, such as [0, 99.9]",
            name,
            float(width.max()),
            tissue,
        )
    return width


def _cell(value: Any) -> float | str:
    """Return a cell: a number, a text, or the empty string."""
    if isinstance(value, (int, float, Tensor, np.number)) and not isinstance(value, bool):
        return float(value)
    return "" if value is None else str(value)


def _volume(volume: Tensor) -> Tensor:
    """Bring a volume ``(1, D, H, W)`` to ``(1, 1, D, H, W)``, float32 on the CPU."""
    return plain(volume).float().cpu().unsqueeze(0)


def _stack(stack: Tensor) -> Tensor:
    """Bring a stack ``(1, X, Y, S)`` to slices ``(S, 1, X, Y)`` in double precision, on the CPU."""
    return plain(stack).cpu().double().permute(3, 0, 1, 2)
