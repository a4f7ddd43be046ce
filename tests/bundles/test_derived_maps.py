"""Maps computed from images are no images to restore, in every bundle and format."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from paravision_files import write_scan

from custom.cli import main
from custom.data.inputs.image_checks import VolumeChecks
from custom.data.preparation.scans.scan_finder import ScanFinder
from custom.errors import InputError
from custom.files.image_faults import check_image
from custom.files.map_names import map_name

BUNDLES = sorted(path.parents[1] for path in Path("bundles").glob("*/configs/inference.yaml"))
VALUES = np.random.default_rng(0).integers(50, 900, (20, 20, 18)).astype(np.int16)
INTENTS = {"z score": "intent code 5", "estimate": "intent code 1001", "label": "intent code 1002"}


def write_map(path, intent="none", name=""):
    image = nib.Nifti1Image(VALUES, np.eye(4))
    image.header.set_intent(intent, (), name, allow_unknown=True)
    nib.save(image, path)
    return path


def write_isa(folder):
    groups = "( 1 )\n(18, <FG_SLICE>, <>, 0, 2)"
    return write_scan(folder, 5, VALUES, groups=groups, visu={"VisuSeriesTypeId": "<DERIVED_ISA>"})


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)
def test_they_are_refused_on_the_command_line(bundle, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    write_map(tmp_path / "in" / "z.nii.gz", "z score")
    write_map(tmp_path / "in" / "adc.nii.gz", name="ADC of b1000")
    with pytest.raises(SystemExit) as ended:
        main(["restore", str(bundle), "--input", str(tmp_path / "in"), "--output", str(tmp_path)])
    assert ended.value.code == 1
    lines = capsys.readouterr().err
    for file, how in (("z.nii.gz", "intent code 5, z score"), ("adc.nii.gz", "intent name ADC")):
        assert f"{file}: a map computed from images ({how}), not an MR image" in lines
    assert "insist with --derived_maps allow" in lines


@pytest.mark.parametrize(("intent", "how"), INTENTS.items())
def test_an_intent_is_allowed_on_request(tmp_path, intent, how):
    path = write_map(tmp_path / "a.nii", intent)
    with pytest.raises(InputError, match=how):
        check_image(path, lambda _: None, lambda _: None)
    check_image(path, lambda _: None, lambda _: None, "allow")


@pytest.mark.parametrize("intent", ["none", "time series", "dimensionless"])
def test_other_intents_are_images(tmp_path, intent):
    check_image(write_map(tmp_path / "a.nii", intent, "mickey"), lambda _: None, lambda _: None)


def test_bruker_names_its_maps_by_type_and_group(tmp_path):
    path = write_isa(tmp_path)
    with pytest.raises(InputError, match=r"computed from images \(DERIVED_ISA\)"):
        check_image(path, lambda _: None, lambda _: None)
    check_image(path, lambda _: None, lambda _: None, "allow")
    groups = "( 2 )\n(1, <FG_ISA>, <T2 relaxation>, 0, 1) (18, <FG_SLICE>, <>, 0, 2)"
    other = write_scan(tmp_path, 6, VALUES[:, :, None], groups=groups, position=np.zeros((1, 3)))
    with pytest.raises(InputError, match="FG_ISA"):
        check_image(other, lambda _: None, lambda _: None)


def test_preparation_leaves_them_out_with_the_reason(tmp_path):
    write_isa(tmp_path / "study")
    write_map(tmp_path / "study" / "a_axial_fast.nii.gz", "t test")
    scans, left_out = ScanFinder(tmp_path / "study", {})()
    assert not scans
    reasons = {one.reason for one in left_out}
    assert reasons == {
        "a map computed from images (DERIVED_ISA)",
        "a map computed from images (intent code 3, t test)",
    }


@pytest.mark.parametrize(
    "text",
    ["t1_mprage_sag_p2", "FA 15 t1", "sub-01_T1w", "DIFFUSION", "MPR", "TRACEW", "famous", "M_FFE"],
)
def test_texts_that_name_no_map(text):
    assert map_name(text) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("sub_anna_t1", None),
        ("t1 Dr Smith MD", None),
        ("sub-anna_ADC", "ADC"),
        ("MD", "MD"),
        ("t1 subtraction", "SUBTRACTION"),
        ("MIP sag", "MIP"),
    ],
)
def test_free_text_may_name_a_subject_or_a_doctor(text, name):
    assert map_name(text, free=True) == name


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="derived_maps must be one of refuse, allow"):
        VolumeChecks(derived_maps="no")
