"""A list in which something stands twice, or is misspelt, is refused."""

import json
import os
import shutil

import pytest

from custom.cli import main
from custom.data.datasets.datalist import load_datalist
from custom.errors import InputError

SPLITS = ("training", "validation", "test")


@pytest.fixture
def listed(tmp_path):
    """A list of two items a split, each with files of its own."""
    lists = {"name": "n", **{split: [] for split in SPLITS}}
    for number in range(6):
        for key in ("image", "label", "mask"):
            (tmp_path / f"{key}{number}.nii.gz").write_text(f"{number:3} {key}" * 2000)
        files = {key: f"{key}{number}.nii.gz" for key in ("image", "label", "mask")}
        item = {"scan": f"s{number}", "subject": f"p{number}", "age": 3, **files}
        lists[SPLITS[number // 2]].append(item)
    return tmp_path, lists


def write(folder, lists):
    (folder / "datalist.json").write_text(json.dumps(lists))
    return folder


def test_what_two_scans_may_share(listed):
    folder, lists = listed
    lists["training"][1] |= {"subject": "p0", "label": "label0.nii.gz", "notes": "n"}
    del lists["validation"][0]["image"]  # "age" is not a misspelt "image"
    lists["test"][0]["mask"] = "mask0.nii.gz"
    items = load_datalist(write(folder, lists), needed=["scan", "label"])["training"]
    assert items[1]["notes"] == "n"


def set_to(split, number, **fields):
    return lambda folder, lists: lists[split][number].update(fields)


def other_file(make):
    """Give the test an image that is another name of one that is trained on."""

    def change(folder, lists):
        make(folder / "image0.nii.gz", folder / "copy.nii.gz")
        lists["test"][0]["image"] = "copy.nii.gz"

    return change


def rename(split, new):
    return lambda folder, lists: lists.update({new: lists.pop(split)})


def misspell(key, new):
    return lambda folder, lists: lists["test"][0].update({new: lists["test"][0].pop(key)})


TWO = "s4 in test and s0 in training have the same"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_to("test", 0, scan="S0"), "S0 in test and s0 in training have the same scan"),
        (set_to("training", 1, scan="s0"), "s0 in training and s0 in training have the same scan"),
        (set_to("test", 0, subject=" P0"), f"{TWO} subject"),
        (set_to("test", 0, image="image0.nii.gz"), f"{TWO} file"),
        (set_to("test", 0, image="./label0.nii.gz"), f"{TWO} file"),
        (set_to("test", 0, label="label0.nii.gz"), f"{TWO} file"),
        (set_to("training", 1, image="image0.nii.gz"), "s1 in training and s0 in training have"),
        (other_file(lambda old, new: new.symlink_to(old)), f"{TWO} file"),
        (other_file(os.link), f"{TWO} file"),
        (other_file(shutil.copy), f"{TWO} file"),
        (rename("validation", "validaton"), r"'validaton' \(did you mean 'validation'\?\)"),
        (rename("name", "notes"), "unknown key 'notes': known are name, "),
        (misspell("label", "lable"), r"s4 lacks \['label'\] \(did you mean 'lable'\?\)"),
        (misspell("mask", "maks"), r"s4 has the unknown key 'maks' \(did you mean 'mask'\?\)"),
        (misspell("subject", "subjcet"), r"'subjcet' \(did you mean 'subject'\?\)"),
    ],
)
def test_what_stands_twice_or_nowhere_is_refused(listed, change, said):
    folder, lists = listed
    change(folder, lists)
    with pytest.raises(InputError, match=said) as error:
        load_datalist(write(folder, lists))
    assert "\n" not in str(error.value)


def test_a_key_that_is_there_twice_is_refused(listed):
    folder, lists = listed
    text = json.dumps(lists).replace('"age": 3', '"age": 3, "age": 4', 1)
    (folder / "datalist.json").write_text(text)
    with pytest.raises(InputError, match="Duplicate key: `age`"):
        load_datalist(folder)


@pytest.mark.parametrize("bundle", ["micro_mri", "gan3d", "dwi"])
@pytest.mark.parametrize("verb", ["train", "evaluate"])
def test_no_verb_of_any_bundle_takes_a_list_that_leaks(listed, capsys, bundle, verb):
    folder, lists = listed
    lists["test"][0]["subject"] = "p0"
    write(folder, lists)
    with pytest.raises(SystemExit) as end:
        main([verb, bundle, f"--dataset={folder}", f"--output={folder / 'out'}"])
    assert end.value.code == 1
    assert f"{TWO} subject: keep one" in capsys.readouterr().err


def test_training_refuses_an_empty_validation_split_by_name(listed, capsys):
    folder, lists = listed
    lists["validation"].clear()
    write(folder, lists)
    with pytest.raises(SystemExit) as end:
        main(["train", "gan3d", f"--dataset={folder}", f"--output={folder / 'out'}"])
    assert end.value.code == 1
    assert "split 'validation' of the dataset holds no scan" in capsys.readouterr().err
