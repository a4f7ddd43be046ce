import numpy as np
import pytest
from monai.transforms import LoadImage

from custom.errors import InputError
from custom.files.zarr_slices import ZarrSliceReader, split_slice, write_stack

AFFINE = np.array([[0, -0.1, 0, 5], [0.2, 0, 0, -3], [0, 0, 0.6, 1], [0, 0, 0, 1.0]])


@pytest.fixture
def stack(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 7, 4)).astype(np.float32)
    write_stack(tmp_path / "slices.zarr" / "scan" / "image", values, AFFINE)
    return values, tmp_path / "slices.zarr" / "scan" / "image"


def test_a_slice_is_that_slice_and_lies_where_it_lay(stack):
    values, path = stack
    image = LoadImage(reader=ZarrSliceReader)(f"{path}#2")
    np.testing.assert_array_equal(image.numpy(), values[..., 2])
    index = np.array([1.0, 3.0, 2.0, 1.0])
    np.testing.assert_allclose(image.affine.numpy() @ [1, 3, 0, 1], AFFINE @ index)


def test_a_stack_is_the_stack(stack):
    values, path = stack
    image = LoadImage(reader=ZarrSliceReader)(str(path))
    np.testing.assert_array_equal(image.numpy(), values)
    np.testing.assert_allclose(image.affine.numpy(), AFFINE)


def test_one_slice_is_one_chunk_so_that_others_stay_unread(stack):
    values, path = stack
    (path / "c" / "0" / "0" / "0").unlink()
    (path / "c" / "3" / "0" / "0").write_bytes(b"broken")
    image = LoadImage(reader=ZarrSliceReader)(f"{path}#1")
    np.testing.assert_array_equal(image.numpy(), values[..., 1])


def test_a_store_that_was_rewritten_is_read_anew(stack):
    values, path = stack
    LoadImage(reader=ZarrSliceReader)(f"{path}#0")
    write_stack(path, values[:3] + 1, AFFINE)
    np.testing.assert_array_equal(
        LoadImage(reader=ZarrSliceReader)(f"{path}#0").numpy(), values[:3, :, 0] + 1
    )


def test_bad_names(stack):
    _, path = stack
    with pytest.raises(InputError, match="the stack has 4"):
        ZarrSliceReader().read(f"{path}#4")
    with pytest.raises(InputError, match="no Zarr array"):
        ZarrSliceReader().read(f"{path}x#0")
    with pytest.raises(InputError, match="number of a slice"):
        split_slice("a.zarr/b#last")
