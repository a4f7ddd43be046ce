"""Stored pixels of images, and their conversion to intensities."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import RLELossless

from custom.deploy.dicom.frames import Frame
from custom.deploy.dicom.header_values import element_of, integer, numbers
from custom.deploy.dicom.series import LONGEST_VALUE, is_bare
from custom.errors import Refusal

__all__ = ["complement", "decode", "intensities", "is_inverted", "rescale_of"]

# Markers of JPEG and JPEG-LS that state the size (ITU-T T.81, table B.1; T.87, C.1.1).
_SIZE_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_CODESTREAM = b"\xff\x4f\xff\x51"  # of JPEG 2000: start, then its size (ITU-T T.800, A.5.1)
_OFFSETS = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")


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
        Refusal: ``truncated-pixels`` if a file's pixels are missing, cut short or damaged, or a
            compressed stream would give more pixels than the header states.
    """
    files: dict[Any, list[int]] = {}
    for index, frame in enumerate(frames):
        files.setdefault(frame.file, []).append(index)
    for number, indices in enumerate(files.values(), start=1):
        indices.sort(key=lambda index: frames[index].index)
        places = [frames[index].index for index in indices]
        try:
            arrays = iter_pixels(_source(frames[indices[0]]), indices=places, raw=True)
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


def _source(frame: Frame) -> Path | Dataset:
    """Return the file of an image, or its data set where pydicom needs more than the file.

    Raises:
        ValueError: See :func:`_check_streams`.
    """
    bare = is_bare(frame.file)
    if not bare and not frame.syntax.is_encapsulated:
        return frame.file
    found = pydicom.dcmread(frame.file, defer_size=LONGEST_VALUE, force=bare)
    found.file_meta = frame.header.file_meta
    if frame.syntax.is_encapsulated:
        _check_streams(found, frame)
    return found


def _check_streams(found: Dataset, frame: Frame) -> None:
    """Raise ``ValueError`` for a compressed image of another size than its header's.

    A decoder takes the memory that the stream asks for: a few bytes may ask for all of it.
    """
    offsets = tuple(found.get(name) for name in _OFFSETS)
    streams = generate_frames(
        found.PixelData,
        number_of_frames=integer(found, "NumberOfFrames") or 1,
        extended_offsets=offsets if all(offsets) else None,
    )
    rows, columns = int(frame.header.Rows), int(frame.header.Columns)
    whole = rows * columns * int(frame.header.BitsAllocated) // 8
    for stream in streams:
        if frame.syntax == RLELossless:
            # 129 bytes for 128 where nothing repeats; at the most two bytes stand for 128.
            fits = len(stream) <= 2 * whole + 64
        else:
            fits = set(_sizes(stream)) == {(rows, columns, 1)}
        if not fits:
            raise ValueError("a compressed stream of another size than its header's")


def _sizes(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the rows, columns and components of a JPEG, JPEG-LS or JPEG 2000 stream."""
    if stream[:2] == b"\xff\xd8":
        at = 2
        while stream[at + 1] not in _SIZE_MARKERS:
            at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
        yield struct.unpack(">HHB", stream[at + 5 : at + 10])
        return
    # In a JP2 file, which the standard does not allow but is read, it comes after other boxes.
    bare = stream.startswith(_CODESTREAM)
    for at in [0] if bare else [found.start() for found in re.finditer(_CODESTREAM, stream)]:
        right, low, left, top = struct.unpack(">4I", stream[at + 8 : at + 24])
        yield low - top, right - left, int.from_bytes(stream[at + 40 : at + 42], "big")


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
