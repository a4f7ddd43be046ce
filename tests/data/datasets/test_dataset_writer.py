import json

import nibabel as nib
import numpy as np
import pytest
import torch

from custom.data.datasets.datalist import load_datalist
from custom.data.datasets.dataset_kinds import (
    DIFFUSION_SERIES,
    PAIRED_STACKS,
    VOLUMES,
    volume_pair,
)
from custom.data.datasets.dataset_writer import DatasetKind, DatasetWriter, StoredImage
from custom.errors import InputError
from custom.files.zarr_slices import ZarrSliceReader
from custom.physics.diffusion.gradient_table import (
    GradientTable,
    read_gradient_table,
    tables_beside,
)

TABLE = GradientTable(
    np.array([0.0, 1000, 1000, 2000]), np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0.6, 0.8]])
)
SERIES = np.ones((3, 4, 5, 4), np.float32)
LOW = np.diag([0.2, 0.2, 0.6, 1.0])
HIGH = np.diag([0.1, 0.1, 0.6, 1.0])


def series_writer(folder):
    return DatasetWriter(folder, DIFFUSION_SERIES, "name", "text")


def add_series(writer, scan="one", split="test", **arrays):
    given = {"image": SERIES, "label": SERIES} | arrays
    images = {key: (array, np.eye(4)) for key, array in given.items()}
    return writer.add(split, scan, images, TABLE, sigma=2.5)


def add_stacks(writer, split="test", scan="x", **arrays):
    given = {"image": np.ones((2, 2, 1)), "label": np.ones((4, 4, 1))} | arrays
    affines = {"image": LOW, "label": HIGH, "mask": HIGH}
    return writer.add(split, scan, {key: (given[key], affines[key]) for key in given})


def test_a_series_is_read_as_it_was_written(tmp_path):
    writer = series_writer(tmp_path)
    add_series(writer, tensor=np.zeros((3, 4, 5, 6)), s0=SERIES[..., 0])
    assert not (tmp_path / "datalist.json").exists()
    writer.close()
    assert not list(tmp_path.rglob(".tmp*"))
    (item,) = load_datalist(tmp_path, paths=[*DIFFUSION_SERIES.images])["test"]
    assert item["sigma"] == 2.5
    assert item["tensor"] == str(tmp_path / "tensors" / "one.nii.gz")
    for key in ("image", "label"):
        table = read_gradient_table(*tables_beside(item[key]))
        np.testing.assert_allclose(table.bvals, TABLE.bvals)
        np.testing.assert_allclose(table.bvecs, TABLE.bvecs, atol=1e-8)
    with pytest.raises(InputError, match="already holds a dataset"):
        series_writer(tmp_path)
    (tmp_path / "s0" / "one.nii.gz").unlink()
    with pytest.raises(InputError, match="s0 of one is missing"):
        load_datalist(tmp_path, paths=["image", "label", "s0"])


def test_images_lie_where_their_affines_say_in_the_type_of_the_kind(tmp_path):
    writer = DatasetWriter(tmp_path, PAIRED_STACKS, "a", "b")
    item = add_stacks(writer, mask=np.ones((4, 4, 1)))
    for key, affine, dtype in (
        ("image", LOW, "f4"),
        ("label", HIGH, "f4"),
        ("mask", HIGH, "u1"),
    ):
        image = nib.load(tmp_path / item[key])
        np.testing.assert_allclose(image.affine, affine, atol=1e-7)
        np.testing.assert_allclose(image.get_qform(), affine, atol=1e-7)
        assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 1)
        assert image.get_data_dtype() == np.dtype(dtype)
    assert item["num_slices"] == 1


def test_a_volume_has_a_partner_of_half_the_resolution(tmp_path):
    ramp = np.add.outer(np.arange(8.0), np.zeros((6, 5))) * 100
    writer = DatasetWriter(tmp_path, VOLUMES, "a", "b")
    item = writer.add("test", "ramp", volume_pair(ramp + 0.3, np.eye(4)), subject="s1")
    label, image = (nib.load(tmp_path / item[key]) for key in ("label", "image"))
    np.testing.assert_array_equal(label.get_fdata(), ramp)
    assert image.shape == (4, 3, 2)
    # Where both grids measure the ramp far from its ends, they see the same.
    place = image.affine @ [1, 1, 1, 1]
    assert image.get_fdata()[1, 1, 1] == pytest.approx(100 * place[0], abs=1)
    for wrong in (ramp * np.nan, ramp * 1000, ramp[0]):
        with pytest.raises(ValueError, match="label must be"):
            volume_pair(wrong, np.eye(4))


def test_a_new_study_brings_a_kind_of_its_own(tmp_path):
    """Half precision in the store, a field map beside an image, any scale: no line is edited."""
    kind = DatasetKind(
        {
            "image": StoredImage("images"),
            "label": StoredImage("labels", scale=(2, 2, 2)),
            "field_map": StoredImage("maps", np.int16, values=2),
        },
        slices="float16",
    )
    values = torch.rand(4, 6, 2, generator=torch.Generator().manual_seed(0)).numpy()
    images = {"image": values, "label": values.repeat(2, 0).repeat(2, 1).repeat(2, 2)}
    placed = {key: (array, np.eye(4)) for key, array in images.items()}
    fields = np.full((4, 6, 2, 2), -3.6)
    with DatasetWriter(tmp_path, kind, "a", "b") as writer:
        item = writer.add("training", "x", placed | {"field_map": (fields, np.eye(4))})
    np.testing.assert_array_equal(nib.load(tmp_path / item["field_map"]).get_fdata(), -4)
    reader = ZarrSliceReader()
    stored, _ = reader.get_data(reader.read(tmp_path / item["store"] / "image#1"))
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, values[..., 1].astype(np.float16))
    with pytest.raises(ValueError, match="too large for float16"):
        writer.add("test", "y", {key: (1e5 * array, np.eye(4)) for key, array in images.items()})
    with pytest.raises(ValueError, match=r"field_map of y must lie in -32768\.\.32767"):
        writer.add("test", "y", placed | {"field_map": (1e5 * fields, np.eye(4))})


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"split": "all"}, "split must be one of"),
        ({"scan": "a/b"}, "scan must be a new name"),
        ({"scan": "a#b"}, "scan must be a new name"),  # '#' parts a store's name from its slice
        ({"scan": ""}, "scan must be a new name"),
        ({"scan": "there"}, "scan must be a new name"),
        ({"colour": SERIES}, "image and label, and of"),
        ({"label": SERIES[:2]}, "label of one does not fit"),
        ({"mask": SERIES}, "mask of one does not fit"),
        ({"image": SERIES[..., :3], "label": SERIES[..., :3]}, "image of one does not fit"),
        ({"s0": SERIES[..., 0] * np.nan}, "s0 of one must be finite"),
    ],
)
def test_series_that_do_not_fit_are_refused(tmp_path, arrays, said):
    writer = series_writer(tmp_path)
    add_series(writer, "there")
    with pytest.raises(ValueError, match=said):
        add_series(writer, **arrays)
    writer.close()
    listed = json.loads((tmp_path / "datalist.json").read_text())["test"]
    assert [item["scan"] for item in listed] == ["there"]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"label": np.ones((4, 5, 1))}, "label of x does not fit"),
        ({"mask": np.ones((2, 2, 1))}, "mask of x does not fit"),
        ({"image": np.full((2, 2, 1), np.nan)}, "image of x must be finite"),
        ({"image": np.ones((2, 2))}, "image of x does not fit"),
    ],
)
def test_stacks_that_do_not_fit_are_refused(tmp_path, arrays, said):
    with pytest.raises(ValueError, match=said):
        add_stacks(DatasetWriter(tmp_path, PAIRED_STACKS, "a", "b"), **arrays)


def test_a_gradient_table_belongs_to_a_series_and_only_to_one(tmp_path):
    stacks, images = DatasetWriter(tmp_path, PAIRED_STACKS, "a", "b"), (SERIES, np.eye(4))
    for writer, table in ((stacks, TABLE), (series_writer(tmp_path), None)):
        with pytest.raises(ValueError, match="table of one"):
            writer.add("test", "one", {"image": images, "label": images}, table)


def test_an_interrupted_writer_leaves_no_list_and_the_next_one_starts_clean(tmp_path):
    add_stacks(DatasetWriter(tmp_path, PAIRED_STACKS, "a", "b"))
    with pytest.raises(InputError, match=r"holds no datalist\.json"):
        load_datalist(tmp_path)
    DatasetWriter(tmp_path, PAIRED_STACKS, "a", "b")
    assert not (tmp_path / "images").exists()
    assert not (tmp_path / "slices.zarr").exists()


def test_a_dataset_without_scans_is_refused(tmp_path):
    with pytest.raises(InputError, match="no scan to write"):
        series_writer(tmp_path).close()
