from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImage

from custom.data.inputs.restored_writer import SaveRestoredd
from custom.data.preparation.scans.scan_finder import find_nifti_scans
from custom.errors import InputError
from custom.files.image_faults import check_image, image_fault, load_image
from custom.files.nifti_volume import nifti_image, write_volume
from custom.files.reader import InputReader, read_header

AFFINE = np.array([[-0.4, 0, 0, 3], [0, -0.5, 0, 4], [0, 0, 0.6, 5], [0, 0, 0, 1.0]])

# A half turn about the third axis: its quaternion is (0, 0, 0, 1), of length 1 exactly.
ROUNDED = {"quatern_b": 0.0, "quatern_c": 0.0, "quatern_d": np.sqrt(1 + 6e-7)}
BAD_QFORMS: dict[str, dict[str, Any]] = {
    "quaternion-nan": {"quatern_b": np.nan},
    "quaternion-too-long": {"quatern_b": 5.0},
    "offset-infinite": {"qoffset_x": np.inf},
}
BAD_SFORMS: dict[str, dict[str, Any]] = {
    "sform-nan": {"srow_x": np.nan},
    "sform-empty": {"srow_x": 0, "srow_y": 0, "srow_z": 0},
    "sform-flat": {"srow_z": [-0.4, 0, 0, 0]},
}
SPACING = {"pixdim": [1, np.nan, 0.5, 0.6, 1, 1, 1, 1]}


def write(path: Path, fields: dict[str, Any], kind: Any = nib.Nifti1Image, **codes: int) -> Path:
    """Write an image, then put values into its header's fields."""
    values = np.random.default_rng(0).random((24, 20, 16), np.float32)
    image = kind(values, AFFINE)
    image.set_qform(AFFINE, codes.get("qform", 1))
    image.set_sform(AFFINE, codes.get("sform", 1))
    image.to_filename(path)
    content = path.read_bytes()
    header = kind.header_class(content[: len(image.header.binaryblock)])
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + content[len(header.binaryblock) :])
    return path


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        *((fields, "sform") for fields in BAD_QFORMS.values()),
        *((fields, "qform") for fields in BAD_SFORMS.values()),
        (ROUNDED, "both"),
        (SPACING, "both"),
    ],
    ids=[*BAD_QFORMS, *BAD_SFORMS, "quaternion-rounded", "spacing-nan"],
)
def test_the_valid_form_of_a_header_is_read_and_written(
    tmp_path: Path, fields: dict[str, Any], kept: str, kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "m1_axial_fast.nii", fields, kind)
    with caplog.at_level(logging.WARNING):
        headers = [read_header(path), load_image(path)[1], find_nifti_scans(tmp_path, {})[0][0]]
    for header in headers:
        np.testing.assert_allclose(header.affine, AFFINE, atol=1e-5)
    said = [record.getMessage() for record in caplog.records]
    other = {"sform": "qform", "qform": "sform"}.get(kept)
    assert said == ([f"{path}: its {other} is not valid: the other form is used"] if other else [])
    check_image(path, lambda _: None, lambda _: None)

    image = LoadImage(reader=InputReader(), ensure_channel_first=True)(path)
    SaveRestoredd("pred")({"pred": image, "output": tmp_path / "out.nii.gz"})
    result: Any = nib.load(tmp_path / "out.nii.gz")
    forms = {form: getattr(result.header, f"get_{form}")(coded=True) for form in ("sform", "qform")}
    for name, (affine, code) in forms.items():
        assert code == (1 if kept in (name, "both") else 0)
        if code:
            np.testing.assert_allclose(affine, AFFINE, atol=1e-5)
    np.testing.assert_allclose(result.affine, AFFINE, atol=1e-5)
    np.testing.assert_allclose(result.header.get_zooms(), (0.4, 0.5, 0.6), rtol=1e-5)
    fields_of_result = [
        np.asarray(result.header[name]) for name in result.header if name != "magic"
    ]
    numbers = [field for field in fields_of_result if field.dtype.kind == "f"]
    slopes = ("scl_slope", "scl_inter")  # NaN means none
    assert sum(int(np.isnan(field).any()) for field in numbers) <= len(slopes)


def test_a_rounded_qform_alone_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", ROUNDED, sform=0)
    np.testing.assert_allclose(read_header(path).affine, AFFINE, atol=1e-5)


@pytest.mark.parametrize(
    "fields", [{**bad, **also} for bad in BAD_SFORMS.values() for also in BAD_QFORMS.values()]
)
def test_without_a_valid_form_an_image_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    path = write(tmp_path / "a.nii", fields)
    with pytest.raises(InputError, match="its affine is"):
        check_image(path, image_fault, lambda _: None)


def test_a_grid_beyond_nifti_1_is_written_as_nifti_2(tmp_path: Path) -> None:
    image = MetaTensor(torch.rand(1, 32800, 2, 2), affine=torch.from_numpy(AFFINE))
    SaveRestoredd("pred")({"pred": image, "output": tmp_path / "out.nii.gz"})
    write_volume(tmp_path / "volume.nii", image[0].numpy(), AFFINE)
    for name in ("out.nii.gz", "volume.nii"):
        result = nib.load(tmp_path / name)
        assert isinstance(result, nib.Nifti2Image)
        np.testing.assert_array_equal(result.get_fdata(dtype=np.float32), image[0].numpy())
        np.testing.assert_allclose(result.affine, AFFINE, atol=1e-5)
        assert read_header(tmp_path / name).shape == (32800, 2, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_never_written(tmp_path: Path, value: float) -> None:
    array = np.ones((4, 4, 4), np.float32)
    array[1, 2, 3] = value
    with pytest.raises(ValueError, match="array must be finite, but 1 of 64 values"):
        nifti_image(array, AFFINE)
    good, bad = (
        MetaTensor(torch.from_numpy(a)[None], affine=AFFINE) for a in (np.ones_like(array), array)
    )
    for item in ({"pred": bad}, {"pred": good, "noise": bad}):
        output = tmp_path / "a_restored.nii.gz"
        with pytest.raises(InputError, match=r"cannot write .*1 of 64 values are NaN or infinite"):
            SaveRestoredd("pred", maps=["noise"])({**item, "output": output})
    assert not list(tmp_path.iterdir())
