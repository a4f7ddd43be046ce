"""Identity checks: all images of a series must be of one patient and one DICOM study."""

from __future__ import annotations

from collections.abc import Sequence

from custom.deploy.dicom.frames import Frame
from custom.deploy.dicom.header_values import value_of
from custom.deploy.dicom.refusals import Refusal

__all__ = ["check_identity"]

_PATIENT = ("PatientID", "PatientName", "PatientBirthDate")
# Without these a result cannot reference its source (PS3.3 C.7.2.1, C.12.1).
_NEEDED = ("StudyInstanceUID", "SOPClassUID", "SOPInstanceUID")


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
        count = len({str(value_of(frame.header, keyword) or "") for frame in frames})
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
