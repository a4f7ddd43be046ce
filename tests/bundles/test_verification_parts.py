"""The pieces of the verification, each on something small."""

import nibabel as nib
import numpy as np
import pytest
import torch

from custom.bundle.verification import (
    checks_config,
    checks_files,
    checks_resume,
    checks_run,
    workflows,
)
from custom.bundle.verification import verify as verify_module
from custom.bundle.verification.bundle_folder import BundleFolder
from custom.bundle.verification.outcome import CheckFailed, one_line
from custom.bundle.verification.verify import Check, verify_bundle
from custom.errors import InputError


@pytest.mark.parametrize(
    ("value", "absolute"),
    [
        ("/data/mice", True),
        ("data/mice", False),
        ("$@bundle_root + '/data'", False),
        ("$'/data/' + str(@seed)", True),
        ("$os.path.join('/data', @name)", True),
        ("$f'{@root}/models'", False),
        ("$f'/scratch/{@root}'", True),
        ("~/mice", True),
        ("C:\\mice", True),
        ("https://example.org/a/b", False),
        ("$import os", False),
    ],
)
def test_absolute_paths_in_values(value, absolute):
    found = [text for text in checks_config._literals(value) if checks_config._ABSOLUTE.match(text)]
    assert bool(found) == absolute


@pytest.mark.parametrize(
    ("line", "absolute"),
    [
        ("lies in /home/me/mice", True),
        ("lies in ~/mice", True),
        ("lies in (/mnt/disk/mice).", True),
        ("T1/T2 or and/or 8/10", False),
        ("see https://example.org/a/b or docs/a/b", False),
        ("give /path/to/mice", False),
        ("<a/b/c>", False),
    ],
)
def test_absolute_paths_in_prose(line, absolute):
    assert bool(checks_config._ABSOLUTE_IN_PROSE.search(line)) == absolute


def test_sections_know_code_blocks_and_levels():
    text = "# A\n\n## B\ntext\n### C\nmore\n```bash\n# no heading\n```\n## D\n"
    titles = {title: body.split() for title, body in checks_files._sections(text)}
    assert list(titles) == ["A", "B", "C", "D"]
    assert "more" in titles["B"]
    assert "heading" in titles["C"]
    assert titles["D"] == []


def test_one_line_gives_the_first_cause_on_one_line():
    error = RuntimeError("Failed to evaluate")  # MONAI's words around a cause
    error.__cause__ = ValueError("a\nb")
    assert one_line(error) == "ValueError: a b"
    error.__cause__.__cause__ = error  # a circle, as `raise cause from error` makes
    assert one_line(error) == "ValueError: a b"
    assert len(one_line(ValueError("x" * 9999))) == 400


def test_the_oblique_affine_keeps_lengths_and_angles():
    spacing = np.array([0.3, 0.2, 0.9])
    matrix = checks_run._oblique_affine(spacing)[:3, :3]
    np.testing.assert_allclose(matrix.T @ matrix, np.diag(spacing**2), atol=1e-12)
    assert np.abs(matrix / spacing).max() < 0.95  # turned away from every axis


@pytest.mark.parametrize("scale", [(1, 1, 1), (2, 2, 1), (2, 2, 2)])
def test_a_finer_grid_of_the_same_box_is_accepted_and_a_shifted_one_not(scale):
    shape = (6, 5, 4)
    affine = checks_run._oblique_affine(np.array([0.3, 0.2, 0.9]))
    fine = _with_corner(affine, scale, (-0.5, -0.5, -0.5))
    image = nib.Nifti1Image(np.zeros(np.multiply(shape, scale), np.float32), fine)
    checks_run._same_box(affine, shape, image, tolerance_mm=1e-4)
    fine[0, 3] += 0.01
    image = nib.Nifti1Image(np.zeros(np.multiply(shape, scale), np.float32), fine)
    with pytest.raises(CheckFailed, match=r"off the input's frame by up to 0\.01 mm"):
        checks_run._same_box(affine, shape, image, tolerance_mm=1e-4)


def _with_corner(affine, scale, corner):
    """Return the finer affine whose first voxel has the same outer corner, by geometry."""
    fine = affine @ np.diag([*(1 / np.array(scale)), 1.0])
    fine[:3, 3] = 0
    fine[:3, 3] = nib.affines.apply_affine(affine, corner) - nib.affines.apply_affine(fine, corner)
    return fine


def test_copies_of_an_image_bring_what_lies_beside_it(tmp_path):
    for name in (
        "a.nii.gz",
        "a.bval",
        "a.extra.json",
        "ab.bval",
        "a_mask.nii.gz",
        "b.bval",
        "a.nii",
    ):
        (tmp_path / name).write_text(name)
    target = tmp_path / "copies" / "scan.nii.gz"
    checks_run._write(target, np.zeros((2, 2, 2)), np.eye(4), tmp_path / "a.nii.gz")
    found = {path.name: path.read_bytes() for path in target.parent.iterdir() if path != target}
    assert found == {"scan.bval": b"a.bval", "scan.extra.json": b"a.extra.json"}


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"a": [1, torch.ones(2)], "b": 3}, None),
        ({"a": [1, torch.zeros(2)], "b": 3}, "a.1 has other values"),
        ({"a": [1], "b": 3}, "a has the entries [0], before [0, 1]"),
        ({"a": [1, torch.ones(2)], "b": 4}, "b is 4, before 3"),
    ],
)
def test_difference_of_two_states(found, says):
    assert checks_resume._difference({"a": [1, torch.ones(2)], "b": 3}, found) == says


def test_the_state_of_a_folder_leaves_out_what_others_have_running(tmp_path):
    for name in ("configs/train.yaml", "output/train/metrics.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a")
    bundle = BundleFolder(tmp_path, tmp_path)
    before = workflows._state(bundle)
    (tmp_path / "output/train/metrics.csv").write_text("more")
    assert workflows._state(bundle) == before
    (tmp_path / "output/other").mkdir()
    assert workflows._state(bundle) - before == {("output/other", 0, 0)}
    (tmp_path / "configs/train.yaml").write_text("other")
    assert len(workflows._state(bundle) - before) == 2


def test_a_config_or_metadata_that_would_fill_the_memory_is_one_line(tmp_path):
    """Merges of aliases grow while YAML is read."""
    merges = "a0: &a0 {x: 1}\n" + "".join(
        f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40)
    )
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "train.yaml").write_text(merges)
    (tmp_path / "configs" / "metadata.json").write_text("[" * 20_000)
    bundle = BundleFolder(tmp_path, tmp_path)
    with pytest.raises(CheckFailed, match=r"train\.yaml cannot be read: its aliases stand for"):
        _ = bundle.configs
    with pytest.raises(CheckFailed, match=r"metadata\.json cannot be read: nested too deeply"):
        _ = bundle.metadata


def fails(_):
    raise CheckFailed("no")


def crashes(_):
    raise ZeroDivisionError("by zero")


def passes(bundle):
    assert isinstance(bundle, BundleFolder)


@pytest.fixture
def checks(monkeypatch):
    table = (
        Check("a.one", passes),
        Check("a.two", fails),
        Check("b.three", passes, ("a.two",)),
        Check("b.four", crashes, ("a.one",)),
        Check("run.five", passes, ("b.three",)),
    )
    monkeypatch.setattr(verify_module, "CHECKS", table)


@pytest.mark.usefixtures("checks")
def test_results_come_in_order_and_name_what_was_not_run(tmp_path):
    reported = []
    results = verify_bundle(tmp_path, report=reported.append)
    assert reported == results
    assert [(result.check_id, result.passed, result.message) for result in results] == [
        ("a.one", True, ""),
        ("a.two", False, "no"),
        ("b.three", False, "not run: a.two failed"),
        ("b.four", False, "ZeroDivisionError: by zero"),
        ("run.five", False, "not run: b.three failed"),
    ]


@pytest.mark.usefixtures("checks")
def test_a_selection_of_checks(tmp_path):
    def ids(**options):
        return [result.check_id for result in verify_bundle(tmp_path, **options)]

    assert ids(only=["b", "a.one"]) == ["a.one", "b.three", "b.four"]
    assert ids(quick=True) == ["a.one", "a.two", "b.three", "b.four"]
    with pytest.raises(InputError, match="unknown check 'c'"):
        ids(only=["c"])


def test_a_missing_folder_is_the_users_error(tmp_path):
    with pytest.raises(InputError, match="is no folder"):
        verify_bundle(tmp_path / "nowhere")


def test_needs_name_earlier_checks():
    names = [check.check_id for check in verify_module.CHECKS]
    assert len(set(names)) == len(names)
    for index, check in enumerate(verify_module.CHECKS):
        assert set(check.needs) <= set(names[:index])
