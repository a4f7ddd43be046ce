"""A folder of volumes becomes a dataset that the super-resolution study trains on."""

import json

import nibabel as nib
import numpy as np
import pytest
from command_line import run
from heads_in_air import OBLIQUE, head
from monai.bundle import ConfigParser

from custom.bundle.locate import find_bundle
from custom.data.datasets.datalist import load_datalist

BUNDLE = "gan3d_sr_denoise"


def save(path, values, affine=OBLIQUE):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)


@pytest.fixture
def heads(tmp_path):
    """Four volumes of three subjects."""
    folder = tmp_path / "heads"
    for number, name in enumerate(("sub-1/anat/sub-1", "sub-1/ses-2", "sub-2/sub-2", "other")):
        save(folder / f"{name}_T1w.nii.gz", head(seed=number))
    return folder


def prepare(capsys, source, output, *more):
    """Run the verb; return its exit code and what it says of errors."""
    code = run("prepare", BUNDLE, "--source", str(source), "--output", str(output), *more)
    return code, capsys.readouterr().err


def test_volumes_in_other_units_are_cropped_and_written_in_mm(tmp_path, capsys):
    for number, (unit, mm) in enumerate([("meter", 1e3), ("micron", 1e-3), ("mm", 1)]):
        image = nib.Nifti1Image(head(seed=number), OBLIQUE / [[mm], [mm], [mm], [1]])
        image.header.set_xyzt_units(unit)
        (tmp_path / "heads").mkdir(exist_ok=True)
        nib.save(image, tmp_path / "heads" / f"{unit}.nii.gz")
    code, errors = prepare(capsys, tmp_path / "heads", tmp_path / "set")
    assert code == 0, errors
    for (item,) in load_datalist(tmp_path / "set").values():
        label = nib.load(item["label"])
        assert label.header.get_xyzt_units()[0] == "mm"
        np.testing.assert_allclose(label.affine[:3, :3], OBLIQUE[:3, :3], rtol=1e-5)
        assert label.shape < (50, 47, 60)


def test_volumes_become_references_split_by_subject(heads, tmp_path, capsys):
    code, errors = prepare(capsys, heads, tmp_path / "set")
    assert code == 0, errors
    splits = load_datalist(tmp_path / "set")
    items = {item["scan"]: item | {"split": split} for split in splits for item in splits[split]}
    assert {name: item["subject"] for name, item in items.items()} == {
        "sub-1_T1w": "sub-1",
        "ses-2_T1w": "sub-1",
        "sub-2_T1w": "sub-2",
        "other_T1w": "other_T1w",
    }
    assert items["sub-1_T1w"]["split"] == items["ses-2_T1w"]["split"]
    assert all(splits.values())
    # Air is gone, and the body lies where it lay.
    label = nib.load(items["other_T1w"]["label"])
    values = label.get_fdata()
    assert values.shape < (50, 47, 60)
    bright = np.argwhere(values > 0.5 * values.max())
    np.testing.assert_allclose(
        nib.affines.apply_affine(label.affine, bright.mean(0)),
        nib.affines.apply_affine(OBLIQUE, np.argwhere(head(seed=3) > 250)[1:].mean(0)),
        atol=1e-3,
    )
    record = json.loads((tmp_path / "set" / "preparation.json").read_text())
    assert {part["scan"]: part["split"] for part in record["volumes"]} == {
        name: item["split"] for name, item in items.items()
    }
    assert str(tmp_path) not in json.dumps(record)


def test_a_dataset_can_go_without_names(heads, tmp_path, capsys):
    """The same volumes in the same splits, and nothing of a file or folder name."""
    found = {}
    for more in ([], ["--no_names"]):
        folder = tmp_path / f"set{len(more)}"
        code, errors = prepare(capsys, heads, folder, *more)
        assert code == 0, errors
        volumes = json.loads((folder / "preparation.json").read_text())["volumes"]
        found[len(more)] = {part["sha256"]: part for part in volumes}
    named, hidden = found[0], found[1]
    assert {key: part["split"] for key, part in named.items()} == {
        key: part["split"] for key, part in hidden.items()
    }
    subjects = {part["subject"]: hidden[key]["subject"] for key, part in named.items()}
    assert len(set(subjects.values())) == len(subjects) == 3
    digest, part = next(iter(hidden.items()))
    assert (part["scan"], part["file"]) == (digest[:16], f"{digest[:16]}.nii.gz")
    written = [path for path in (tmp_path / "set1").rglob("*") if path.is_file()]
    words = "".join(str(path.relative_to(tmp_path)) for path in written)
    words += "".join(path.read_text() for path in written if path.suffix == ".json")
    assert [word for word in ("sub-1", "sub-2", "ses-2", "other_") if word in words] == []


def test_one_hot_voxel_costs_neither_the_head_nor_its_grey_levels(heads, tmp_path, capsys):
    values = head(seed=9)
    values[40, 5, 50] = 5e6
    save(heads / "hot_T1w.nii.gz", values)
    code, errors = prepare(capsys, heads, tmp_path / "set")
    assert code == 0, errors
    record = json.loads((tmp_path / "set" / "preparation.json").read_text())
    kept = {part["scan"]: part["kept"] for part in record["volumes"]}
    assert kept["hot_T1w"] == kept["other_T1w"]
    for items in load_datalist(tmp_path / "set").values():
        for item in items:
            stored = nib.load(item["label"]).get_fdata()
            assert np.median(stored[stored > 0.5 * np.percentile(stored, 99)]) > 2000


def test_training_takes_such_a_dataset(heads, tmp_path, capsys):
    assert prepare(capsys, heads, tmp_path / "set")[0] == 0
    parser = ConfigParser()
    parser.read_config(str(find_bundle(BUNDLE) / "configs" / "train.yaml"))
    changes = {"dataset_dir": str(tmp_path / "set"), "patch_size": [16, 16, 16], "batch_size": 2}
    parser.update(changes)
    batch = next(iter(parser.get_parsed_content("train::dataloader")))
    assert batch["label"].shape == (2, 1, 16, 16, 16)
    assert batch["image"].shape == (2, 4, 16, 16, 16)  # on the fine grid, with what is known
    assert batch["label"].max() > 0.5  # in units of the foreground


def test_every_bad_file_has_its_line_and_nothing_is_written(heads, tmp_path, capsys):
    broken = head()
    broken[4, 4, 4] = np.nan
    save(heads / "sub-3" / "broken_bold.nii.gz", broken)
    save(heads / "sub-3" / "series_bold.nii.gz", np.ones((20, 20, 20, 3), np.float32))
    save(heads / "sub-3" / "plane_bold.nii.gz", np.ones((20, 20), np.float32))
    (heads / "sub-3" / "damaged_bold.nii.gz").write_text("no image")
    output = tmp_path / "set"
    code, errors = prepare(capsys, heads, output)
    assert code == 1
    for name, reason in (
        ("broken", "1 of 141000 voxels are NaN"),
        ("series", "4D with shape (20, 20, 20, 3)"),
        ("plane", "2D with shape (20, 20)"),
        ("damaged", "cannot be read"),
    ):
        (line,) = (line for line in errors.splitlines() if f"{name}_bold.nii.gz: " in line)
        assert reason in line
    assert "4 of 8 files refused" in errors.splitlines()[-1]
    assert {path.name for path in tmp_path.iterdir()} == {"heads"}
    assert prepare(capsys, heads, output, "--files", "*_T1w.nii.gz")[0] == 0
    assert sum(map(len, load_datalist(output).values())) == 4


def test_nothing_is_overwritten_unless_asked(heads, tmp_path, capsys):
    output = tmp_path / "set"
    assert prepare(capsys, heads, output)[0] == 0
    before = (output / "datalist.json").read_bytes()
    code, errors = prepare(capsys, heads, output, "--seed", "5")
    assert code == 1
    assert "already holds a dataset" in errors
    assert (output / "datalist.json").read_bytes() == before
    (heads / "other_T1w.nii.gz").unlink()
    assert prepare(capsys, heads, output, "--overwrite", "--shares::test", "0")[0] == 0
    splits = load_datalist(output)
    assert not splits["test"]
    assert len(list((output / "labels").iterdir())) == 3


@pytest.mark.parametrize(
    ("output", "more", "message"),
    [
        ("heads/set", (), "lies in the source"),
        ("set", ("--files", "*_T2w*"), "no NIfTI file with a name like '*_T2w*'"),
        ("set", ("--crop_margin_mm", "-1"), "crop_margin_mm must be 0 or more"),
        ("set", ("--subject_pattern", "heads"), "1 subjects (heads) cannot fill"),
    ],
)
def test_settings_that_cannot_be_are_one_line(heads, tmp_path, capsys, output, more, message):
    code, errors = prepare(capsys, heads, tmp_path / output, *more)
    assert code == 1
    assert message in errors.splitlines()[-1]
    assert not (tmp_path / output).exists()
