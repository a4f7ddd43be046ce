import json

import nibabel as nib
import numpy as np
import pytest
from heads_in_air import OBLIQUE, head

from benchmarks.real_brains import SOURCES, Source, prepare
from custom.data.datasets.datalist import load_datalist
from custom.errors import InputError


def make(folder, licences):
    entries = []
    for number, licence in enumerate(licences):
        nib.save(nib.Nifti1Image(head(seed=number), OBLIQUE), folder / f"v{number}.nii.gz")
        text = dict.fromkeys(("what", "licence_quote", "source_repo", "source_path"), "x")
        entries.append(
            {"file": f"v{number}.nii.gz", "licence": licence, "source_commit": "0"} | text
        )
    (folder / "manifest.json").write_text(json.dumps({"entries": entries}))


def test_a_dataset_is_made_that_training_reads(tmp_path):
    make(tmp_path, ("MIT", "PDDL 1.0"))
    sources = (
        Source("v0.nii.gz", "training", "a", "one"),
        Source("v1.nii.gz", "test", "b", "two"),
    )
    taken = prepare(tmp_path, tmp_path / "set", sources)
    assert [part["licence"] for part in taken] == ["MIT", "PDDL 1.0"]
    splits = load_datalist(tmp_path / "set")
    label = nib.load(splits["test"][0]["label"])
    image = nib.load(splits["test"][0]["image"])
    bright = np.argwhere(label.get_fdata() > 0.5 * label.get_fdata().max())
    whole = np.argwhere(head(seed=1) > 250)[1:]  # without the spike
    np.testing.assert_allclose(
        nib.affines.apply_affine(label.affine, bright.mean(0)),
        nib.affines.apply_affine(OBLIQUE, whole.mean(0)),
        atol=1e-3,
    )
    np.testing.assert_allclose(
        image.affine @ [2, 3, 4, 1], label.affine @ [4.5, 6.5, 8.5, 1], atol=1e-3
    )


def test_what_may_not_be_passed_on_or_is_not_apart_is_refused(tmp_path):
    make(tmp_path, ("GPL-2.0-or-later",))
    source = Source("v0.nii.gz", "test", "a", "one")
    with pytest.raises(InputError, match="leave it out"):
        prepare(tmp_path, tmp_path / "set", (source,))
    with pytest.raises(InputError, match="missing"):
        prepare(tmp_path, tmp_path / "other", (Source("v1.nii.gz", "test", "a", "one"),))
    for twin in (Source("x", "training", "a", "two"), Source("x", "training", "b", "one")):
        with pytest.raises(InputError, match="in training and test"):
            prepare(tmp_path, tmp_path / "third", (source, twin))


def test_the_study_tests_other_people_and_scanners_than_it_trains_on():
    def names(split, what):
        return {getattr(part, what) for part in SOURCES if part.split == split}

    assert len(names("test", "subject")) >= 2
    for what in ("subject", "scanner"):
        assert not names("test", what) & (names("training", what) | names("validation", what))
    assert not names("validation", "subject") & names("training", "subject")
