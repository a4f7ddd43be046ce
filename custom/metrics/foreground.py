"""Foreground mask of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["foreground"]


def foreground(reference: ArrayLike) -> NDArray[np.bool_]:
    """Return the mask of voxels that are brighter than Otsu's threshold (scikit-image).

    Shape:
        ``(*spatial)`` in and out.

    Raises:
        ValueError: If the image is constant.
    """
    from skimage.filters import threshold_otsu

    values: NDArray[Any] = np.asarray(reference, dtype=np.float64)
    if values.min() == values.max():
        raise ValueError("reference must not be constant: it has no foreground")
    return np.asarray(values > threshold_otsu(values))  # type: ignore[no-untyped-call]
