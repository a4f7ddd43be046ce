"""Lists of scans: of stacks and their slices, and of references alone."""

import json

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser
from torch.utils.data import default_collate

from custom.bundle.locate import find_bundle
from custom.data.datasets.datalist import load_datalist, slice_items
from custom.data.datasets.dataset_kinds import PAIRED_STACKS
from custom.data.datasets.dataset_writer import DatasetWriter
from custom.data.datasets.exclusions import EXCLUSION_COLUMNS
from custom.errors import InputError
from custom.files.csv_table import write_table
from custom.files.nifti_volume import write_volume

CONFIGS = find_bundle("gan3d_sr_denoise") / "configs"


@pytest.fixture
def references(tmp_path):
    """Three items without an image."""
    rng = np.random.default_rng(0)
    splits = {}
    for split in ("training", "validation", "test"):
        values = rng.integers(0, 900, (6, 5, 4)).astype(np.int16)
        write_volume(tmp_path / f"{split}.nii.gz", values, np.eye(4))
        splits[split] = [{"scan": f"one of {split}", "label": f"{split}.nii.gz"}]
    (tmp_path / "datalist.json").write_text(json.dumps(splits))
    return tmp_path


def test_references_alone_are_refused_unless_a_bundle_needs_no_more(references):
    with pytest.raises(InputError, match=r"item one of training lacks \['image'\]"):
        load_datalist(references)
    splits = load_datalist(references, needed=["scan", "label"])
    assert splits["test"] == [
        {"scan": "one of test", "label": str((references / "test.nii.gz").resolve())}
    ]
    with pytest.raises(InputError, match=r"item one of training lacks \['age'\]"):
        load_datalist(references, needed=["scan", "age"])


def test_an_item_without_a_name_is_found_by_its_file(references):
    file = references / "datalist.json"
    content = json.loads(file.read_text())
    del content["test"][0]["scan"]
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"item test\.nii\.gz lacks \['scan'\]"):
        load_datalist(references, needed=["scan", "label"])
    (references / "test.nii.gz").unlink()
    with pytest.raises(InputError, match=r"label of test\.nii\.gz is missing"):
        load_datalist(references, needed=["label"])


@pytest.mark.parametrize("name", ["train", "evaluate"])
def test_the_super_resolution_study_needs_references_alone(references, name):
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / f"{name}.yaml"))
    parser.update({"dataset_dir": str(references), "output_dir": str(references / "out")})
    assert len(parser.get_parsed_content("datalist")["test"]) == 1


LOW = np.diag([0.2, 0.2, 0.6, 1.0])
HIGH = np.diag([0.1, 0.1, 0.6, 1.0])


def write_dataset(folder, slices=3):
    rng = np.random.default_rng(1)
    with DatasetWriter(folder, PAIRED_STACKS, "test", "random numbers") as writer:
        for split, animal in (("training", "m1"), ("validation", "m2"), ("test", "m3")):
            writer.add(
                split,
                f"{animal}_axial_head",
                {
                    "image": (rng.random((4, 5, slices)), LOW),
                    "label": (rng.random((8, 10, slices)), HIGH),
                    "mask": (np.ones((8, 10, slices)), HIGH),
                },
                animal=animal,
                plane="axial",
                region="head",
            )
    return folder


def test_list_names_files_that_hold_the_same_values_twice(tmp_path):
    lists = load_datalist(write_dataset(tmp_path / "set"))
    items = lists["validation"]
    volume = nib.load(items[0]["label"])
    assert volume.shape == (8, 10, 3)
    np.testing.assert_allclose(volume.affine, HIGH, atol=1e-6)
    assert volume.header.get_xyzt_units()[0] == "mm"
    slices = slice_items(lists, "validation")
    assert [item["slice"] for item in slices] == [0, 1, 2]
    assert slices[1]["label"].endswith("slices.zarr/m2_axial_head/label#1")
    assert slices[1]["animal"] == "m2"


def test_the_dataset_s_own_exclusions_are_honoured(tmp_path):
    folder = write_dataset(tmp_path / "set")
    write_table(
        folder / "exclusions.csv",
        EXCLUSION_COLUMNS,
        [{"scan": "m1_axial_head", "slice": 1, "exclude": "yes", "reason": "ghost"}],
    )
    items = slice_items(load_datalist(folder), "training")
    assert [item["slice"] for item in items] == [0, 2]
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"m1_axial_head": [0, 1, 2]}))
    with pytest.raises(InputError, match="no slice of split 'training' is left"):
        slice_items(load_datalist(folder, exclusions=other), "training")


@pytest.mark.parametrize("key", ["scan", "image", "label", "num_slices"])
def test_an_item_that_lacks_something_is_named(tmp_path, key):
    file = write_dataset(tmp_path / "set") / "datalist.json"
    content = json.loads(file.read_text())
    del content["validation"][0][key]
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=rf"item \S*m2_axial_head\S* lacks \['{key}'\]") as error:
        load_datalist(file.parent)
    assert "\n" not in str(error.value)


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
    items = slice_items(load_datalist(folder), "test")
    assert "phase_axis" not in items[0]
    assert default_collate(items)["animal"] == ["m3"] * 3


def test_a_missing_file_is_named(tmp_path):
    folder = write_dataset(tmp_path / "set")
    (folder / "labels" / "m3_axial_head.nii.gz").unlink()
    with pytest.raises(InputError, match="label of m3_axial_head is missing"):
        load_datalist(folder)


def test_only_keys_that_are_named_are_paths(references):
    file = references / "datalist.json"
    content = json.loads(file.read_text())
    content["test"][0]["field_map"] = "training.nii.gz"
    file.write_text(json.dumps(content))
    (item,) = load_datalist(references, needed=["label"], paths=["field_map"])["test"]
    assert item["field_map"] == str((references / "training.nii.gz").resolve())
    assert item["label"] == "test.nii.gz"
    content["test"][0]["field_map"] = "nowhere.nii.gz"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match="field_map of one of test is missing"):
        load_datalist(references, needed=["label"], paths=["label", "field_map"])


@pytest.mark.parametrize("number", [-3, 0, 2, 3.0, "3", 1e9])
def test_a_number_of_slices_that_the_store_does_not_have_is_refused(tmp_path, number):
    folder = write_dataset(tmp_path / "set")
    content = json.loads((folder / "datalist.json").read_text())
    content["validation"][0]["num_slices"] = number
    (folder / "datalist.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"num_slices of m2_axial_head is .*, its store holds 3"):
        load_datalist(folder)


@pytest.mark.parametrize(
    ("excluded", "message"),
    [
        ({"m1_axial_had": [1]}, "no scan 'm1_axial_had' .*did you mean 'm1_axial_head'"),
        (
            {"m1_axial_head": [3, 7]},
            "m1_axial_head has 3 slices, counted from 0: there is no slice 7",
        ),
        ({"m3_axial_head": [9]}, "there is no slice 9"),  # of another split
    ],
)
def test_what_the_dataset_does_not_have_cannot_be_excluded(tmp_path, excluded, message):
    folder = write_dataset(tmp_path / "set")
    (tmp_path / "bad.json").write_text(json.dumps(excluded))
    with pytest.raises(InputError, match=message):
        load_datalist(folder, exclusions=tmp_path / "bad.json")
