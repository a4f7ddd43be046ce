import os
import sys

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from custom.data.inputs.brain_mask import BrainMaskd
from custom.errors import InputError

BRAIN = (slice(5, 15), slice(4, 16), slice(3, 11))


def volume(air: float = 0.0) -> MetaTensor:
    """A brain with a hole of exact zeros, and a speck beside it."""
    values = torch.full((1, 20, 20, 14), air)
    values[(0, *BRAIN)] = 100.0
    values[0, 9, 9, 6] = 0.0
    values[0, 1, 1, 1] = 7.0
    return MetaTensor(values, affine=torch.eye(4))


def program(folder, monkeypatch, text: str) -> None:
    """Put a stand-in for FreeSurfer's program on the PATH."""
    file = folder / "mri_synthstrip"
    file.write_text(f"#!{sys.executable}\nimport sys\n{text}\n")
    file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize("way", ["auto", "stripped"])
def test_of_a_stripped_volume_it_is_the_largest_piece_with_its_holes(way: str):
    made = BrainMaskd("image", way)({"image": volume()})
    expected = np.zeros((20, 20, 14), bool)
    expected[BRAIN] = True
    assert np.array_equal(made["mask"][0].numpy() > 0, expected)
    assert made["mask_by"] == "stripped"
    assert torch.equal(made["mask"].affine, made["image"].affine)


def test_a_whole_head_without_a_tool_is_one_line(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="a whole head: strip its skull first") as error:
        BrainMaskd("image")({"image": volume(air=0.5)})
    assert "\n" not in str(error.value)


def test_a_head_whose_air_is_0_is_no_stripped_brain(monkeypatch):
    """Of 960 voxels of 15 mm: 3.2 litres."""
    monkeypatch.setenv("PATH", "")
    head = MetaTensor(volume().as_tensor(), affine=torch.diag(torch.tensor([15.0, 15, 15, 1])))
    with pytest.raises(InputError, match="a whole head"):
        BrainMaskd("image")({"image": head})
    assert BrainMaskd("image", "stripped")({"image": head})["mask_by"] == "stripped"


def test_of_a_whole_head_the_tool_finds_it(tmp_path, monkeypatch):
    # It marks what is brighter than 50.
    text = (
        "import nibabel as nib, numpy as np\n"
        "image = nib.load(sys.argv[2])\n"
        "mask = (image.get_fdata() > 50).astype(np.uint8)\n"
        "nib.save(nib.Nifti1Image(mask, image.affine), sys.argv[4])"
    )
    program(tmp_path, monkeypatch, text)
    made = BrainMaskd("image")({"image": volume(air=0.5)})
    assert made["mask_by"] == "synthstrip"
    assert made["mask"].sum() == 10 * 12 * 8 - 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sys.exit('out of memory')", "mri_synthstrip failed: out of memory"),
        ("sys.exit(0)", "mri_synthstrip failed"),
    ],
)
def test_a_tool_that_fails_is_one_line(text: str, message: str, tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, text)
    with pytest.raises(InputError, match=message):
        BrainMaskd("image", "synthstrip")({"image": volume()})


def test_an_empty_volume_has_no_brain():
    with pytest.raises(InputError, match="no brain was found"):
        BrainMaskd("image", "stripped")({"image": 0 * volume()})


def test_an_unknown_way_is_refused():
    with pytest.raises(ValueError, match="brain must be one of auto, stripped, synthstrip"):
        BrainMaskd("image", "guess")
