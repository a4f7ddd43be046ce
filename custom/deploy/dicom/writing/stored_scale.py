"""Scale of an image for storage in whole numbers of 16 bits, without a relevant loss."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.valuerep import format_number_as_ds

from custom.deploy.dicom.frames import Frame
from custom.deploy.dicom.pixel_values import rescale_of
from custom.physics.intensity_statistics import OUTLIER, outlier_limit

__all__ = ["StoredScale", "scale_of"]

logger = logging.getLogger(__name__)

# Steps between dark and bright below which the source's scale is too coarse for a restored image.
_LEVELS = 1000
_ON_THE_SCALE = 0.01  # of a step


@dataclass(frozen=True)
class StoredScale:
    """Intensity is ``stored * slope + intercept`` (PS3.3 C.11.1).

    Attributes:
        slope: Rescale Slope (0028,1053).
        intercept: Rescale Intercept (0028,1052).
        signed: Whether the whole numbers have a sign.
    """

    slope: float
    intercept: float
    signed: bool = True

    @property
    def is_plain(self) -> bool:
        """True if the stored numbers are the intensities."""
        return (self.slope, self.intercept) == (1.0, 0.0)

    def stored(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the nearest whole numbers, little endian, of 16 bits; cut to their range."""
        kind = np.dtype("<i2" if self.signed else "<u2")
        steps = np.rint((array.astype(np.float64) - self.intercept) / self.slope)
        limits = np.iinfo(kind)
        return steps.clip(limits.min, limits.max).astype(kind)


def scale_of(array: NDArray[Any], sources: Sequence[Frame]) -> StoredScale:
    """Return the scale to store an image with.

    It is that of the source if all its images share one, the range fits, and no relevant grey level
    is lost: the values are on its steps, or there are a thousand steps of it between dark and
    bright. Otherwise it is the finest scale without an intercept. Outliers, see
    :func:`custom.physics.intensity_statistics.outlier_limit`, do not decide: the median of the
    tissue has a thousand steps, and what is more than 32 times as bright does not fit.
    The values of ``array`` are finite.
    """
    low, high = float(array.min()), float(array.max())
    # Of magnitudes: maps have both signs.
    limit = outlier_limit(np.abs(array))
    shared = {rescale_of(frame.header) for frame in sources}
    if len(shared) == 1:
        slope, intercept = shared.pop()
        first, last = sorted(((low - intercept) / slope, (high - intercept) / slope))
        fits = [
            signed
            for signed, lowest in ((True, -(2**15)), (False, 0))
            if lowest <= np.rint(first) and np.rint(last) < lowest + 2**16
        ]
        between = (min(high, limit) - max(low, -limit)) / abs(slope)
        if fits and (between >= _LEVELS or _on_steps(array, slope, intercept)):
            return StoredScale(slope, intercept, fits[0])
    # Without an intercept, 0 stays 0 exactly.
    fitting = limit / OUTLIER / _LEVELS * (2**15 - 1)
    highest = max(abs(low), abs(high))
    if highest > fitting:
        logger.warning(
            "%d values up to %.4g are too bright for 16 bits beside the tissue, stored as %.4g",
            int((np.abs(array) > fitting).sum()),
            highest,
            fitting,
        )
        highest = fitting
    # Rounded to the 16 characters that the header can hold.
    slope = float(format_number_as_ds(highest / (2**15 - 1))) if highest > 0 else 1.0
    return StoredScale(slope, 0.0)


def _on_steps(array: NDArray[Any], slope: float, intercept: float) -> bool:
    """Return True if all values are whole steps of a scale."""
    steps = (array.astype(np.float64) - intercept) / slope
    return bool((np.abs(steps - np.rint(steps)) < _ON_THE_SCALE).all())
