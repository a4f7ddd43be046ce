"""Regions for a contrast-to-noise ratio: discs, as in manual measurements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["disc_masks", "largest_disc"]

ROI, BACKGROUND = 1, 2


def largest_disc(region: NDArray[np.bool_], max_radius: float) -> NDArray[np.bool_]:
    """Return the largest disc inside a region ``(X, Y)``, up to a radius in pixels.

    Outside of the array counts as outside of the region. The disc is empty if the region is.
    """
    depth = ndimage.distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    if depth.max() <= 0:
        return np.zeros_like(region)
    centre = np.unravel_index(int(np.argmax(depth)), depth.shape)
    # Strictly below the distance to the nearest pixel outside.
    radius = min(float(depth[centre]) - 0.5, max_radius)
    rows, columns = np.ogrid[: region.shape[0], : region.shape[1]]
    disc: NDArray[np.bool_] = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2
    return disc


def disc_masks(
    codes: NDArray[np.uint8],
    candidates: Sequence[int],
    background: int,
    max_radius: float,
    min_pixels: int,
) -> tuple[int, NDArray[np.uint8]]:
    """Draw a disc in an organ and one in the background on each slice of a stack.

    Args:
        codes: Tissue codes, ``(X, Y, S)``.
        candidates: Codes of possible organs, best first.
        background: Code of the background tissue.
        max_radius: Largest radius in pixels.
        min_pixels: Smaller discs are not drawn.

    Returns:
        The code of the first organ that has a disc on any slice, or of the first candidate if
        none has; and the mask ``(X, Y, S)``: 1 in the organ's discs, 2 in those of the
        background, 0 elsewhere.

    Raises:
        ValueError: If there is no candidate.
    """
    if not candidates:
        raise ValueError("candidates must name at least one organ, got none")
    organ, discs = candidates[0], np.zeros(codes.shape, np.bool_)
    for candidate in candidates:
        found = _stack_of_discs(codes == candidate, max_radius, min_pixels)
        if found.any():
            organ, discs = candidate, found
            break
    mask = np.zeros(codes.shape, np.uint8)
    mask[_stack_of_discs(codes == background, max_radius, min_pixels)] = BACKGROUND
    mask[discs] = ROI
    return organ, mask


def _stack_of_discs(
    region: NDArray[np.bool_], max_radius: float, min_pixels: int
) -> NDArray[np.bool_]:
    """Return the largest disc of each slice, none where it is too small."""
    discs = np.zeros(region.shape, np.bool_)
    for index in range(region.shape[-1]):
        disc = largest_disc(region[..., index], max_radius)
        if disc.sum() >= min_pixels:
            discs[..., index] = disc
    return discs
