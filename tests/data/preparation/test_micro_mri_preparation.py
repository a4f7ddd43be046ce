"""Studies of a scanner become a dataset."""

import json

import nibabel as nib
import numpy as np
import pytest
from mouse_studies import BUNDLE, SLICES, anatomy, prepare, write_study
from paravision_files import CORONAL, write_scan

from custom.bundle.launch import run_bundle
from custom.data.datasets.datalist import load_datalist, slice_items
from custom.errors import InputError


@pytest.fixture
def split_file(tmp_path):
    path = tmp_path / "split.json"
    path.write_text(json.dumps({"training": ["1"], "validation": ["mouse2"], "test": []}))
    return path


def test_studies_become_a_dataset(tmp_path, split_file, caplog):
    studies = tmp_path / "studies"
    study = write_study(studies, "mouse01")
    write_study(studies, "mouse02", orientation=CORONAL, protocol="T2_abdomen")
    write_study(studies, "mouse99")
    write_scan(study, 7, anatomy(32, 5), method="FLASH", protocol="Localizer")
    (study / "8").mkdir()
    (study / "8" / "acqp").write_text("")
    output = tmp_path / "set"
    with caplog.at_level("INFO"):
        prepare(output, source=studies, split_file=str(split_file))
    lists = load_datalist(output)
    assert [item["scan"] for item in lists["training"]] == ["mouse01_axial_head-thorax"]
    assert [item["scan"] for item in lists["validation"]] == ["mouse02_coronal_thorax-abdomen"]
    assert lists["training"][0]["phase_axis"] == 1
    assert len(slice_items(lists, "training")) == SLICES

    report = json.loads((output / "preparation.json").read_text())
    reasons = {item["source"].split("2024_")[1]: item["reason"] for item in report["not_paired"]}
    assert set(reasons) == {
        "mouse01/7/pdata/1/2dseq",
        "mouse01/8",
        "mouse99/1/pdata/1/2dseq",
        "mouse99/2/pdata/1/2dseq",
    }
    assert "FLASH, not RARE" in reasons["mouse01/7/pdata/1/2dseq"]
    assert "2dseq is missing" in reasons["mouse01/8"]
    assert "mouse99 is not in the split_file" in reasons["mouse99/1/pdata/1/2dseq"]
    for reason in reasons.values():
        assert reason in caplog.text
    assert "2 pairs (1 training, 1 validation, 0 test)" in caplog.text
    pair = report["pairs"][0]
    assert pair["default"]["parameters"]["averages"] == 5
    assert pair["fast"]["parameters"]["te_ms"] == 37.1
    written = "".join(path.read_text() for path in output.glob("*.json"))
    assert "Doe" not in written
    assert "Owner" not in written
    assert not list(tmp_path.glob(".tmp*"))


def test_both_scans_show_the_same_place_at_the_same_coordinates(tmp_path, split_file):
    """The grids of ParaVision lie half a fine voxel apart; the pair must not."""
    study = write_study(tmp_path / "studies", "mouse01")
    prepare(tmp_path / "set", source=study, split_file=str(split_file))
    item = load_datalist(tmp_path / "set")["training"][0]
    image, label = nib.load(item["image"]), nib.load(item["label"])
    assert label.shape == (2 * image.shape[0], 2 * image.shape[1], SLICES)
    assert image.shape[0] < 64  # the air is gone
    fine = np.diag([0.5, 0.5, 1, 1.0])
    fine[:2, 3] = -0.25
    np.testing.assert_allclose(label.affine, image.affine @ fine, atol=1e-6)
    # Averages of 2 x 2 fine voxels show what the coarse voxel shows, but for noise.
    coarse = label.get_fdata().reshape(*image.shape[:1], 2, image.shape[1], 2, -1).mean((1, 3))
    gradients = np.gradient(coarse, axis=(0, 1))
    error = image.get_fdata() - coarse
    for gradient in gradients:
        displacement = (error * gradient).sum() / (gradient**2).sum()
        assert abs(displacement) < 0.03  # of a coarse voxel; unaligned it is 0.25
    # And at the place where the scanner put it: the disc's middle, in RAS.
    for volume in (image, label):
        values = volume.get_fdata()
        values[values < 300] = 0
        index = np.indices(values.shape).reshape(3, -1)
        middle = (index * values.ravel()).sum(1) / values.sum()
        place = volume.affine @ np.append(middle, 1)
        expected = [0.0, -3.0]  # 0.1 of 30 mm to the back
        np.testing.assert_allclose(place[:2], expected, atol=0.35)  # the hole moves it a little


def test_without_alignment_and_crop_pixels_and_affines_are_the_scanner_s(tmp_path, split_file):
    study = write_study(tmp_path / "studies", "mouse01", slope=3.0)
    prepare(
        tmp_path / "set",
        source=study,
        split_file=str(split_file),
        align_grids=False,
        crop_background=False,
    )
    item = load_datalist(tmp_path / "set")["training"][0]
    label = nib.load(item["label"])
    np.testing.assert_allclose(label.get_fdata(), 3 * anatomy(128, 4, 1), rtol=1e-6)
    np.testing.assert_allclose(label.affine[:3, 3], [15, 15, -0.6], atol=1e-6)
    record = json.loads((tmp_path / "set" / "preparation.json").read_text())["pairs"][0]
    np.testing.assert_allclose(record["label_shift_voxels"], [-0.5, -0.5], atol=1e-9)
    assert record["label_shifted"] is False


def test_the_bundle_runs_it(tmp_path, split_file):
    study = write_study(tmp_path / "studies", "mouse01")
    output = str(tmp_path / "set")
    arguments = {"source": [str(study)], "output_dir": output, "split_file": str(split_file)}
    run_bundle(BUNDLE, ["prepare"], arguments)
    assert len(load_datalist(output)["training"]) == 1


def test_a_truncated_scan_costs_only_its_pair(tmp_path, split_file, caplog):
    studies = tmp_path / "studies"
    write_study(studies, "mouse01")
    path = write_study(studies, "mouse02") / "1" / "pdata" / "1" / "2dseq"
    path.write_bytes(path.read_bytes()[:-100])
    prepare(tmp_path / "set", source=studies, split_file=str(split_file))
    assert "copy the scan again" in caplog.text
    assert not load_datalist(tmp_path / "set")["validation"]


def test_overwriting_needs_leave_and_keeps_a_person_s_list(tmp_path, split_file):
    study = write_study(tmp_path / "studies", "mouse01")
    arguments = {"source": study, "split_file": str(split_file)}
    prepare(tmp_path / "set", **arguments)
    (tmp_path / "set" / "exclusions.csv").write_text(
        "scan,slice,exclude,reason\nmouse01_axial_head-thorax,0,yes,mine\n"
    )
    (tmp_path / "set" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds a dataset"):
        prepare(tmp_path / "set", **arguments)
    prepare(tmp_path / "set", **arguments, overwrite=True, crop_background=False)
    assert "mine" in (tmp_path / "set" / "exclusions.csv").read_text()
    assert (tmp_path / "set" / "notes.txt").is_file()
    item = load_datalist(tmp_path / "set")["training"][0]
    assert nib.load(item["image"]).shape[0] == 64


def test_an_interruption_leaves_nothing(tmp_path, split_file, monkeypatch):
    study = write_study(tmp_path / "studies", "mouse01")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("custom.data.preparation.pair_loading.foreground_box", stop)
    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        prepare(tmp_path / "set", source=study, split_file=str(split_file))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["split.json", "studies"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "nowhere"}, "source .*nowhere is no folder"),
        ({"source": "empty"}, "no ParaVision scan .2dseq. and no NIfTI"),
        ({"source": None}, "give --source"),
        ({"output_dir": None}, "output_dir is missing"),
        ({"output_dir": "split.json"}, "is a file"),
        ({"output_dir": "."}, "holds other files"),
        ({"split_file": "none.json"}, "split_file none.json does not exist"),
        ({"exclusions": "none.csv"}, "none.csv does not exist"),
    ],
)
def test_wrong_arguments_are_one_line(tmp_path, split_file, monkeypatch, change, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    good = {"source": "empty", "output_dir": "set", "split_file": str(split_file)}
    with pytest.raises(InputError, match=message) as error:
        run_bundle(BUNDLE, ["prepare"], good | change)
    assert "\n" not in str(error.value)


def test_the_published_split_is_that_of_the_source():
    lists = json.loads((BUNDLE / "configs" / "split_published.json").read_text())
    numbers = {
        split: [int(name.removeprefix("mouse")) for name in lists[split]]
        for split in ("training", "validation", "test")
    }
    assert numbers["training"] == [*range(1, 6), 8, 9, *range(11, 16), *range(17, 22), 23]
    assert numbers["validation"] == [6, 10]
    assert numbers["test"] == [7, 16, 22]
