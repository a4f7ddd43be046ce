"""Range of a model's training data, and how far an image is from it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from custom.errors import InputError
from custom.files.image_faults import readable
from custom.files.reader import read_header
from custom.files.text_files import read_metadata
from custom.transforms.slice_axis import SliceAxis, find_slice_axis

__all__ = ["KINDS", "TrainingRange", "TrainingRangeCheck", "properties_of", "stated_range"]

logger = logging.getLogger(__name__)

KINDS = ("volume", "diffusion")

# Factor beyond the training range that counts as far, our choice; short name; words. The factor is
# 1.5 for spacing and contrast, which the network's filters are fitted to; 4 for size, since filters
# see a voxel's surroundings only.
_PROPERTIES = {
    "spacing_mm.in_plane": (1.5, "spacing", "pixel spacing of {} mm"),
    "spacing_mm.between_slices": (1.5, "slice-spacing", "slice spacing of {} mm"),
    "echo_time_ms": (1.5, "contrast", "echo time of {} ms"),
    "matrix.in_plane": (4.0, "size", "matrix of {} pixels"),
    "matrix.slices": (4.0, "slice-count", "number of {} slices"),
}


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
        self.limits: dict[str, tuple[float, float]] = {}
        for group in dict.fromkeys(name.partition(".")[0] for name in _PROPERTIES):
            value = stated.get(group)
            parts = {group: value}
            if isinstance(value, Mapping):
                parts = {f"{group}.{part}": limits for part, limits in value.items()}
            for name, limits in parts.items():
                if limits is not None:
                    self.limits[name] = _limits(name, limits)

    def faults(self, series: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, str]]:
        """Yield each property that is far from the training data: a short name, and one line.

        Args:
            series: Values of the series by the names above (``matrix.slices``); a property without
                a value is not compared.
        """
        for name, (low, high) in self.limits.items():
            factor, slug, words = _PROPERTIES[name]
            values = series.get(name, ())
            far = [value for value in values if not low / factor <= value <= high * factor]
            if far:
                trained = f"{low:g}" if low == high else f"{low:g} to {high:g}"
                yield (
                    f"far-{slug}",
                    f"{words.format(f'{far[0]:.3g}')} is far from the {trained} of the training",
                )


def stated_range(metadata: Mapping[str, Any], variant: str | None = None) -> Mapping[str, Any]:
    """Return the ``training_range`` of a variant of the metadata, or of the bundle if it has none.

    Args:
        metadata: Content of the bundle's ``metadata.json``.
        variant: Name of the variant; one that is not listed has none.
    """
    own = metadata.get("variants", {}).get(variant, {})
    stated: Mapping[str, Any] = own.get("training_range", metadata["training_range"])
    return stated


def _limits(name: str, limits: Any) -> tuple[float, float]:
    """Return one range, checked."""
    if name not in _PROPERTIES:
        raise InputError(f"training_range.{name} is not known")
    try:
        low, high = (float(limit) for limit in limits)
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if not 0 < low <= high:
        raise InputError(
            f"training_range.{name} must be [lowest, highest], above 0, got {limits!r}"
        )
    return low, high


def properties_of(
    affine: NDArray[np.float64],
    shape: Sequence[int],
    slice_axis: int = 2,
    echo_time_ms: float | None = None,
) -> dict[str, tuple[float, ...]]:
    """Return the properties of an image that are compared with a training range.

    Args:
        affine: ``(4, 4)``, voxel index to millimetres.
        shape: Lengths of the three spatial axes; of two, for a slice.
        slice_axis: The axis that counts slices.
        echo_time_ms: Echo time; None if it is not known.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0).tolist()
    lengths = [*shape, 1][:3]
    in_plane = [axis for axis in range(3) if axis != slice_axis]
    return {
        "spacing_mm.in_plane": tuple(spacing[axis] for axis in in_plane),
        "spacing_mm.between_slices": (spacing[slice_axis],),
        "matrix.in_plane": tuple(lengths[axis] for axis in in_plane),
        "matrix.slices": (lengths[slice_axis],),
        "echo_time_ms": () if echo_time_ms is None else (echo_time_ms,),
    }


class TrainingRangeCheck:
    """Check an image, and warn of one that is far from the training data, or refuse it.

    Args:
        check: What is checked first.
        metadata_file: The bundle's ``metadata.json`` with its ``training_range``.
        outside_range: ``warn`` or ``refuse``.
        slice_axis: See :func:`custom.transforms.slice_axis.find_slice_axis`.
        downsampled: Factor by which the image is downsampled before the network sees it.
        variant: Name of the variant of the metadata that the network is of; None: the bundle's own.

    Raises:
        ValueError: If ``outside_range`` is another word.
        InputError: If the metadata cannot be read.
    """

    def __init__(
        self,
        check: Callable[[Path], None],
        metadata_file: str | Path,
        outside_range: Literal["warn", "refuse"] = "warn",
        slice_axis: SliceAxis = "auto",
        downsampled: int = 1,
        variant: str | None = None,
    ) -> None:
        if outside_range not in ("warn", "refuse"):
            raise ValueError(f"outside_range must be warn or refuse, got {outside_range!r}")
        self.check = check
        about = read_metadata(Path(metadata_file), "training_range")
        self.range = TrainingRange(stated_range(about, variant))
        self.outside_range = outside_range
        self.slice_axis: SliceAxis = slice_axis
        self.downsampled = downsampled

    def __call__(self, path: Path) -> None:
        """Check one image.

        Raises:
            InputError: As ``check``; or if the image is far from the training data and such are
                refused.
        """
        self.check(path)
        header = readable(path, read_header)
        axis = 2
        if len(header.shape) == 3:
            axis = find_slice_axis(header.affine, header.shape, self.slice_axis, header.slice_axis)
        affine = header.affine * np.array([self.downsampled] * 3 + [1])
        shape = [max(length // self.downsampled, 1) for length in header.shape]
        found = "; ".join(text for _, text in self.range.faults(properties_of(affine, shape, axis)))
        if found and self.outside_range == "refuse":
            raise InputError(f"{path}: {found}: go on at your own risk with --outside_range warn")
        if found:
            logger.warning("%s: %s", path, found)
