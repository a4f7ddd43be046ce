"""Every input that is refused: the reason, one line, no patient attribute."""

import logging
import warnings

import numpy as np
import pytest
from mr_series import classic, oblique, phantom, write
from refused_cases import CASES, lossy_by_header

from custom.deploy.dicom.series import read_folder
from custom.deploy.dicom.volume import series_volume
from custom.deploy.dicom.writing.derived_series import Derivation, write_derived
from custom.errors import Refusal


@pytest.mark.parametrize("name", list(CASES))
def test_it_is_refused(name, tmp_path, caplog):
    make, reason, match = CASES[name]
    write(make(), tmp_path)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Refusal, match=match) as refused:
        series_volume(read_folder(tmp_path)[0], "volume")
    assert refused.value.reason == reason
    line = str(refused.value)
    assert "\n" not in line
    assert ":" in line or "needs" in line  # how to mend it
    assert "PLANTED" not in line + caplog.text
    assert str(tmp_path) not in line


def test_lossy_compression_may_be_let_pass_with_a_warning(tmp_path):
    write(lossy_by_header(), tmp_path)
    volume = series_volume(read_folder(tmp_path)[0], "volume", lossy="warn")
    assert len(volume.warnings) == 1
    assert "compressed with loss" in volume.warnings[0]


def test_what_scanners_round_is_not_refused(tmp_path):
    images = classic(phantom(plane=oblique()))
    for image in images:
        image.ImagePositionPatient = [round(float(x), 3) for x in image.ImagePositionPatient]
        image.ImageOrientationPatient = [round(float(x), 4) for x in image.ImageOrientationPatient]
    write(images, tmp_path)
    volume = series_volume(read_folder(tmp_path)[0], "volume")
    np.testing.assert_allclose(volume.affine, phantom(plane=oblique()).affine, atol=2e-3)


def test_pydicom_says_nothing_of_a_patient(tmp_path, caplog):
    images = classic(phantom(), PatientWeight="61.23456", SeriesNumber="12345678")
    for file in write(images, tmp_path).iterdir():
        content = file.read_bytes()
        assert content.count(b"61.23456") == content.count(b"12345678") == 1
        content = content.replace(b"61.23456", b"PLANTED1").replace(b"12345678", b"PLANTED2")
        file.write_bytes(content)
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        volume = series_volume(read_folder(tmp_path)[0], "volume")
        done = Derivation("restored", "bundle", "1")
        write_derived(volume.array, volume.affine, volume, tmp_path / "out", done)
    assert "PLANTED" not in "".join(str(one.message) for one in caught) + caplog.text
    assert "PLANTED" not in repr(volume)
    assert logging.getLogger("pydicom").disabled is False


def test_an_unknown_kind_is_an_error(tmp_path):
    write(classic(phantom()), tmp_path)
    with pytest.raises(ValueError, match="kind must be"):
        series_volume(read_folder(tmp_path)[0], "film")
