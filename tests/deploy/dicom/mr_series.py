"""Synthetic MR series as DICOM files, of which everything is known."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

NAME = "PLANTEDNAME^Quagga"
PATIENT_ID = "PLANTEDID-4711"

PLANES = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
}


def oblique(degrees=(20, -15, 35)):
    """Two unit vectors at right angles, along none of the axes."""
    from scipy.spatial.transform import Rotation

    axes = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    return tuple(axes[:, 0]), tuple(axes[:, 1])


@dataclass(frozen=True)
class Phantom:
    """A series to be: stored numbers, geometry in patient axes (LPS), scale."""

    stored: Any  # (X, Y, Z) whole numbers
    plane: Any = PLANES["axial"]
    spacing: tuple[float, float, float] = (0.9, 1.3, 2.5)  # of columns, rows, slices
    origin: tuple[float, float, float] = (-30.0, 12.5, 40.25)
    slope: float = 1.0
    intercept: float = 0.0
    slopes: tuple[float, ...] | None = None  # a slice each
    signed: bool = False
    bits: int = 12
    charset: str | list[str] | None = "ISO_IR 100"
    name: str = NAME
    description: str = "T1 sagittal 3D"
    step: tuple[float, float, float] | None = None  # between slices; along the normal if None
    uid: str = ""

    @property
    def axes(self):
        row, column = (np.array(one, float) for one in self.plane)
        return np.stack([row, column, np.cross(row, column)], axis=1)

    @property
    def lps(self):
        affine = np.eye(4)
        affine[:3, :3] = self.axes * self.spacing
        if self.step is not None:
            affine[:3, 2] = self.step
        affine[:3, 3] = self.origin
        return affine

    @property
    def affine(self):
        return np.diag([-1.0, -1, 1, 1]) @ self.lps

    @property
    def values(self):
        slope = np.array(self.slopes) if self.slopes else self.slope
        return self.stored * slope + self.intercept


def phantom(shape=(7, 6, 5), seed=0, **changes):
    """A phantom of random numbers of 12 bits."""
    stored = np.random.default_rng(seed).integers(0, 4096, shape)
    return Phantom(stored, uid=generate_uid(), **changes)


def series_header(of, *, study="", series=""):
    """Everything of an instance but its plane and pixels."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if of.charset:
        header.SpecificCharacterSet = of.charset
    header.SOPClassUID, header.SOPInstanceUID = MRImageStorage, generate_uid()
    header.StudyInstanceUID = study or "1.2.3.4"
    header.SeriesInstanceUID = series or of.uid
    header.FrameOfReferenceUID = "1.2.3.4.5"
    header.PositionReferenceIndicator = ""
    header.Modality, header.ImageType = "MR", ["ORIGINAL", "PRIMARY", "M", "ND"]
    header.PatientName, header.PatientID = of.name, PATIENT_ID
    header.PatientBirthDate, header.PatientSex = "19700101", "O"
    header.StudyDate, header.StudyTime, header.StudyID = "20250102", "101112", "S1"
    header.AccessionNumber, header.ReferringPhysicianName = "ACC-PLANTED", "PLANTEDDOCTOR^A"
    header.SeriesNumber, header.SeriesDescription = 5, of.description
    header.Manufacturer, header.MagneticFieldStrength = "Maker", 3
    header.ScanningSequence, header.SequenceVariant, header.ScanOptions = "GR", "SP", ""
    header.MRAcquisitionType, header.EchoTime, header.RepetitionTime = "3D", 3.5, 7.25
    header.EchoTrainLength, header.AcquisitionNumber = 1, 1
    header.ImageComments = "not to be copied"
    block = header.private_block(0x0009, "SOMEBODY", create=True)
    block.add_new(0x01, "LO", "private PLANTEDNAME")
    return header


def set_pixels(header, of, stored):
    """The Image Pixel module."""
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = stored.shape[-2:]
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, of.bits, of.bits - 1
    header.PixelRepresentation = int(of.signed)
    header.PixelData = stored.astype("<i2" if of.signed else "<u2").tobytes()


def classic(of, **changes):
    """One data set a slice, lowest first; keyword arguments are set in all."""
    images = []
    for index in range(of.stored.shape[2]):
        image = series_header(of)
        image.InstanceNumber = index + 1
        image.ImageOrientationPatient = [float(x) for vector in of.plane for x in vector]
        position = of.lps[:3] @ [0, 0, index, 1]
        image.ImagePositionPatient = [f"{x:.10f}"[:16] for x in position]
        image.PixelSpacing = [of.spacing[1], of.spacing[0]]
        image.SliceThickness = image.SpacingBetweenSlices = of.spacing[2]
        slope = of.slopes[index] if of.slopes else of.slope
        if (slope, of.intercept) != (1.0, 0.0):
            image.RescaleSlope, image.RescaleIntercept = slope, of.intercept
            image.RescaleType = "US"
        set_pixels(image, of, of.stored[:, :, index].T)
        for keyword, value in changes.items():
            setattr(image, keyword, value)
        images.append(image)
    return images


def write(images, folder: Path, seed=0):
    """Write data sets under names in a random order."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = list(range(len(images)))
    random.Random(seed).shuffle(numbers)
    for number, image in zip(numbers, images, strict=True):
        image.save_as(folder / f"im{number:04d}.dcm", enforce_file_format=True)
    return folder


def diffusion(of, table, scheme="standard"):
    """A diffusion series: for each (b, direction in LPS) all slices, in one series.

    ``scheme``: ``standard`` attributes, or ``siemens`` for the private block.
    """
    images = []
    for volume, (bval, direction) in enumerate(table):
        scaled = replace(of, stored=(of.stored + 17 * volume) % 4096)
        for image in classic(scaled, AcquisitionNumber=volume + 1):
            image.InstanceNumber = volume * of.stored.shape[2] + image.InstanceNumber
            _set_weighting(image, bval, direction, scheme)
            images.append(image)
    return images


def _set_weighting(image, bval, direction, scheme):
    if scheme == "siemens":
        image.Manufacturer = "SIEMENS"
        block = image.private_block(0x0019, "SIEMENS MR HEADER", create=True)
        block.add_new(0x0C, "IS", int(bval))
        if bval:
            block.add_new(0x0E, "FD", [float(x) for x in direction])
        return
    image.Manufacturer = "Philips"
    image.DiffusionBValue = float(bval)
    image.DiffusionGradientOrientation = [float(x) for x in direction]


def _item(**values):
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def enhanced(of, table=((None, None),), slopes=None):
    """One Enhanced MR image of all slices and weightings, its frames in a random order."""
    file = series_header(of)
    file.SOPClassUID = EnhancedMRImageStorage
    for keyword in ("EchoTime", "RepetitionTime", "ScanningSequence", "SequenceVariant"):
        delattr(file, keyword)
    file.InstanceNumber, file.EchoPulseSequence = 1, "GRADIENT"
    slices = of.stored.shape[2]
    places = [(volume, index) for volume in range(len(table)) for index in range(slices)]
    random.Random(3).shuffle(places)
    pixels, groups = [], []
    for volume, index in places:
        pixels.append((of.stored[:, :, index].T + 17 * volume) % 4096)
        groups.append(_frame_groups(of, index, table[volume], (slopes or {}).get(index, of.slope)))
        groups[-1].FrameContentSequence = [
            _item(
                StackID="1",
                TemporalPositionIndex=volume + 1,
                InStackPositionNumber=index + 1,
                DimensionIndexValues=[1, index + 1, volume + 1],
            )
        ]
    shared = Dataset()
    shared.PlaneOrientationSequence = [
        _item(ImageOrientationPatient=[float(x) for vector in of.plane for x in vector])
    ]
    shared.PixelMeasuresSequence = [
        _item(PixelSpacing=[of.spacing[1], of.spacing[0]], SliceThickness=of.spacing[2])
    ]
    shared.MRTimingAndRelatedParametersSequence = [_item(RepetitionTime=7.25, FlipAngle=9)]
    file.SharedFunctionalGroupsSequence = [shared]
    file.PerFrameFunctionalGroupsSequence = groups
    file.DimensionIndexSequence = [
        _item(DimensionIndexPointer=pointer, FunctionalGroupPointer=group)
        for pointer, group in (
            (0x00209056, 0x00209111),  # stack
            (0x00209057, 0x00209111),  # place in it
            (0x00189087, 0x00189117),  # b-value
        )
    ]
    file.NumberOfFrames = len(groups)
    set_pixels(file, of, np.stack(pixels))
    return file


def _frame_groups(of, index, weighting, slope):
    group = Dataset()
    position = of.lps[:3] @ [0, 0, index, 1]
    group.PlanePositionSequence = [_item(ImagePositionPatient=[f"{x:.10f}"[:16] for x in position])]
    group.PixelValueTransformationSequence = [
        _item(RescaleSlope=slope, RescaleIntercept=of.intercept, RescaleType="US")
    ]
    group.MRImageFrameTypeSequence = [
        _item(FrameType=["ORIGINAL", "PRIMARY", "M", "NONE"], ComplexImageComponent="MAGNITUDE")
    ]
    group.MREchoSequence = [_item(EffectiveEchoTime=3.5)]
    bval, direction = weighting
    if bval is not None:
        item = _item(DiffusionBValue=float(bval), DiffusionDirectionality="NONE")
        if bval:
            item.DiffusionDirectionality = "DIRECTIONAL"
            item.DiffusionGradientDirectionSequence = [
                _item(DiffusionGradientOrientation=[float(x) for x in direction])
            ]
        group.MRDiffusionSequence = [item]
    return group
