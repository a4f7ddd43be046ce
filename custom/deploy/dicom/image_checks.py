"""Header checks: images of one patient and DICOM study, and of a kind that can be restored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    UID,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSNearLossless,
)

from custom.deploy.dicom.derived_maps import map_of
from custom.deploy.dicom.frames import Frame
from custom.deploy.dicom.header_values import integer, texts, value_of
from custom.errors import Refusal
from custom.files.map_names import DerivedMaps

__all__ = ["check_identity", "check_images"]

_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
# The other values of the standard (PS3.3 C.7.6.3.1.2); a value outside this list is not quoted.
_COLOURS = (
    *("RGB", "PALETTE COLOR", "HSV", "ARGB", "CMYK", "YBR_FULL", "YBR_FULL_422"),
    *("YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT", "XYB"),
)
_COMPONENTS = {
    "P": "phase",
    "PHASE": "phase",
    "PHASE MAP": "phase",
    "VELOCITY": "phase",
    "R": "real",
    "REAL": "real",
    "I": "imaginary",
    "IMAGINARY": "imaginary",
}
# GE's private element (0043,102F) of the block GEMS_PARM_01.
_GE_COMPONENTS = {0: "magnitude", 1: "phase", 2: "real", 3: "imaginary"}
_PATIENT = ("PatientID", "PatientName", "PatientBirthDate")
# Without these a result cannot reference its source (PS3.3 C.7.2.1, C.12.1).
_NEEDED = ("StudyInstanceUID", "SOPClassUID", "SOPInstanceUID")
_ALWAYS_LOSSY = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless)


def check_identity(frames: Sequence[Frame]) -> None:
    """Refuse a series with images of several patients or DICOM studies.

    Raises:
        Refusal: ``several-patients``, ``several-studies`` or ``missing-attribute``; no value is
            quoted.
    """
    for keyword in _NEEDED:
        missing = sum(not value_of(frame.header, keyword) for frame in frames)
        if missing:
            raise Refusal(
                "missing-attribute",
                f"{keyword} is missing or unreadable in {missing} of {len(frames)} images: export "
                "the series as it came from the scanner",
            )
    for keyword in _PATIENT:
        count = len({_identity(value_of(frame.header, keyword)) for frame in frames})
        if count > 1:
            raise Refusal(
                "several-patients",
                f"the images of the series have {count} values of {keyword}: they are not of one "
                "patient, or were changed by hand: send one patient's images alone",
            )
    count = len({str(frame.header.StudyInstanceUID) for frame in frames})
    if count > 1:
        raise Refusal(
            "several-studies",
            f"the images of the series are of {count} studies: send one study alone",
        )


def _identity(value: object) -> str:
    """Return a value without what has no meaning: ``DOE^JOHN^^`` and ``DOE^JOHN`` are equal.

    Outer spaces of a text have none (PS3.5 6.2), nor have components of a person's name that are
    empty at its end (6.2.1.1).
    """
    groups = [
        "^".join(part.strip() for part in group.split("^")).rstrip("^")
        for group in str(value or "").split("=")
    ]
    return "=".join(groups).rstrip("=")


def check_images(
    frames: Sequence[Frame],
    lossy: Literal["refuse", "warn"] = "refuse",
    derived_maps: DerivedMaps = "refuse",
) -> tuple[str, ...]:
    """Refuse images that are no plain grey-level magnitude images that can be decoded here.

    Pixels that were compressed with loss are refused, or returned as a warning, a line each.

    Raises:
        Refusal: ``colour``, ``localiser``, ``mosaic``, ``not-magnitude``, ``derived-map``,
            ``unsupported-pixels``, ``compressed`` or ``lossy-compressed``.
    """
    _check_colour(frames)
    _check_localiser(frames)
    _check_mosaic(frames)
    _check_components(frames)
    if derived_maps == "refuse":
        _check_maps(frames)
    for frame in frames:
        _check_format(frame.header)
    doubts = _check_losses(frames, lossy)
    _check_decoders(frames)
    return doubts


def _component_of(header: Dataset) -> str:
    """Return ``magnitude``, ``phase``, ``real`` or ``imaginary``.

    By Complex Image Component (0008,9208), the third and later values of Image Type (0008,0008:
    ``P`` of Siemens, ``P_FFE`` or ``PHASE MAP`` of Philips), or GE's private element.
    """
    component = str(header.get("ComplexImageComponent") or "")
    if component in ("PHASE", "REAL", "IMAGINARY", "MIXED"):
        return component.lower()
    values = header.get("ImageType")
    # The first two say original or derived, primary or secondary (PS3.3 C.7.6.1.1.2).
    for word in [] if values is None or isinstance(values, str) else list(values)[2:]:
        first, _, rest = str(word).partition("_")
        known = _COMPONENTS.get(str(word))
        if known is None and rest and first in ("P", "R", "I"):
            known = _COMPONENTS[first]
        if known is not None:
            return known
    if str(header.get("Manufacturer") or "").upper().startswith("GE"):
        kind = getattr(header.get((0x0043, 0x102F)), "value", None)
        return _GE_COMPONENTS.get(int(kind), "magnitude") if isinstance(kind, int) else "magnitude"
    return "magnitude"


def _check_colour(frames: Sequence[Frame]) -> None:
    """Refuse colour images."""
    for frame in frames:
        photometric = frame.header.get("PhotometricInterpretation")
        given = value_of(frame.header, "SamplesPerPixel")
        samples = 1 if given is None else integer(frame.header, "SamplesPerPixel")
        name = photometric if photometric in _COLOURS else "unknown"
        if samples != 1 or photometric not in _MONOCHROME:
            raise Refusal(
                "colour",
                f"the series is in colour or no grey levels ({name}, {samples} "
                "samples a pixel): choose the series of grey levels",
            )


def _check_localiser(frames: Sequence[Frame]) -> None:
    """Refuse images that are marked as localisers."""
    if any("LOCALIZER" in (frame.header.get("ImageType") or ()) for frame in frames):
        raise Refusal(
            "localiser",
            "the series is a localiser (Image Type has LOCALIZER): choose a series of a volume",
        )


def _check_mosaic(frames: Sequence[Frame]) -> None:
    """Refuse Siemens' images that show all slices of a volume as tiles."""
    if any("MOSAIC" in texts(frame.header, "ImageType") for frame in frames):
        raise Refusal(
            "mosaic",
            "the series is a Siemens mosaic (Image Type has MOSAIC), with all slices of a volume "
            "as tiles of one image: convert it with dcm2niix, then run `mri-bundles restore` on "
            "the NIfTI file",
        )


def _check_maps(frames: Sequence[Frame]) -> None:
    """Refuse maps computed from images, such as ADC, FA, CBF, T2, a projection, a subtraction."""
    found = [how for how in (map_of(frame.header) for frame in frames) if how]
    if found:
        raise Refusal(
            "derived-map",
            f"{len(found)} of {len(frames)} images are maps that were computed from images "
            f"({found[0]}): choose the series of the images, or set derived_maps: allow in the "
            "rules",
        )


def _check_components(frames: Sequence[Frame]) -> None:
    """Refuse phase, real and imaginary images."""
    kinds = Counter(_component_of(frame.header) for frame in frames)
    if set(kinds) != {"magnitude"}:
        found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        raise Refusal(
            "not-magnitude",
            f"the series holds images other than magnitudes ({found}): export the magnitudes alone",
        )


def _check_format(header: Dataset) -> None:
    """Refuse pixels other than whole numbers of 8, 16 or 32 bits."""
    allocated, stored = integer(header, "BitsAllocated"), integer(header, "BitsStored")
    high, sign = integer(header, "HighBit"), integer(header, "PixelRepresentation")
    whole = allocated in (8, 16, 32) and stored is not None and 1 <= stored <= (allocated or 0)
    sane = sign in (0, 1) and "ModalityLUTSequence" not in header
    placed = high is None or (stored or 0) - 1 <= high < (allocated or 0)
    if not whole or not sane or not placed:
        raise Refusal(
            "unsupported-pixels",
            f"pixels of {stored} bits in {allocated} (high bit {high}, representation "
            f"{sign}) or with a lookup table cannot be read: export "
            "the series as MR images of 16 bits",
        )


def _check_decoders(frames: Sequence[Frame]) -> None:
    """Refuse a transfer syntax that nothing installed can decode."""
    for syntax in _syntaxes(frames):
        if not syntax.is_encapsulated:
            continue
        try:
            decoder = get_decoder(syntax)
        except NotImplementedError:
            remedy = "export the series uncompressed (Explicit VR Little Endian)"
            raise Refusal("compressed", f"{syntax.name} cannot be decoded: {remedy}") from None
        if not decoder.is_available:
            packages = "; ".join(decoder.missing_dependencies)
            raise Refusal(
                "compressed",
                f"{syntax.name} cannot be decoded here: install python-gdcm or one of "
                f"({packages}), or export the series uncompressed",
            )


def _check_losses(frames: Sequence[Frame], lossy: Literal["refuse", "warn"]) -> tuple[str, ...]:
    """Refuse or report lossy compression (0028,2110)."""
    marked = any("01" in texts(frame.header, "LossyImageCompression") for frame in frames)
    by_syntax = [one.name for one in _syntaxes(frames) if one in _ALWAYS_LOSSY]
    # JPEG 2000 may be either; it is taken as lossless unless the header states a loss.
    if not marked and not by_syntax:
        return ()
    line = "the pixels were compressed with loss, so that structure of the compression is restored"
    if lossy == "refuse":
        raise Refusal("lossy-compressed", f"{line}: export the original, or set lossy_compression")
    return (line,)


def _syntaxes(frames: Sequence[Frame]) -> list[UID]:
    """Return the transfer syntaxes of the files."""
    return list(dict.fromkeys(frame.syntax for frame in frames))
