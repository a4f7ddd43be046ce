"""Writing: what a derived image says of itself."""

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from mr_series import classic, enhanced, phantom, write
from pydicom.uid import MRImageStorage

from custom.deploy.dicom.series import read_folder
from custom.deploy.dicom.volume import series_volume
from custom.deploy.dicom.writing.derived_series import Derivation, write_derived

DONE = Derivation("restored", "gan3d_sr_denoise", "0.3.1", "ab" * 32, "Restored by a network.")


def source_of(of, folder, kind="volume", make=classic):
    images = make(of)
    (series,) = read_folder(write(images if isinstance(images, list) else [images], folder))
    return series_volume(series, kind)


def written(array, affine, source, folder, derivation=DONE):
    files = write_derived(array, affine, source, folder, derivation)
    return files, [pydicom.dcmread(file) for file in files]


def test_the_identity_of_a_derived_series(tmp_path):
    images = classic(phantom())
    (series,) = read_folder(write(images, tmp_path / "in"))
    source = series_volume(series, "volume")
    files, results = written(source.array, source.affine, source, tmp_path / "out")
    assert files == sorted((tmp_path / "out").iterdir())
    assert [one.InstanceNumber for one in results] == [1, 2, 3, 4, 5]
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientName", "PatientID",
                    "PatientBirthDate", "AccessionNumber", "StudyDate", "EchoTime",
                    "RepetitionTime", "MagneticFieldStrength", "Manufacturer"):  # fmt: skip
        assert {str(one[keyword].value) for one in results} == {str(images[0][keyword].value)}
    uids = {one.SOPInstanceUID for one in results}
    assert len(uids | {one.SOPInstanceUID for one in images}) == 10
    assert {one.file_meta.MediaStorageSOPInstanceUID for one in results} == uids
    (uid,) = {one.SeriesInstanceUID for one in results}
    assert uid != images[0].SeriesInstanceUID
    assert all(one.is_valid and len(one) <= 64 for one in (*uids, uid))
    first = results[0]
    assert first.SOPClassUID == MRImageStorage
    assert first.ImageType == ["DERIVED", "SECONDARY", "M", "ND"]
    assert first.ContentQualification == "RESEARCH"
    assert "BurnedInAnnotation" not in first  # the source says nothing, and nobody looked
    assert first.SeriesNumber == 5005
    assert first.SeriesDescription == (
        "T1 sagittal | restored gan3d_sr_denoise 0.3.1, research use only"
    )
    assert "ab" * 32 in first.DerivationDescription
    assert "research use only" in first.DerivationDescription
    code = first.DerivationCodeSequence[0]
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("113087", "DCM")
    tool = first.ContributingEquipmentSequence[-1]
    assert (tool.ManufacturerModelName, tool.SoftwareVersions) == ("gan3d_sr_denoise", "0.3.1")
    assert tool.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"


def test_what_is_not_on_the_list_is_dropped(tmp_path):
    images = classic(phantom(), PixelPaddingValue=3, SmallestImagePixelValue=7)
    for image in images:
        image.add_new(0x60003000, "OW", b"\0" * 6)
        item = pydicom.Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "1", "DCM", "x"
        item.private_block(0x0009, "SOMEBODY", create=True).add_new(1, "LO", "PRIVATE")
        image.ProcedureCodeSequence = [item]
    (series,) = read_folder(write(images, tmp_path / "in"))
    source = series_volume(series, "volume")
    _, results = written(source.array, source.affine, source, tmp_path / "out")
    for result in results:
        assert not any(element.tag.is_private for element in result.iterall())
        assert not any(element.tag.group == 0x6000 for element in result)
        for keyword in ("ImageComments", "PixelPaddingValue", "SmallestImagePixelValue"):
            assert keyword not in result
        assert result.ProcedureCodeSequence[0].CodeValue == "1"


@pytest.mark.parametrize(
    ("charset", "name", "description"),
    [
        ("ISO_IR 100", "Müller^Jürgen", "Schädel T1"),
        ("ISO_IR 192", "山田^太郎", "頭部 T1"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "頭部 T1"),
        (None, "Plain^Name", "head"),
    ],
)
def test_character_sets_are_kept(tmp_path, charset, name, description):
    of = phantom(charset=charset, name=name, description=description)
    source = source_of(of, tmp_path / "in")
    _, results = written(source.array, source.affine, source, tmp_path / "out")
    assert {str(one.PatientName) for one in results} == {name}
    assert results[0].SeriesDescription.startswith(description)
    assert results[0].get("SpecificCharacterSet") == source.headers[0].get("SpecificCharacterSet")


def test_windows(tmp_path):
    (series,) = read_folder(
        write(classic(phantom(), WindowCenter=[700, 40], WindowWidth=[900, 80]), tmp_path / "in")
    )
    source = series_volume(series, "volume")
    _, restored = written(source.array, source.affine, source, tmp_path / "a")
    assert restored[0].WindowCenter == [700, 40]
    ramp = np.linspace(0, 1, source.array.size).reshape(source.array.shape)
    difference = replace(DONE, what="difference", code=("113062", "Pixel by pixel subtraction"))
    _, maps = written(ramp, source.affine, source, tmp_path / "b", difference)
    assert float(maps[0].WindowCenter) == pytest.approx(0.5, abs=1e-6)
    assert float(maps[0].WindowWidth) == pytest.approx(0.98, abs=1e-6)
    assert maps[0].DerivationCodeSequence[0].CodeValue == "113062"


def test_a_code_may_be_named(tmp_path):
    source = source_of(phantom(), tmp_path / "in")
    done = replace(DONE, code=("113049", "Pixel by pixel mean"))
    _, results = written(source.array, source.affine, source, tmp_path / "out", done)
    assert [code.CodeValue for code in results[0].DerivationCodeSequence] == ["113049"]


@pytest.mark.parametrize("bundle", ["b", "a_bundle_of_quite_a_long_name_that_does_not_fit_in_it"])
@pytest.mark.parametrize("source", ["", "T1", "a description of the source of 62 characters " * 2])
def test_a_description_fits_and_keeps_its_end(bundle, source):
    text = Derivation("uncertainty", bundle, "10.20.30").series_description(source)
    assert len(text) <= 64
    assert text.endswith("10.20.30, research use only")
    long = Derivation("restored", bundle, "1", "f" * 64, "words " * 400).text()
    assert len(long) <= 1024
    assert long.endswith("For research use only.")


def test_times_are_told_in_the_zone_of_the_study(tmp_path):
    images = classic(phantom(), TimezoneOffsetFromUTC="+0545")
    (series,) = read_folder(write(images, tmp_path / "in"))
    source = series_volume(series, "volume")
    _, results = written(source.array, source.affine, source, tmp_path / "out")
    assert results[0].ContributingEquipmentSequence[-1].ContributionDateTime.endswith("+0545")


def test_lossy_sources_stay_marked(tmp_path):
    images = classic(phantom(), LossyImageCompression="01", LossyImageCompressionRatio=12)
    (series,) = read_folder(write(images, tmp_path / "in"))
    source = series_volume(series, "volume", lossy="warn")
    _, results = written(source.array, source.affine, source, tmp_path / "out")
    assert results[0].LossyImageCompression == "01"
    assert results[0].LossyImageCompressionRatio == 12


def test_what_an_enhanced_image_says_otherwise_fits_a_classic_one(tmp_path):
    file = enhanced(phantom())
    for group in file.PerFrameFunctionalGroupsSequence:
        group.MREchoSequence[0].EffectiveEchoTime = 194.39999999999998
    shared = file.SharedFunctionalGroupsSequence[0]
    geometry = pydicom.Dataset()
    geometry.InPlanePhaseEncodingDirection = "COLUMN"
    shared.MRFOVGeometrySequence = [geometry]
    (series,) = read_folder(write([file], tmp_path / "in"))
    source = series_volume(series, "volume")
    _, results = written(source.array, source.affine, source, tmp_path / "out")
    assert results[0].EchoTime == pytest.approx(194.4)
    assert len(str(results[0].EchoTime)) <= 16
    assert results[0].InPlanePhaseEncodingDirection == "COL"
    # The source stays as it was read.
    shared = series.headers[0].SharedFunctionalGroupsSequence[0]
    assert shared.MRFOVGeometrySequence[0].InPlanePhaseEncodingDirection == "COLUMN"


def test_the_source_stays_as_it_was(tmp_path):
    images = classic(phantom(), ScanningSequence="", SequenceVariant="", EchoTrainLength=None)
    (series,) = read_folder(write(images, tmp_path / "in"))
    source = series_volume(series, "volume")
    before = [one.to_json() for one in source.headers]
    write_derived(source.array * 0.3, source.affine, source, tmp_path / "out", DONE)
    assert [one.to_json() for one in source.headers] == before


@pytest.mark.parametrize("stated", ["YES", "NO"])
def test_burned_in_text_is_stated_as_the_source_states_it(tmp_path, stated):
    (series,) = read_folder(write(classic(phantom(), BurnedInAnnotation=stated), tmp_path / "in"))
    source = series_volume(series, "volume")
    _, results = written(source.array, source.affine, source, tmp_path / "out")
    assert {one.BurnedInAnnotation for one in results} == {stated}


def test_a_frame_of_reference_is_made_where_the_source_has_none(tmp_path):
    images = classic(phantom())
    for image in images:
        del image.FrameOfReferenceUID
    (series,) = read_folder(write(images, tmp_path / "in"))
    source = series_volume(series, "volume")
    _, results = written(source.array, source.affine, source, tmp_path / "out")
    (uid,) = {one.FrameOfReferenceUID for one in results}
    assert uid.is_valid


def test_models_of_a_bundle_can_be_told_apart(tmp_path):
    source = source_of(phantom(), tmp_path / "in")
    said = []
    for model in ("", "apddm"):
        done = replace(DONE, model=model)
        _, (first, *_) = written(source.array, source.affine, source, tmp_path / f"a{model}", done)
        said.append(first.SeriesDescription)
    assert said[0] != said[1]
    assert "gan3d_sr_denoise/apddm" in said[1]
