"""A dataset of references alone, which the super-resolution study trains on."""

import json

import numpy as np
import pytest
from monai.bundle import ConfigParser

from custom.bundle.launch import user_error
from custom.bundle.locate import find_bundle
from custom.data.datasets.datalist import image_paths, load_datalist
from custom.errors import InputError
from custom.files.nifti_volume import write_volume

CONFIGS = find_bundle("gan3d_sr_denoise") / "configs"


@pytest.fixture
def references(tmp_path):
    """Three items without an image."""
    values = np.random.default_rng(0).integers(0, 900, (6, 5, 4)).astype(np.int16)
    splits = {}
    for split in ("training", "validation", "test"):
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


def test_images_to_restore_are_those_of_the_items():
    assert image_paths([{"scan": "a", "image": "x"}, {"scan": "b", "image": "y"}]) == ["x", "y"]
    with pytest.raises(InputError, match="no test scan to restore: give --input"):
        image_paths([])


@pytest.mark.parametrize("name", ["train", "evaluate", "inference"])
def test_the_super_resolution_study_needs_references_alone(references, name):
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / f"{name}.yaml"))
    parser.update({"dataset_dir": str(references), "output_dir": str(references / "out")})
    assert len(parser.get_parsed_content("datalist")["test"]) == 1


def test_only_without_an_input_does_restoring_ask_for_one(references):
    parser = ConfigParser()
    parser.read_config(str(CONFIGS / "inference.yaml"))
    parser.update({"dataset_dir": str(references), "output_dir": str(references / "out")})
    with pytest.raises(RuntimeError) as error:
        parser.get_parsed_content("selection")
    message = "one of test of the dataset has no image to restore: give --input FILE_OR_FOLDER"
    assert str(user_error(error.value)) == message
    parser["input"] = str(references / "test.nii.gz")
    assert [str(path) for path in parser.get_parsed_content("selection").inputs] == [
        str(references / "test.nii.gz")
    ]
