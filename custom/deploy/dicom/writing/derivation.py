"""Derivation of a derived image: for research, the bundle, the source images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydicom.dataset import Dataset

from custom.deploy.dicom.frames import Frame
from custom.deploy.dicom.header_values import value_of

__all__ = [
    "MAKER",
    "Derivation",
    "coded",
    "describe",
    "equipment",
    "source_items",
]

# CID 7203.
_RESAMPLING = ("113085", "Spatial resampling")
MAKER = "mri-restoration-bundles"
_LONGEST = 64  # characters of a Long String (PS3.5 6.2)
_RESEARCH = "research use only"


@dataclass(frozen=True)
class Derivation:
    """Kind of a derived image, and the bundle that made it; the defaults are of a restored one.

    Attributes:
        what: Kind of the image: ``restored``, or the name of a map.
        bundle: Name of the bundle.
        version: Its version.
        weights_sha256: SHA-256 of its weights; empty if there are none.
        description: One or two sentences in ASCII.
        code: Value and meaning of a code of CID 7203 of the scheme DCM; None if none fits. Spatial
            resampling (113085) is added on another grid.
        model: Which of the bundle's models; empty for its own.
        series_number_offset: Number added to the number of the source's series.
    """

    what: str
    bundle: str
    version: str
    weights_sha256: str = ""
    description: str = ""
    code: tuple[str, str] | None = ("113087", "Smoothing")
    model: str = ""
    series_number_offset: int = 5000

    @property
    def is_image(self) -> bool:
        """True if the values are intensities as in the source, not a map of something else."""
        return self.what == "restored"

    def series_description(self, source: str) -> str:
        """Return Series Description (0008,103E), at most 64 characters.

        The end is kept whole: it names the bundle and says that the series is for research.
        """
        head, tail = f"{self.what} ", f" {self.version}, {_RESEARCH}"
        name = f"{self.bundle}/{self.model}" if self.model else self.bundle
        end = head + name[: _LONGEST - len(head) - len(tail)] + tail
        start = source.strip()[: max(0, _LONGEST - len(end) - 3)].strip()
        return (f"{start} | {end}" if start else end)[:_LONGEST]

    def text(self) -> str:
        """Return Derivation Description (0008,2111), at most 1024 characters."""
        weights = f" Weights SHA-256 {self.weights_sha256}." if self.weights_sha256 else ""
        said = (self.description.strip() or f"{self.what.capitalize()} by a neural network").rstrip(
            "."
        )
        model = f" Model {self.model}." if self.model else ""
        made = f". Bundle {self.bundle} {self.version}.{model}{weights} For {_RESEARCH}."
        return said[: 1024 - len(made)] + made


def describe(header: Dataset, derivation: Derivation, source: Frame, *, same_grid: bool) -> None:
    """Write General Image module (PS3.3 C.7.6.1) and MR Image module (C.8.3.1)."""
    kind = source.header.get("ImageType")
    rest = [] if kind is None or isinstance(kind, str) else [str(word) for word in list(kind)[2:]]
    # The source's third value says magnitude, which a map is not.
    rest = rest if derivation.is_image and rest else ["OTHER"]
    header.ImageType = ["DERIVED", "SECONDARY", *rest]
    header.SeriesDescription = derivation.series_description(
        str(source.header.get("SeriesDescription") or "")
    )
    header.ContentQualification = "RESEARCH"
    header.DerivationDescription = derivation.text()
    codes = [*([derivation.code] if derivation.code else []), *([] if same_grid else [_RESAMPLING])]
    if codes:  # no code of CID 7203 fits a map of deviations
        header.DerivationCodeSequence = [coded(*code) for code in codes]
    burned = value_of(source.header, "BurnedInAnnotation")
    if burned is not None:  # without it in the source, nobody has looked for burned-in text
        header.BurnedInAnnotation = burned


def source_items(sources: Sequence[Frame], *, same_grid: bool) -> list[Dataset]:
    """Return the items of Source Image Sequence (0008,2112)."""
    items = []
    for source in sources:
        item = Dataset()
        item.ReferencedSOPClassUID = source.header.SOPClassUID
        item.ReferencedSOPInstanceUID = source.header.SOPInstanceUID
        if source.is_enhanced:
            # DICOM counts frames from 1.
            item.ReferencedFrameNumber = source.index + 1
        item.SpatialLocationsPreserved = "YES" if same_grid else "NO"
        purpose = coded("121322", "Source image for image processing operation")
        item.PurposeOfReferenceCodeSequence = [purpose]
        items.append(item)
    return items


def equipment(derivation: Derivation, now: datetime) -> Dataset:
    """Return an item of Contributing Equipment Sequence (0018,A001), PS3.3 C.12.1."""
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [coded("109102", "Processing Equipment")]
    item.Manufacturer = MAKER
    item.ManufacturerModelName = derivation.bundle[:_LONGEST]
    item.SoftwareVersions = derivation.version[:_LONGEST]
    item.ContributionDateTime = now.strftime("%Y%m%d%H%M%S.%f%z")
    item.ContributionDescription = derivation.text()
    return item


def coded(value: str, meaning: str) -> Dataset:
    """Return a code of the scheme DCM (PS3.16)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
