"""Attributes that a derived image copies from its source image."""

from __future__ import annotations

import copy

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from custom.deploy.dicom.header_values import element_of

__all__ = ["copied_header"]


# An allow-list, so that nothing unknown is copied: no private element, overlay, curve, icon or
# padding.
_PATIENT = (  # PS3.3 C.7.1.1, C.7.1.3, C.7.2.2
    "PatientName PatientID IssuerOfPatientID IssuerOfPatientIDQualifiersSequence "
    "OtherPatientIDsSequence PatientBirthDate PatientBirthTime PatientSex PatientAge PatientSize "
    "PatientWeight PatientBreedDescription PatientSpeciesDescription PatientSpeciesCodeSequence "
    "ResponsiblePerson ResponsiblePersonRole ResponsibleOrganization EthnicGroup PatientComments "
    "AdditionalPatientHistory PregnancyStatus PatientIdentityRemoved DeidentificationMethod "
    "DeidentificationMethodCodeSequence LongitudinalTemporalInformationModified "
    "ClinicalTrialSponsorName ClinicalTrialProtocolID ClinicalTrialProtocolName "
    "ClinicalTrialSiteID ClinicalTrialSiteName ClinicalTrialSubjectID "
    "ClinicalTrialSubjectReadingID ClinicalTrialTimePointID"
)
_STUDY = (  # C.7.2.1, C.7.3.1
    "SpecificCharacterSet TimezoneOffsetFromUTC StudyInstanceUID StudyDate StudyTime StudyID "
    "StudyDescription AccessionNumber IssuerOfAccessionNumberSequence ReferringPhysicianName "
    "ProcedureCodeSequence ReferencedStudySequence PhysiciansOfRecord NameOfPhysiciansReadingStudy "
    "Laterality ImageLaterality BodyPartExamined AnatomicRegionSequence ProtocolName "
    "PatientPosition PerformingPhysicianName OperatorsName"
)
_SCANNER = (  # C.7.5.1, C.7.4.1
    "Manufacturer InstitutionName InstitutionAddress InstitutionalDepartmentName StationName "
    "ManufacturerModelName DeviceSerialNumber SoftwareVersions FrameOfReferenceUID "
    "PositionReferenceIndicator"
)
_ACQUISITION = (  # C.7.6.1, C.7.6.4, C.8.3.1
    "AcquisitionNumber AcquisitionDate AcquisitionTime AcquisitionDateTime ScanningSequence "
    "SequenceVariant ScanOptions MRAcquisitionType SequenceName AngioFlag RepetitionTime EchoTime "
    "InversionTime NumberOfAverages ImagingFrequency ImagedNucleus EchoNumbers "
    "MagneticFieldStrength NumberOfPhaseEncodingSteps EchoTrainLength PercentSampling "
    "PercentPhaseFieldOfView PixelBandwidth TriggerTime NominalInterval BeatRejectionFlag "
    "ReceiveCoilName TransmitCoilName AcquisitionMatrix InPlanePhaseEncodingDirection FlipAngle "
    "VariableFlipAngleFlag SAR dBdt TemporalPositionIdentifier NumberOfTemporalPositions "
    "TemporalResolution ContrastBolusAgent ContrastBolusAgentSequence ContrastBolusRoute "
    "ContrastBolusVolume ContrastBolusStartTime ContrastBolusTotalDose ContrastBolusIngredient "
    "ContrastBolusIngredientConcentration ContributingEquipmentSequence RecognizableVisualFeatures "
    "LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod"
)
_COPIED = " ".join((_PATIENT, _STUDY, _SCANNER, _ACQUISITION))
# Type 2 of the MR Image IOD (PS3.3 A.4): must be present, but may be empty.
_NEVER_ABSENT = (
    "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber "
    "ReferringPhysicianName Manufacturer PositionReferenceIndicator PatientPosition ScanOptions "
    "MRAcquisitionType EchoTime EchoTrainLength RepetitionTime"
)


def copied_header(source: Dataset) -> Dataset:
    """Return a new data set with the attributes that stay true of a derived image.

    Attributes of an Enhanced image are translated to those of a classic one.
    """
    header = Dataset()
    for keyword in _COPIED.split():
        element = element_of(source, keyword)
        if element is not None:
            header[element.tag] = _copy(element)
    for keyword in _NEVER_ABSENT.split():
        if keyword not in header:
            setattr(header, keyword, None)
    # Type 1 of the MR Image module (C.8.3.1), as is the next: may be neither absent nor empty.
    if not header.get("ScanningSequence"):
        header.ScanningSequence = _scanning_sequence(source)
    if not header.get("SequenceVariant"):
        header.SequenceVariant = _sequence_variant(source)
    # Type 2C: required of inversion recovery.
    if "IR" in header.ScanningSequence and "InversionTime" not in header:
        header.InversionTime = None
    return header


def _copy(element: DataElement) -> DataElement:
    """Return a copy of an element, without private elements in the items of a sequence."""
    if element.VR != "SQ":
        return copy.copy(element)
    # Deep: a shared item would lose its private elements in the source, too.
    own = copy.deepcopy(element)
    for item in own.value:
        item.remove_private_tags()
    return own


def _scanning_sequence(source: Dataset) -> list[str]:
    """Return Scanning Sequence (0018,0020) from an Enhanced image; research mode if unknown."""
    pulses = {"SPIN": ["SE"], "GRADIENT": ["GR"], "BOTH": ["SE", "GR"]}
    words = list(pulses.get(str(source.get("EchoPulseSequence")), []))
    if source.get("EchoPlanarPulseSequence") == "YES":
        words.append("EP")
    if source.get("InversionRecovery") == "YES":
        words.append("IR")
    return words or ["RM"]


def _sequence_variant(source: Dataset) -> list[str]:
    """Return Sequence Variant (0018,0021) from an Enhanced image."""
    words = []
    if source.get("SegmentedKSpaceTraversal") in ("PARTIAL", "FULL"):
        words.append("SK")
    if source.get("MagnetizationTransfer") in ("ON_RESONANCE", "OFF_RESONANCE"):
        words.append("MTC")
    if source.get("Spoiling") not in (None, "", "NONE"):
        words.append("SP")
    return words or ["NONE"]
