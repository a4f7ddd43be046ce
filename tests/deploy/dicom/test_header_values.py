import numpy as np
from mr_series import classic, phantom, write
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from custom.deploy.dicom.header_values import element_of, integer, numbers, quiet_pydicom, value_of
from custom.deploy.dicom.series import read_folder
from custom.deploy.dicom.volume import series_volume
from custom.deploy.dicom.writing.derived_series import Derivation, write_derived


def damaged(keyword_tag, vr, value):
    header = Dataset()
    tag = Tag(keyword_tag)
    header[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    return header


def test_absent_empty_and_damaged_values_are_none():
    header = Dataset()
    assert value_of(header, "EchoTime") is None
    header.EchoTime = ""
    assert value_of(header, "EchoTime") is None
    assert element_of(header, "EchoTime") is not None
    broken = damaged((0x0018, 0x0081), "DS", b"twelve")
    with quiet_pydicom():
        assert numbers(broken, "EchoTime", 1) is None
        cut_short = damaged((0x0018, 0x9087), "FD", b"123")
        assert value_of(cut_short, "DiffusionBValue") is None
        assert element_of(cut_short, "DiffusionBValue") is None


def test_numbers_must_be_as_many_as_asked_for():
    header = Dataset()
    header.PixelSpacing, header.SeriesNumber = [1.5, 2], 7
    np.testing.assert_array_equal(numbers(header, "PixelSpacing", 2), [1.5, 2])
    assert numbers(header, "PixelSpacing", 3) is None
    assert integer(header, "SeriesNumber") == 7
    assert integer(header, "InstanceNumber") is None


def test_a_damaged_value_that_does_not_matter_stops_nothing(tmp_path):
    images = classic(phantom(), MagneticFieldStrength="3.123456", SeriesNumber="12345678")
    for file in write(images, tmp_path / "in").iterdir():
        content = file.read_bytes()
        assert content.count(b"3.123456") == content.count(b"12345678") == 1
        content = content.replace(b"3.123456", b"PLANTED1").replace(b"12345678", b"PLANTED2")
        file.write_bytes(content)
    (series,) = read_folder(tmp_path / "in")
    assert series.number is None
    source = series_volume(series, "volume")
    done = Derivation("restored", "b", "1")
    files = write_derived(source.array, source.affine, source, tmp_path / "out", done)
    assert len(files) == 5
