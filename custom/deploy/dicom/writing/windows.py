"""The window (PS3.3 C.11.2) that a derived image is shown with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from custom.deploy.dicom.header_values import as_numbers, element_of, value_of
from custom.deploy.dicom.pixel_values import complement, is_inverted, rescale_of
from custom.physics.intensity_statistics import clip_outliers

__all__ = ["window_of_source", "window_of_values"]

_WINDOW = ("WindowCenter", "WindowWidth", "VOILUTFunction")


def window_of_source(header: Dataset) -> Dataset | None:
    """Return the window of a source image, for intensities as they are read; None if it has none.

    The intensities of MONOCHROME1 are turned round, so its window is too; each centre stays at the
    same grey.
    """
    count = np.size(value_of(header, "WindowCenter"))
    centres, widths = (as_numbers(value_of(header, name), count) for name in _WINDOW[:2])
    if centres is None or widths is None or (widths <= 0).any():
        return None
    window = Dataset()
    for name in _WINDOW:
        element = element_of(header, name)
        if element is not None and not element.is_empty:
            window.add_new(element.tag, element.VR, element.value)
    if is_inverted(header):
        slope, intercept = rescale_of(header)
        turned = slope * complement(header) + 2 * intercept - centres
        # LINEAR, the default, maps `centre - 0.5` to the middle grey (C.11.2.1.2.1).
        if value_of(header, "VOILUTFunction") in (None, "LINEAR"):
            turned += 1
        window.WindowCenter = [format_number_as_ds(float(one)) for one in turned]
    return window


def window_of_values(array: NDArray[Any]) -> Dataset:
    """Return a window from the first to the 99th percentile, its outliers cut."""
    low, high = (float(value) for value in np.percentile(clip_outliers(array), [1, 99]))
    window = Dataset()
    window.WindowCenter = format_number_as_ds((low + high) / 2)
    window.WindowWidth = format_number_as_ds(max(high - low, 1e-6))
    # The default, LINEAR, is for whole numbers: a width below 1 means nothing to it.
    window.VOILUTFunction = "LINEAR_EXACT"
    return window
