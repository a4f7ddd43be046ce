from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import LoadImaged

from custom.files.reader import InputReader, read_header
from custom.transforms.slice_axis import SliceAxisBackd, SliceAxisLastd, find_slice_axis


def oblique(spacing: tuple[float, float, float]) -> torch.Tensor:
    """Rotate about two axes, flip the second, and move the origin."""
    a, b = 0.3, -0.5
    first = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    second = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = first @ second @ np.diag([1, -1, 1]) @ np.diag(spacing)
    affine[:3, 3] = [-7.0, 3.0, 11.0]
    return torch.as_tensor(affine)


@pytest.mark.parametrize(
    ("spacing", "shape", "setting", "expected"),
    [
        ((0.2, 0.2, 0.6), (9, 9, 5), "auto", 2),
        ((0.6, 0.2, 0.2), (9, 9, 5), "auto", 0),
        ((0.2, 0.6, 0.3), (9, 9, 5), "auto", 1),
        ((0.2, 0.2, 0.2), (9, 9, 5), "auto", 2),
        ((0.23, 0.2, 0.2), (9, 9, 5), "auto", 2),  # not clearly larger
        ((0.25, 0.2, 0.2), (9, 9, 5), "auto", 0),
        ((0.6, 0.6, 0.2), (9, 9, 5), "auto", 2),  # two large ones name no axis
        ((0.2, 0.2, 0.6), (9, 1, 9), "auto", 1),  # an axis of length one is no slice plane
        ((0.2, 0.2, 0.6), (9, 1, 1), "auto", 2),
        ((0.2, 0.2, 0.6), (9, 9, 5), 0, 0),
    ],
)
def test_slice_axis_is_found(
    spacing: tuple[float, float, float],
    shape: tuple[int, int, int],
    setting: object,
    expected: int,
) -> None:
    assert find_slice_axis(oblique(spacing), shape, setting) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spacing", "shape", "setting", "stated", "expected"),
    [
        ((0.2, 0.2, 0.2), (9, 9, 9), "auto", 0, 0),
        ((0.2, 0.2, 0.6), (9, 9, 9), "auto", 1, 1),  # the header knows it better
        ((0.2, 0.2, 0.2), (9, 9, 9), 2, 0, 2),
        ((0.2, 0.2, 0.2), (9, 9, 1), "auto", 0, 2),
        ((0.2, 0.6, 0.2), (9, 9, 9), "auto", None, 1),
    ],
)
def test_the_axis_that_a_header_states(
    spacing, shape, setting, stated, expected, tmp_path, caplog
) -> None:
    assert find_slice_axis(oblique(spacing), shape, setting, stated) == expected
    image = nib.Nifti1Image(np.ones(shape, np.float32), oblique(spacing).numpy())
    image.header.set_dim_info(slice=stated)
    nib.save(image, tmp_path / "a.nii")
    loaded = LoadImaged("image", reader=InputReader(), ensure_channel_first=True)(
        {"image": tmp_path / "a.nii"}
    )
    assert SliceAxisLastd("image", setting)(loaded)["image_slice_axis"] == expected
    doubtful = spacing[2] == 0.6 and stated == 1
    assert doubtful == ("a.nii: slices are counted along axis 1" in caplog.text)
    assert doubtful == ("give --slice_axis 2" in caplog.text)
    header = read_header(tmp_path / "a.nii")
    assert header.slice_axis == stated


@pytest.mark.parametrize(
    ("header", "sidecar", "expected"),
    [
        (None, '{"SliceEncodingDirection": "i-"}', 0),
        (None, '{"SliceEncodingDirection": "j"}', 1),
        (1, '{"SliceEncodingDirection": "i"}', 1),  # the header's own word counts
        (None, '{"SliceEncodingDirection": "x"}', None),
        (None, '{"SliceEncodingDirection": 3}', None),
        (None, "[1]", None),
        (None, "broken", None),
    ],
)
def test_the_axis_that_a_bids_sidecar_states(header, sidecar, expected, tmp_path) -> None:
    image = nib.Nifti1Image(np.ones((9, 9, 9), np.float32), np.eye(4))
    image.header.set_dim_info(slice=header)
    nib.save(image, tmp_path / "a_T1w.nii.gz")
    (tmp_path / "a_T1w.json").write_text(sidecar)
    assert read_header(tmp_path / "a_T1w.nii.gz").slice_axis == expected
    loaded = LoadImaged("image", reader=InputReader(), ensure_channel_first=True)(
        {"image": tmp_path / "a_T1w.nii.gz"}
    )
    found = SliceAxisLastd("image")(loaded)["image_slice_axis"]
    assert found == (2 if expected is None else expected)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_voxel_keeps_its_place_in_the_world(axis: int) -> None:
    shape = (3, 4, 5)
    affine = oblique((0.2, 0.3, 0.7))
    indices = torch.stack(torch.meshgrid(*map(torch.arange, shape), indexing="ij"), -1).double()
    world = indices @ affine[:3, :3].T + affine[:3, 3]
    # Channels hold the world coordinates that each voxel has before it is moved.
    image = MetaTensor(world.movedim(-1, 0), affine=affine)

    moved = SliceAxisLastd("image", slice_axis=axis)({"image": image})  # type: ignore[arg-type]

    turned = moved["image"]
    assert moved["image_slice_axis"] == axis
    assert turned.shape == (3, *[n for i, n in enumerate(shape) if i != axis], shape[axis])
    grid = torch.stack(
        torch.meshgrid(*map(torch.arange, turned.shape[1:]), indexing="ij"), -1
    ).double()
    expected = grid @ turned.affine[:3, :3].T + turned.affine[:3, 3]
    torch.testing.assert_close(turned.as_tensor().movedim(0, -1), expected)

    back = SliceAxisBackd("image", "image_slice_axis")(moved)["image"]
    torch.testing.assert_close(back.as_tensor(), image.as_tensor())
    torch.testing.assert_close(back.affine, affine)


def test_a_2d_image_is_one_slice_and_comes_back_as_2d() -> None:
    image = MetaTensor(torch.rand(1, 6, 7), affine=oblique((0.2, 0.2, 1.0)))
    moved = SliceAxisLastd("image", slice_axis=0)({"image": image})
    assert moved["image"].shape == (1, 6, 7, 1)
    back = SliceAxisBackd("image", "image_slice_axis")(moved)["image"]
    torch.testing.assert_close(back.as_tensor(), image.as_tensor())
    torch.testing.assert_close(back.affine, image.affine)


def test_plain_tensors_are_turned_without_geometry() -> None:
    image = torch.rand(1, 4, 2, 6)
    moved = SliceAxisLastd("image", slice_axis=1)({"image": image})
    assert not isinstance(moved["image"], MetaTensor)
    assert torch.equal(moved["image"], image.movedim(2, -1))


def test_the_input_is_left_as_it_was() -> None:
    affine = oblique((0.6, 0.2, 0.2))
    values = torch.rand(1, 4, 5, 6)
    image = MetaTensor(values.clone(), affine=affine.clone())
    SliceAxisLastd("image")({"image": image})
    assert torch.equal(image.as_subclass(torch.Tensor), values)
    torch.testing.assert_close(image.affine, affine)


@pytest.mark.parametrize("wrong", [3, -1, "z"])
def test_wrong_axis_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="slice_axis"):
        SliceAxisLastd("image", slice_axis=wrong)  # type: ignore[arg-type]
