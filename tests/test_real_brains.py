import json

import nibabel as nib
import numpy as np
import pytest

from benchmarks.real_brains import SOURCES, Source, crop_air, fit_int16, prepare
from custom.data.datalist import load_datalist
from custom.errors import InputError

OBLIQUE = np.array([[0.9, -0.2, 0.1, 7], [0.25, 1.1, 0, -40], [0, 0.3, 1.2, 21], [0, 0, 0, 1.0]])


def head(shape=(50, 47, 60), seed=0):
    values = np.abs(np.random.default_rng(seed).normal(0, 4, shape)).astype(np.float32)
    values[20:33, 18:30, 22:43] += 500
    values[2, 3, 4] = 900  # a spike in air
    return values


def test_air_is_cut_off_and_every_voxel_stays_where_it_is():
    values = head()
    part, affine = crop_air(values, OBLIQUE)
    spacing = np.linalg.norm(OBLIQUE[:3, :3], axis=0)
    margin = np.round(8 / spacing)
    # 13 x 12 x 21 bright voxels: the spike is no body.
    expected = np.array([13, 12, 21]) + 2 * margin
    np.testing.assert_array_equal(part.shape, expected - expected % 2)
    start, offset = np.array([20, 18, 22]) - margin, np.array([3, 4, 5])
    np.testing.assert_allclose(affine @ [3, 4, 5, 1], OBLIQUE @ [*(start + offset), 1])
    x, y, z = (start + offset).astype(int)
    assert part[3, 4, 5] == values[x, y, z]
    assert (part > 400).sum() == 13 * 12 * 21


def test_a_limit_keeps_the_middle():
    part, affine = crop_air(head(), np.eye(4), largest=10)
    assert part.shape == (10, 10, 10)
    assert part.min() > 400
    middle = affine[:3, 3] + 4.5
    np.testing.assert_allclose(middle, [26, 23.5, 32], atol=1)


def test_values_below_zero_are_none_of_a_magnitude():
    values = head()
    values[25, 25, 25] = -30
    part, _ = crop_air(values, np.eye(4))
    assert part.min() == 0


@pytest.mark.parametrize(("peak", "expected"), [(158917, 32000), (252, 32000), (3000, 3000)])
def test_the_unit_changes_only_where_rounding_would_hurt(peak, expected):
    values = np.linspace(0, peak, 11).astype(np.float32)
    fitted = fit_int16(values)
    assert fitted.max() == pytest.approx(expected)
    np.testing.assert_allclose(fitted / fitted.max(), values / peak, rtol=1e-5)


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
        assert not names("validation", what) & names("training", what)
