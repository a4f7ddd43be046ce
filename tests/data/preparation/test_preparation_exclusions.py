"""A list of bad slices goes with the dataset that is prepared."""

import json

import pytest
from mouse_studies import SLICES, prepare, write_study

from custom.data.datasets.datalist import load_datalist, slice_items
from custom.errors import InputError


@pytest.fixture
def split_file(tmp_path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"training": ["1"], "validation": ["mouse2"], "test": []}))
    return path


def test_exclusions_become_the_dataset_s(tmp_path, split_file):
    study = write_study(tmp_path / "studies", "mouse01")
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"mouse01_axial_head-thorax": [1]}))
    arguments = {"source": study, "split_file": str(split_file), "exclusions": str(bad)}
    prepare(tmp_path / "set", **arguments)
    items = slice_items(load_datalist(tmp_path / "set"), "training")
    assert [item["slice"] for item in items] == [0, 2]
    report = json.loads((tmp_path / "set" / "preparation.json").read_text())
    assert report["pairs"][0]["excluded_slices"] == [1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"mouse01_axial_head-thorax": [SLICES]}, "there is no slice 3"),
        ({"mouse01_axial_head-torax": [0]}, "did you mean 'mouse01_axial_head-thorax'"),
    ],
)
def test_exclusions_that_do_not_fit_are_refused_before_pixels_are_read(
    tmp_path, split_file, monkeypatch, content, message
):
    study = write_study(tmp_path / "studies", "mouse01")
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(content))

    def stop(*_):
        raise AssertionError("pixels are read")

    monkeypatch.setattr("custom.data.preparation.pair_loading.read_2dseq", stop)
    arguments = {"source": study, "split_file": str(split_file), "exclusions": str(bad)}
    with pytest.raises(InputError, match=message):
        prepare(tmp_path / "set", **arguments)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("content", [{"mouse01_axial_head-thorax": []}, {}])
def test_an_empty_list_excludes_nothing(tmp_path, split_file, content):
    study = write_study(tmp_path / "studies", "mouse01")
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(content))
    prepare(tmp_path / "set", source=study, split_file=str(split_file), exclusions=str(bad))
    assert len(slice_items(load_datalist(tmp_path / "set"), "training")) == SLICES
