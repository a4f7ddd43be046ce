import json

import nibabel as nib
import numpy as np
import pytest
from torch.utils.data import default_collate

from custom.data.datasets.datalist import load_datalist, slice_items
from custom.data.datasets.exclusions import write_exclusions
from custom.data.datasets.paired_dataset import PairedDatasetWriter
from custom.errors import InputError

LOW = np.diag([0.2, 0.2, 0.6, 1.0])
HIGH = np.diag([0.1, 0.1, 0.6, 1.0])


def write_dataset(folder, slices=3):
    rng = np.random.default_rng(1)
    with PairedDatasetWriter(folder, "test", "random numbers") as writer:
        for split, animal in (("training", "m1"), ("validation", "m2"), ("test", "m3")):
            writer.add(
                split,
                f"{animal}_axial_head",
                rng.random((4, 5, slices)),
                LOW,
                rng.random((8, 10, slices)),
                HIGH,
                mask=np.ones((8, 10, slices)),
                animal=animal,
                plane="axial",
                region="head",
            )
    return folder


def test_list_names_files_that_hold_the_same_values_twice(tmp_path):
    items = load_datalist(write_dataset(tmp_path / "set"))["validation"]
    volume = nib.load(items[0]["label"])
    assert volume.shape == (8, 10, 3)
    np.testing.assert_allclose(volume.affine, HIGH, atol=1e-6)
    assert volume.header.get_xyzt_units()[0] == "mm"
    slices = slice_items(items)
    assert [item["slice"] for item in slices] == [0, 1, 2]
    assert slices[1]["label"].endswith("slices.zarr/m2_axial_head/label#1")
    assert slices[1]["animal"] == "m2"


def test_the_dataset_s_own_exclusions_are_honoured(tmp_path):
    folder = write_dataset(tmp_path / "set")
    write_exclusions(
        folder / "exclusions.csv",
        [{"scan": "m1_axial_head", "slice": 1, "exclude": "yes", "reason": "ghost"}],
    )
    items = load_datalist(folder)
    assert [item["slice"] for item in slice_items(items["training"])] == [0, 2]
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"m1_axial_head": [0, 1, 2]}))
    with pytest.raises(InputError, match="no slice is left"):
        slice_items(items["training"], exclusions=other)


def test_a_slice_that_a_scan_does_not_have_is_logged(tmp_path, caplog):
    items = load_datalist(write_dataset(tmp_path / "set"))
    bad = tmp_path / "bad.json"
    # m2 is in another split: what is said of it cannot be judged here.
    bad.write_text(json.dumps({"m1_axial_head": [2, 3, 7], "m2_axial_head": [9]}))
    assert [item["slice"] for item in slice_items(items["training"], bad)] == [0, 1]
    (record,) = caplog.records
    text = "m1_axial_head has 3 slices, counted from 0: there are no slices [3, 7] to exclude"
    assert text in record.getMessage()


@pytest.mark.parametrize("key", ["scan", "image", "label", "num_slices"])
def test_an_item_that_lacks_something_is_named(tmp_path, key):
    file = write_dataset(tmp_path / "set") / "datalist.json"
    content = json.loads(file.read_text())
    del content["validation"][0][key]
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"item \S*m2_axial_head\S* lacks \['{key}'\]") as error:
        load_datalist(file.parent)
    assert "\n" not in str(error.value)


def test_an_interrupted_writer_leaves_no_list_and_the_next_one_starts_clean(tmp_path):
    writer = PairedDatasetWriter(tmp_path, "a", "b")
    writer.add("test", "x", np.ones((2, 2, 1)), LOW, np.ones((4, 4, 1)), HIGH)
    with pytest.raises(InputError, match=r"holds no datalist\.json"):
        load_datalist(tmp_path)
    PairedDatasetWriter(tmp_path, "a", "b")
    assert not (tmp_path / "images").exists()


def test_a_complete_dataset_is_not_overwritten(tmp_path):
    write_dataset(tmp_path / "set")
    with pytest.raises(InputError, match="already holds a dataset"):
        PairedDatasetWriter(tmp_path / "set", "a", "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "train"}, "split"),
        ({"scan": "a/b"}, "scan"),
        ({"label": np.ones((4, 5, 1))}, "label and mask"),
        ({"image": np.full((2, 2, 1), np.nan)}, "finite"),
        ({"image": np.ones((2, 2))}, "image of"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(tmp_path, change, message):
    pair = {"split": "test", "scan": "x", "image": np.ones((2, 2, 1)), "label": np.ones((4, 4, 1))}
    pair |= change
    with pytest.raises(ValueError, match=message):
        PairedDatasetWriter(tmp_path, "a", "b").add(**pair, image_affine=LOW, label_affine=HIGH)


class Demo:
    def __init__(self, folder):
        self.folder = folder
        self.calls = 0

    def ensure(self):
        self.calls += 1
        return write_dataset(self.folder)


def test_only_the_demonstration_s_own_folder_is_ever_synthesised(tmp_path):
    demo = Demo(tmp_path / "demo")
    assert len(load_datalist(tmp_path / "demo", demo)["test"]) == 1
    with pytest.raises(InputError, match="demoo does not exist"):
        load_datalist(tmp_path / "demoo", demo)
    assert demo.calls == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"training": [], "validation": []}'])
def test_a_broken_list_is_named(tmp_path, text):
    (tmp_path / "datalist.json").write_text(text)
    with pytest.raises(InputError, match=r"datalist\.json is broken"):
        load_datalist(tmp_path)


def test_a_field_that_is_null_does_not_reach_a_batch(tmp_path):
    folder = write_dataset(tmp_path / "set")
    content = json.loads((folder / "datalist.json").read_text())
    content["test"][0]["phase_axis"] = None
    (folder / "datalist.json").write_text(json.dumps(content))
    items = slice_items(load_datalist(folder)["test"])
    assert "phase_axis" not in items[0]
    assert default_collate(items)["animal"] == ["m3"] * 3


def test_a_missing_file_is_named(tmp_path):
    folder = write_dataset(tmp_path / "set")
    (folder / "labels" / "m3_axial_head.nii.gz").unlink()
    with pytest.raises(InputError, match="label of m3_axial_head is missing"):
        load_datalist(folder)
