"""Rows of images of one slice by every method, a column a method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from custom.metrics.image_pairs import plain
from custom.physics.intensity_statistics import clip_outliers

__all__ = [
    "REFERENCE",
    "Row",
    "View",
    "detail_row",
    "detail_window",
    "image_row",
    "residual_row",
    "slice_view",
]

REFERENCE = "reference"  # the last column
Image = NDArray[Any]


@dataclass(frozen=True)
class Row:
    """Images of one kind, one a column; a column without an image stays empty.

    Attributes:
        images: Method, or ``reference``, to image, ``(X, Y)``.
        text: Description for the caption.
        style: Colour map and window of all, as arguments of ``imshow``.
        label: Label of the colour bar; without one there is no bar.
        pixel_mm: Size of a pixel along ``X`` and ``Y``; None for a plane that has no millimetres.
        frame: A part to frame: first row, first column, rows, columns.
        scale_bar: Whether the first image has a bar of some millimetres.
    """

    images: Mapping[str, Image]
    text: str
    style: Mapping[str, Any]
    label: str = ""
    pixel_mm: tuple[float, float] | None = (1.0, 1.0)
    frame: tuple[int, int, int, int] | None = None
    scale_bar: bool = False


@dataclass(frozen=True)
class View:
    """One slice of a restored item.

    Attributes:
        item: ``label``, the images of all methods, and the fields of the scan.
        methods: Name of a method that is shown to the key of its image.
        index: Place along the last axis; None where images are single slices.
        channel: Channel, for images of several.
        unit: Divisor of images.
        inside: ``(X, Y)``: mask of the residuals that count; None for all.
        told: Further fields that identify the slice.

    Shape:
        Images of the item: ``(C, X, Y, S)``, or ``(C, X, Y)`` without ``index``.
    """

    item: Mapping[str, Any]
    methods: Mapping[str, str]
    index: int | None = None
    channel: int = 0
    unit: float = 1.0
    inside: NDArray[np.bool_] | None = None
    told: Mapping[str, Any] = field(default_factory=dict)

    def slice_of(self, key: str) -> Image:
        """Return the slice ``(X, Y)`` of an image of the item, float32, in units of ``unit``."""
        values = plain(self.item[key])[self.channel]
        shown = values if self.index is None else values[..., self.index]
        return np.asarray(shown.float().cpu().numpy() / self.unit)

    @cached_property
    def reference(self) -> Image:
        """The reference slice."""
        return self.slice_of("label")

    @cached_property
    def images(self) -> dict[str, Image]:
        """The slice by every method."""
        return {method: self.slice_of(key) for method, key in self.methods.items()}

    @cached_property
    def window(self) -> tuple[int, int, int, int]:
        """The part of the reference with most detail."""
        return detail_window(self.reference)

    @property
    def pixel_mm(self) -> tuple[float, float]:
        """Size of a pixel along ``X`` and ``Y``."""
        affine = torch.as_tensor(getattr(self.item["label"], "affine", torch.eye(4))).double()
        width, height = torch.linalg.norm(affine[:3, :2], dim=0).tolist()
        return width, height

    @property
    def grey(self) -> dict[str, Any]:
        """The grey window of all images: 0 to the 99.8th percentile of the reference's tissue."""
        white = float(np.percentile(clip_outliers(self.reference), 99.8))
        # A window must have a width, even for an empty slice.
        return {"cmap": "gray", "vmin": 0.0, "vmax": white if white > 0 else 1.0}

    def detail(self, image: Image) -> Image:
        """Return the part of an image that is enlarged."""
        first, second, rows, columns = self.window
        return image[first : first + rows, second : second + columns]


def slice_view(
    item: Mapping[str, Any], methods: Mapping[str, str], index: int | None = None
) -> View:
    """Return the view of a slice of a stack or of a volume.

    Args:
        item: ``label`` and the images of all methods.
        methods: Name of a method to the key of its image.
        index: Place along the last axis; the middle by default.
    """
    return View(item, methods, item["label"].shape[-1] // 2 if index is None else index)


def image_row(view: View, label: str = "", *, frame: bool = False) -> Row:
    """Return the row of the slice by every method, in one grey window.

    Args:
        view: The slice.
        label: Label of the colour bar; without one there is no bar.
        frame: Whether to frame the part that :func:`detail_row` enlarges.
    """
    return Row(
        {**view.images, REFERENCE: view.reference},
        "slice",
        view.grey,
        label,
        view.pixel_mm,
        view.window if frame else None,
        scale_bar=True,
    )


def detail_row(view: View) -> Row:
    """Return the row of the part with most detail, enlarged, in the grey window of the whole."""
    images = {**view.images, REFERENCE: view.reference}
    details = {name: view.detail(image) for name, image in images.items()}
    text = "the third with most detail, enlarged"
    return Row(details, text, view.grey, "image", view.pixel_mm)


def residual_row(
    view: View, label: str = "residual", percentile: float = 99.5, *, detail: bool = False
) -> Row:
    """Return the row of image minus reference, on one scale that is symmetric about zero.

    Args:
        view: The slice.
        label: Label of the colour bar.
        percentile: Percentile of each method's absolute residuals; the largest ends the scale.
        detail: Whether to show only the part with most detail.
    """
    residuals = {}
    for method, image in view.images.items():
        values = image - view.reference
        if view.inside is not None:
            values = np.where(view.inside, values, np.nan)
        residuals[method] = view.detail(values) if detail else values
    found = [np.abs(values[np.isfinite(values)]) for values in residuals.values()]
    limit = max((float(np.percentile(v, percentile)) for v in found if v.size), default=0) or 1.0
    style = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    return Row(residuals, "difference to the reference", style, label, view.pixel_mm)


def detail_window(image: Image) -> tuple[int, int, int, int]:
    """Return the window with most detail: first row, first column, rows, columns.

    The window of a third of each side in which the mean squared gradient is largest.

    Args:
        image: ``(X, Y)``.
    """
    rows, columns = (max(2, round(length / 3)) for length in image.shape)
    energy = sum(np.square(part) for part in np.gradient(np.asarray(image, dtype=np.float64)))
    # Running sums give the sum of any window by four look-ups.
    total = np.pad(np.cumsum(np.cumsum(energy, 0), 1), ((1, 0), (1, 0)))
    sums = (
        total[rows:, columns:]
        - total[:-rows, columns:]
        - total[rows:, :-columns]
        + total[:-rows, :-columns]
    )
    first, second = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return int(first), int(second), rows, columns
