import json

import numpy as np
import pytest

from custom.data.datasets.datalist import load_datalist
from custom.data.datasets.dwi_dataset import DwiDatasetWriter
from custom.errors import InputError
from custom.physics.diffusion.gradient_table import (
    GradientTable,
    read_gradient_table,
    tables_beside,
)

TABLE = GradientTable(
    np.array([0.0, 1000, 1000, 2000]), np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0.6, 0.8]])
)
SERIES = np.ones((3, 4, 5, 4), np.float32)


def add(writer, scan="one", split="test", **arrays):
    given = {"image": SERIES, "label": SERIES} | arrays
    writer.add(split, scan, given, TABLE, np.eye(4), sigma=2.5)


def test_what_was_written_is_read(tmp_path):
    writer = DwiDatasetWriter(tmp_path, "name", "text")
    add(writer, tensor=np.zeros((3, 4, 5, 6)), s0=SERIES[..., 0])
    assert not (tmp_path / "datalist.json").exists()
    writer.close()
    assert not list(tmp_path.rglob(".tmp*"))
    (item,) = load_datalist(tmp_path)["test"]
    assert item["sigma"] == 2.5
    assert item["tensor"] == str(tmp_path / "tensors" / "one.nii.gz")
    for key in ("image", "label"):
        table = read_gradient_table(*tables_beside(item[key]))
        np.testing.assert_allclose(table.bvals, TABLE.bvals)
        np.testing.assert_allclose(table.bvecs, TABLE.bvecs, atol=1e-8)
    with pytest.raises(InputError, match="already holds a dataset"):
        DwiDatasetWriter(tmp_path, "name", "text")
    (tmp_path / "s0" / "one.nii.gz").unlink()
    with pytest.raises(InputError, match="s0 of one is missing"):
        load_datalist(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"split": "all"}, "split must be one of"),
        ({"scan": "a/b"}, "scan must be a new name"),
        ({"scan": "there"}, "scan must be a new name"),
        ({"colour": SERIES}, "image and label, and of"),
        ({"label": SERIES[:2]}, "label of one does not fit"),
        ({"mask": SERIES}, "mask of one does not fit"),
        ({"image": SERIES[..., :3], "label": SERIES[..., :3]}, "image of one does not fit"),
        ({"s0": SERIES[..., 0] * np.nan}, "s0 of one must be finite"),
    ],
)
def test_a_broken_dataset_is_refused(tmp_path, arrays, said):
    writer = DwiDatasetWriter(tmp_path, "name", "text")
    add(writer, "there")
    with pytest.raises(ValueError, match=said):
        add(writer, **arrays)
    writer.close()
    listed = json.loads((tmp_path / "datalist.json").read_text())["test"]
    assert [item["scan"] for item in listed] == ["there"]


def test_a_dataset_without_scans_is_refused(tmp_path):
    with pytest.raises(InputError, match="no scan to write"):
        DwiDatasetWriter(tmp_path, "name", "text").close()


def test_names_that_are_no_file_s_are_refused(tmp_path):
    for name in ("", "a/b", "a#b"):  # '#' parts a store's name from its slice
        with pytest.raises(ValueError, match="scan must be a new name"):
            add(DwiDatasetWriter(tmp_path, "name", "text"), name)
