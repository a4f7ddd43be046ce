"""Maps that were computed from images, by their headers."""

from __future__ import annotations

from pydicom.dataset import Dataset

from custom.deploy.dicom.header_values import texts, value_of
from custom.files.map_names import map_name

__all__ = ["map_of"]

# Volume Based Calculation Technique (0008,9207) of values that are no intensities of a place.
_PROJECTIONS = ("MAX_IP", "MIN_IP", "VOLUME_RENDER", "SURFACE_RENDER")
# Derivations of CID 7203 whose result is no image of the same kind: metabolite maps, division,
# subtraction, renderings, segmentation, projections, analyses of perfusion and diffusion.
_DERIVATIONS = (
    *("113050", "113046", "113062", "113074", "113075", "113076", "113078", "113079"),
    *("129104", "129105", "129106"),
)


def map_of(header: Dataset) -> str | None:
    """Return how a header says that an image is a map computed from images; None if it does not.

    By the third and later values of Image Type (0008,0008), Volume Based Calculation Technique
    (0008,9207) and Derivation Code Sequence (0008,9215); of a derived image also by its Series
    Description (0008,103E), in which many programs name the map alone.
    """
    words = texts(header, "ImageType")
    named = next(filter(None, map(map_name, words[2:])), None)
    if named:
        return f"Image Type has {named}"
    technique = value_of(header, "VolumeBasedCalculationTechnique")
    if technique in _PROJECTIONS:
        return f"Volume Based Calculation Technique is {technique}"
    for item in value_of(header, "DerivationCodeSequence") or ():
        code = (value_of(item, "CodingSchemeDesignator"), value_of(item, "CodeValue"))
        if code[0] == "DCM" and code[1] in _DERIVATIONS:
            return f"Derivation Code Sequence has {code[1]}"
    if words[:1] == ["DERIVED"]:
        named = map_name(str(value_of(header, "SeriesDescription") or ""), free=True)
    return f"Series Description has {named}" if named else None
