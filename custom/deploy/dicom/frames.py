"""One image of a series: a file of its own, or a frame of an Enhanced file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    EnhancedMRImageStorage,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
)
from pydicom.valuerep import format_number_as_ds

from custom.deploy.dicom.header_values import code_word, integer
from custom.deploy.dicom.series import DicomSeries
from custom.errors import Refusal

__all__ = ["ENHANCED", "Frame", "frames_of"]

ENHANCED = (EnhancedMRImageStorage, LegacyConvertedEnhancedMRImageStorage)

# Functional groups (PS3.3 C.7.6.16.2, C.8.13.5) of one item whose attributes have the tags, or
# a counterpart, in a classic image.
_GROUPS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "FrameContentSequence",
    "FrameAnatomySequence",
    "MRImageFrameTypeSequence",
    "MRTimingAndRelatedParametersSequence",
    "MREchoSequence",
    "MRAveragesSequence",
    "MRImagingModifierSequence",
    "MRModifierSequence",
    "MRFOVGeometrySequence",
    "MRReceiveCoilSequence",
    "MRTransmitCoilSequence",
    "MRDiffusionSequence",
    "UnassignedSharedConvertedAttributesSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
)
# Attributes whose keyword in an Enhanced image differs from that in a classic one.
_ECHO_TIME = "EffectiveEchoTime"
_CLASSIC_NAMES = {
    "FrameType": "ImageType",
    _ECHO_TIME: "EchoTime",
    "FrameLaterality": "ImageLaterality",
}
_FUNCTIONAL = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


@dataclass(frozen=True)
class Frame:
    """One image.

    Attributes:
        header: Its attributes without pixels, under the tags of a classic MR image. For a frame
            of an Enhanced image those of its functional groups are among them. Not shown in the
            text form, since they hold the patient's.
        file: Where its pixels are.
        index: Its place in the file, from 0.
    """

    header: Dataset = field(repr=False)
    file: Path = field(repr=False)
    index: int = 0

    @property
    def syntax(self) -> UID:
        """The transfer syntax of its file; implicit little endian, DICOM's default, if unsaid."""
        return UID(self.header.file_meta.get("TransferSyntaxUID") or ImplicitVRLittleEndian)

    @property
    def is_enhanced(self) -> bool:
        """Whether it is a frame of an Enhanced image."""
        return self.header.get("SOPClassUID") in ENHANCED


def frames_of(series: DicomSeries) -> list[Frame]:
    """Return the images of a series in the order of its files.

    Raises:
        Refusal: If something in the series is no MR image, or a multi-frame file lacks the
            functional groups with the positions of its frames.
    """
    frames: list[Frame] = []
    for header, file in zip(series.headers, series.files, strict=True):
        _check_class(header)
        if header.SOPClassUID == MRImageStorage and (integer(header, "NumberOfFrames") or 1) == 1:
            frames.append(Frame(header, file))
        else:
            frames.extend(_frames_of_file(header, file))
    return frames


def _check_class(header: Dataset) -> None:
    """Refuse anything but an MR image."""
    modality = code_word(header, "Modality", "of no modality")
    if modality != "MR":
        raise Refusal("not-mr", f"the series is {modality}, not MR: choose an MR series")
    known = (MRImageStorage, *ENHANCED)
    uid = header.get("SOPClassUID")
    if uid not in known:
        name = getattr(uid, "name", "nothing")
        raise Refusal(
            "not-mr",
            f"the series holds {name}: only {', '.join(one.name for one in known)} can be read",
        )


def _frames_of_file(header: Dataset, file: Path) -> Iterator[Frame]:
    """Return the frames of a multi-frame file."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    count = integer(header, "NumberOfFrames") or 1
    if len(per_frame) != count:
        raise Refusal(
            "incomplete-multi-frame",
            f"a multi-frame file has {count} frames and functional groups (5200,9230) for "
            f"{len(per_frame)}: export the series as single-frame MR images",
        )
    base = Dataset()
    for tag in header.keys():  # noqa: SIM118 - the values of private elements stay unread
        # Else each frame would carry the functional groups of all.
        if not tag.is_private and keyword_for_tag(tag) not in _FUNCTIONAL:
            base[tag] = header[tag]
    # Shared groups first: a frame's own override them.
    for group in header.get("SharedFunctionalGroupsSequence") or []:
        _merge(base, group)
    for index, group in enumerate(per_frame):
        flat = Dataset()
        flat.update(base)
        flat.file_meta = header.file_meta
        _merge(flat, group)
        yield Frame(flat, file, index)


def _merge(flat: Dataset, group: Dataset) -> None:
    """Lift the attributes of functional groups, and give them their classic names as well."""
    for name in _GROUPS:
        items = group.get(name)
        if not items:
            continue
        for element in items[0]:
            if not element.tag.is_private:
                flat[element.tag] = element
    for name, classic in _CLASSIC_NAMES.items():
        if name in flat:
            value = flat[name].value
            # A double there, a text of at most 16 characters here.
            setattr(flat, classic, format_number_as_ds(value) if name == _ECHO_TIME else value)
    if flat.get("InPlanePhaseEncodingDirection") == "COLUMN":
        # A new element: the one in the functional group stays as it is.
        flat.add_new("InPlanePhaseEncodingDirection", "CS", "COL")
