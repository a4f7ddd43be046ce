import json
from contextlib import nullcontext

import nibabel as nib
import numpy as np
import pytest

from custom.data.inputs.training_range import TrainingRange, TrainingRangeCheck
from custom.errors import InputError

STATED = {
    "kind": "volume",
    "spacing_mm": {"in_plane": [1.0, 2.0], "between_slices": [1.0, 2.0]},
    "matrix": {"in_plane": [64, 256], "slices": [64, 256]},
    "echo_time_ms": [2.0, 6.0],
}
INSIDE = {
    "spacing_mm.in_plane": (1.0, 2.0),
    "spacing_mm.between_slices": (1.5,),
    "matrix.in_plane": (64, 256),
    "matrix.slices": (100,),
    "echo_time_ms": (3.0,),
}


def slugs(facts, stated=STATED):
    return [slug for slug, _ in TrainingRange(stated).faults(facts)]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        # Half as much again is not yet far; four times in size.
        ({"spacing_mm.in_plane": (3.0, 1 / 1.5)}, []),
        ({"spacing_mm.in_plane": (1.0, 3.01)}, ["far-spacing"]),
        ({"spacing_mm.between_slices": (0.66,)}, ["far-slice-spacing"]),
        ({"matrix.in_plane": (16, 1024)}, []),
        ({"matrix.in_plane": (15, 64)}, ["far-size"]),
        ({"matrix.slices": (1025,)}, ["far-slice-count"]),
        ({"echo_time_ms": (90.0,)}, ["far-contrast"]),
        ({"echo_time_ms": (1.33,)}, ["far-contrast"]),
        ({"echo_time_ms": ()}, []),
        (
            {"spacing_mm.in_plane": (9.0, 9.0), "matrix.slices": (3,)},
            ["far-spacing", "far-slice-count"],
        ),
    ],
)
def test_far_is_a_factor_beyond_the_range(change, expected):
    assert slugs(INSIDE | change) == expected


def test_the_line_says_what_and_how_far():
    ((_, line),) = TrainingRange(STATED).faults(INSIDE | {"echo_time_ms": (90.0,)})
    assert line == "echo time of 90 ms is far from the 2 to 6 of the training"


def test_what_is_null_or_left_out_does_not_matter():
    odd = dict.fromkeys(INSIDE, (1e-3, 9999.0))
    assert slugs(odd, {"kind": "diffusion"}) == []
    assert slugs(odd, {"kind": "volume", "spacing_mm": None, "matrix": {"slices": None}}) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "series"}, "kind must be one of"),
        ({"kind": None}, "kind must be one of"),
        ({"spacing_mm": {"in_plane": [2.0, 1.0]}}, r"spacing_mm.in_plane must be \[lowest"),
        ({"spacing_mm": {"across": [1.0, 2.0]}}, "spacing_mm.across is not known"),
        ({"matrix": [64, 128]}, "training_range.matrix is not known"),
        ({"echo_time_ms": 3.0}, r"echo_time_ms must be \[lowest"),
        ({"echo_time_ms": [0, 3]}, "above 0"),
    ],
)
def test_refuses_what_is_no_range(change, words):
    with pytest.raises(InputError, match=words):
        TrainingRange({**STATED, **change})


def metadata(tmp_path):
    file = tmp_path / "metadata.json"
    file.write_text(json.dumps({"training_range": STATED}))
    return file


def volume(tmp_path, shape, spacing):
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), np.diag([*spacing, 1.0])), path)
    return path


@pytest.mark.parametrize(
    ("shape", "spacing", "downsampled", "says"),
    [
        ((64, 64, 64), (1, 1, 1), 1, ""),
        ((64, 64, 64), (5, 5, 5), 1, "pixel spacing of 5 mm is far from the 1 to 2; slice spac"),
        ((64, 8, 64), (1, 1, 1), 1, "matrix of 8 pixels is far from the 64 to 256"),
        # Slices along the first axis, of clearly the largest spacing.
        ((64, 64, 80), (5, 1, 1), 1, "slice spacing of 5 mm is far from the 1 to 2"),
        # What the network sees is half of it along each axis.
        ((128, 128, 128), (0.5, 0.5, 0.5), 2, ""),
        ((128, 128, 128), (1.6, 1.6, 1.6), 2, "pixel spacing of 3.2 mm"),
        ((64, 64), (1, 1, 1), 1, "number of 1 slices is far from the 64 to 256"),
    ],
)
def test_an_image_far_from_the_training_is_named(
    tmp_path, caplog, shape, spacing, downsampled, says
):
    path, about = volume(tmp_path, shape, spacing), metadata(tmp_path)
    check = TrainingRangeCheck(lambda _: None, about, downsampled=downsampled)
    check(path)
    said = says.replace(";", " of the training;")
    assert (f"{path}: {said}" in caplog.text) if says else not caplog.records
    check.outside_range = "refuse"
    with pytest.raises(InputError, match="--outside_range warn") if says else nullcontext():
        check(path)


def test_its_own_check_comes_first(tmp_path):
    def refuse(path):
        raise InputError("broken")

    with pytest.raises(InputError, match="broken"):
        TrainingRangeCheck(refuse, metadata(tmp_path))(tmp_path / "none.nii")


def test_settings_of_the_check(tmp_path):
    with pytest.raises(ValueError, match="outside_range must be warn or refuse"):
        TrainingRangeCheck(print, metadata(tmp_path), "ignore")
    with pytest.raises(InputError, match=r"none\.json: no training_range"):
        TrainingRangeCheck(print, tmp_path / "none.json")
