"""No subject, and no image, reaches two splits, whatever its files are called."""

import gzip
import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from command_line import run
from heads_in_air import head
from mouse_studies import anatomy, write_study
from mouse_studies import prepare as prepare_studies

from custom.data.datasets.dataset_writer import SPLITS

SHARES = ("--shares::training", "1", "--shares::validation", "1", "--shares::test", "1")


def prepare(capsys, bundle, source, output, *more):
    """Run the verb; return its lines on errors, and the subjects of each split."""
    code = run("prepare", bundle, "--source", str(source), "--output", str(output), *more)
    lines = capsys.readouterr().err.splitlines()
    if code:
        assert not output.exists()
        return lines, {}
    lists = json.loads((output / "datalist.json").read_text())
    return lines, {split: {item["subject"] for item in lists[split]} for split in SPLITS}


@pytest.mark.parametrize(
    ("animals", "more", "said"),
    [
        (["KO-12 d1", "KO-12 d7"], (), "tell the split of KO-12-d1 (mouse01 or mouse12), KO-12-d7"),
        (["m3-w2", "m3-w6", "m3-w7"], (), "tell the split of m3-w2 (mouse02 or mouse03)"),
        (["anna week2"], (), "tell the split of anna-week2 (mouse02)"),
        (
            ["anna", "bob"],
            (),
            "animal anna is not in the split_file: add it there, or split by --sh",
        ),
        (["KO-12 d1", "KO-12 d7", "bob"], SHARES, "may be scans of one subject, which belong in"),
        (["anna d1", "anna d7", "bob"], SHARES, "one split: anna-d1, anna-d7: tell"),
        (["anna", "bob"], SHARES, "2 subjects (anna, bob) cannot fill"),
        (["anna"], (*SHARES, "--split_file", "x.json"), "exclude each other"),
        (["anna"], SHARES[:2], "shares::validation must be 0 or more, got None"),
    ],
)
def test_animals_whose_split_is_in_doubt_are_refused(tmp_path, capsys, animals, more, said):
    for animal in animals:
        write_study(tmp_path / "studies", animal)
    lines, _ = prepare(capsys, "micro_mri", tmp_path / "studies", tmp_path / "set", *more)
    assert said in lines[-1]


def test_animals_of_any_name_are_split_by_shares_and_sessions_stay_together(tmp_path, capsys):
    for animal in ("KO-12 d1", "KO-12 d7", "anna", "bob"):
        write_study(tmp_path / "studies", animal)
    more = (*SHARES, "--subject_pattern", r"KO-\d+")
    _, splits = prepare(capsys, "micro_mri", tmp_path / "studies", tmp_path / "set", *more)
    assert sorted(map(sorted, splits.values())) == [["KO-12"], ["anna"], ["bob"]]
    settings = json.loads((tmp_path / "set" / "preparation.json").read_text())["settings"]
    assert settings["shares"] == dict.fromkeys(splits, 1.0)


def test_whose_the_published_split_is_stands_in_the_log(tmp_path, caplog):
    study = write_study(tmp_path / "studies", "m7")
    prepare_studies(tmp_path / "set", source=study)
    assert "split_published.json (the 23 mice of Conejo Rupp et al. 2025, Table 2)" in caplog.text
    assert "m7 as mouse07 (test); if they are others, give --split_file or --shares" in caplog.text


@pytest.mark.parametrize(
    "names", [("KO-12_d1", "KO-12_d7"), ("m3-w2", "m3-w6"), ("anna_t1", "anna_t2")]
)
def test_files_that_may_show_one_person_are_refused(tmp_path, capsys, names):
    for number, name in enumerate((*names, "bob", "carl", "dora")):
        path = tmp_path / "heads" / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(head((20, 20, 24), number), np.eye(4)), path)
    lines, _ = prepare(capsys, "gan3d", tmp_path / "heads", tmp_path / "set")
    assert (
        f"may be scans of one subject, which belong in one split: {', '.join(names)}: tell"
        in lines[-1]
    )


def unzipped(path):
    path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))


def linked(path):
    path.with_name("q.nii.gz").symlink_to(path)


def copied(path):
    shutil.copy(path, path.with_name("q.nii.gz"))


def saved_again(path):
    image = nib.load(path)
    values = np.asarray(image.dataobj, np.float64)
    nib.save(nib.Nifti1Image(values, image.affine), path.with_name("q.nii"))


@pytest.mark.parametrize(
    ("twice", "said"),
    [
        (unzipped, "p.nii and {}p.nii.gz have one name, so they may be one image"),
        (linked, "q.nii.gz: image of q has the same voxels as one of p: take one"),
        (copied, "q.nii.gz: image of q has the same voxels as one of p: take one"),
        (saved_again, "q.nii: image of q has the same voxels as one of p: take one"),
    ],
)
def test_one_volume_does_not_count_as_two_subjects(tmp_path, capsys, twice, said):
    (tmp_path / "heads").mkdir()
    for number, name in enumerate(("p", "r", "s")):
        image = nib.Nifti1Image(head((20, 20, 24), number), np.eye(4))
        nib.save(image, tmp_path / "heads" / f"{name}.nii.gz")
    twice(tmp_path / "heads" / "p.nii.gz")
    lines, _ = prepare(capsys, "gan3d", tmp_path / "heads", tmp_path / "set")
    folder = f"{tmp_path / 'heads'}/"
    assert any(f"{folder}{said.format(folder)}" in line for line in lines)


@pytest.mark.parametrize("kind", ["fast", "default"])
def test_one_scan_does_not_count_as_two_animals(tmp_path, capsys, kind):
    (tmp_path / "pairs").mkdir()
    for number, animal in enumerate(("mouse01", "mouse07")):
        for word, matrix, size in (("fast", 32, 1.0), ("default", 64, 0.5)):
            place = np.diag([size, size, 1.0, 1.0])
            place[:2, 3] = (size - 1.0) / 2
            seed = 0 if word == kind else number
            image = nib.Nifti1Image(anatomy(matrix, 20, seed).astype(np.float32), place)
            nib.save(image, tmp_path / "pairs" / f"{animal}_axial_head_{word}.nii.gz")
    lines, _ = prepare(capsys, "micro_mri", tmp_path / "pairs", tmp_path / "set")
    key = {"fast": "image", "default": "label"}[kind]
    assert (
        f"{key} of mouse07_axial_head has the same voxels as one of mouse01_axial_head" in lines[-1]
    )
