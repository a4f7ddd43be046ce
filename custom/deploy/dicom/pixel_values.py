"""Stored pixels of images, and their conversion to intensities."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import iter_pixels

from custom.deploy.dicom.frames import Frame
from custom.deploy.dicom.header_values import element_of, integer, numbers
from custom.errors import Refusal

__all__ = ["complement", "decode", "intensities", "is_inverted", "rescale_of"]


def intensities(stored: NDArray[Any], header: Dataset) -> tuple[NDArray[np.float32], bytes]:
    """Return the intensities of one image.

    Args:
        stored: ``(rows, columns)`` whole numbers as stored, signs and high bits settled.
        header: The image's attributes.

    Returns:
        Intensities ``(columns, rows)``, and the SHA-256 of the stored values and of the attributes
        that define their meaning.
    """
    slope, intercept = rescale_of(header)
    padding = _padding(header)
    # One type, so that neither compression nor the file's number of bits changes the hash.
    content = hashlib.sha256(stored.astype("<i4").tobytes())
    meaning = (stored.shape, slope, intercept, is_inverted(header), *(padding or ()))
    content.update(repr(meaning).encode())
    # float32 holds whole numbers to 2^24 only, and pixels may have 32 bits.
    wide = stored.astype(np.float64)
    if is_inverted(header):
        wide = complement(header) - wide
    wide = wide * slope + intercept
    if padding is not None:  # no tissue: as air, which gives no signal
        wide[(stored >= padding[0]) & (stored <= padding[1])] = 0.0
    return wide.astype(np.float32).T, content.digest()


def _padding(header: Dataset) -> tuple[int, int] | None:
    """Return the lowest and highest stored value of pixels that are no part of the image.

    Pixel Padding Value (0028,0120) and Pixel Padding Range Limit (0028,0121), PS3.3 C.7.5.1.1.2;
    None if there is none.
    """
    value = integer(header, "PixelPaddingValue")
    if value is None:
        return None
    limit = integer(header, "PixelPaddingRangeLimit")
    bits = int(header.BitsAllocated)
    # Some write the bits of a negative number as a number without a sign.
    wraps = bits if header.PixelRepresentation == 1 else None
    ends = sorted(
        end - 2**bits if wraps and end >= 2 ** (bits - 1) else end
        for end in (value, value if limit is None else limit)
    )
    return ends[0], ends[1]


def is_inverted(header: Dataset) -> bool:
    """Return True if the lowest stored value is shown as white."""
    return bool(header.get("PhotometricInterpretation") == "MONOCHROME1")


def rescale_of(header: Dataset) -> tuple[float, float]:
    """Return Rescale Slope (0028,1053) and Intercept (0028,1052), PS3.3 C.11.1; 1 and 0 if absent.

    Raises:
        Refusal: ``invalid-rescale`` if they are no numbers, or the slope is 0.
    """
    slope, intercept = (
        numbers(header, keyword, 1) if _holds(header, keyword) else np.array([default])
        for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    if slope is None or intercept is None or slope[0] == 0:
        raise Refusal(
            "invalid-rescale",
            "RescaleSlope (0028,1053) or RescaleIntercept (0028,1052) is 0 or no number: export "
            "the series as it came from the scanner",
        )
    return float(slope[0]), float(intercept[0])


def _holds(header: Dataset, keyword: str) -> bool:
    """Return True if an attribute has a value, even one that cannot be decoded."""
    element = element_of(header, keyword)
    return keyword in header and (element is None or not element.is_empty)


def decode(frames: Sequence[Frame]) -> Iterator[tuple[int, NDArray[np.float32], bytes]]:
    """Decode images, each file once.

    Yields:
        The index of an image, its intensities and their hash, file by file.

    Raises:
        Refusal: ``truncated-pixels`` if a file's pixels are missing, cut short or damaged.
    """
    files: dict[Any, list[int]] = {}
    for index, frame in enumerate(frames):
        files.setdefault(frame.file, []).append(index)
    for number, (file, indices) in enumerate(files.items(), start=1):
        indices.sort(key=lambda index: frames[index].index)
        places = [frames[index].index for index in indices]
        try:
            arrays = iter_pixels(file, indices=places, raw=True)
            for index, array in zip(indices, arrays, strict=True):
                header = frames[index].header
                yield index, *intensities(_settled(array, header), header)
        except Refusal:
            raise
        except Exception as error:  # of whatever kind the decoder raises at a damaged stream
            raise Refusal(
                "truncated-pixels",
                f"the pixels of image {number} of {len(files)} along the stack are missing, cut "
                "short or damaged: send the series again",
            ) from error


def _settled(raw: NDArray[Any], header: Dataset) -> NDArray[Any]:
    """Mask the unused bits of stored values, and extend their sign (PS3.5 section 8.1.1)."""
    raw = raw.astype(raw.dtype.newbyteorder("="), copy=False)
    allocated, stored = int(header.BitsAllocated), int(header.BitsStored)
    high = header.get("HighBit")
    above = allocated - 1 - (stored - 1 if high is None else int(high))
    # To the left and back: of a signed type the shift to the right extends the sign.
    settled = np.right_shift(np.left_shift(raw, above), allocated - stored)
    return np.asarray(settled)


def complement(header: Dataset) -> float:
    """Return the sum of a stored value and its inverse, of MONOCHROME1 (PS3.3 C.7.6.3.1.2).

    There the lowest value is shown as white: the scale between the lowest and the highest value of
    the stored bits is reversed.
    """
    # Lowest plus highest: 0 and 2^b - 1, or -2^(b - 1) and 2^(b - 1) - 1.
    return 2.0 ** int(header.BitsStored) - 1 if header.PixelRepresentation == 0 else -1.0
