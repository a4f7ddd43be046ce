"""What the inference config refuses, and how it says so."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from inference_runs import BUNDLE, CONFIG, blob, refusals, restore, save
from monai.bundle import ConfigParser


def test_bad_inputs_do_not_stop_the_others(
    tmp_path: Path, identity: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    good = [save(tmp_path / "in" / f"{name}.nii.gz", blob((20, 18, 2))) for name in "ad"]
    save(tmp_path / "in" / "b.nii.gz", np.zeros((20, 18, 2), np.float32))
    (tmp_path / "in" / "c.nii.gz").write_bytes(good[0].read_bytes()[:500])
    with caplog.at_level(logging.WARNING):
        lines = refusals(tmp_path / "in", tmp_path / "out", **identity)
    assert [line.partition(": ")[0] for line in lines] == [
        str(tmp_path / "in" / "b.nii.gz"),
        str(tmp_path / "in" / "c.nii.gz"),
    ]
    # Each is said once, by whoever ran it.
    said = [r.getMessage() for r in caplog.records if "refused" in r.getMessage()]
    assert said == ["2 inputs are refused; 2 to restore"]
    restored = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert restored == [f"{n}_restored.{end}" for n in "ad" for end in ("json", "nii.gz")]


def test_existing_results_are_refused_skipped_or_replaced(
    tmp_path: Path, identity: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    path, out = save(tmp_path / "a.nii.gz", blob((20, 18, 2))), tmp_path / "out"
    result = out / "a_restored.nii.gz"
    restore(path, out, **identity)
    before = result.read_bytes()
    result.write_bytes(b"changed")

    assert "exists already" in refusals(path, out, **identity)[0]
    (line,) = refusals(path, out, skip_existing=True, **identity)
    assert line.startswith(f"{result}: exists already, but a_restored.nii.gz is missing or was")
    assert result.read_bytes() == b"changed"

    (out / "a_restored.json").unlink()  # the run was cut short between the two files
    restore(path, out, skip_existing=True, **identity)
    assert result.read_bytes() == before

    result.write_bytes(b"changed")
    restore(path, out, overwrite=True, **identity)
    assert result.read_bytes() == before
    with caplog.at_level(logging.WARNING):
        restore(path, out, skip_existing=True, **identity)
    assert "0 to restore" in caplog.text


@pytest.mark.parametrize("other", ["input", "weights", "mode"])
def test_a_result_of_something_else_is_not_skipped(
    tmp_path: Path, identity: dict[str, Any], other: str
) -> None:
    """Of another subject's scan of the same name, of other weights, of another setting."""
    path, out = save(tmp_path / "a.nii.gz", blob((20, 18, 2))), tmp_path / "out"
    restore(path, out, **identity)
    before = {file: file.read_bytes() for file in out.iterdir()}
    settings = dict(identity)
    if other == "input":
        path = save(tmp_path / "b" / "a.nii.gz", 2 * blob((20, 18, 2)))
    elif other == "weights":
        torch.save({"another": torch.zeros(0)}, tmp_path / "other.pt")
        settings["ckpt_path"] = str(tmp_path / "other.pt")
    else:
        settings["upsampling"] = "bilinear"
    (line,) = refusals(path, out, skip_existing=True, **settings)
    named = {"input": "of another input", "weights": "other weights", "mode": "(upsampling)"}
    assert named[other] in line
    assert {file: file.read_bytes() for file in out.iterdir()} == before


def test_a_checkpoint_that_is_missing_or_wrong_is_one_line(
    tmp_path: Path, identity: dict[str, Any]
) -> None:
    path = save(tmp_path / "a.nii.gz", blob((20, 18, 2)))
    diverged = tmp_path / "diverged.pt"
    weights = torch.load(BUNDLE / "models" / "model.pt", weights_only=True)
    torch.save({name: value * torch.nan for name, value in weights.items()}, diverged)
    for checkpoint in (tmp_path / "missing.pt", Path(identity["ckpt_path"]), diverged):
        lines = refusals(path, tmp_path / "out", ckpt_path=str(checkpoint))
        assert len(lines) == 1
        assert str(checkpoint) in lines[0]
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize("config", ["inference", "evaluate"])
@pytest.mark.parametrize(("checkpoint", "folder"), [("apddm.pt", "."), ("/a/b/model.pt", "/a/b")])
def test_what_lies_beside_the_weights_is_sought_in_their_folder(config, checkpoint, folder):
    parser = ConfigParser()
    parser.read_config(CONFIG.with_name(f"{config}.yaml"))
    parser["ckpt_path"] = checkpoint
    assert parser.get_parsed_content("weights_dir") == folder


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, identity: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.nii.gz", blob((20, 18, 2)))

    def full(_: Any, name: Path) -> None:
        Path(name).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nib, "save", full)
    (line,) = refusals(path, tmp_path / "out", **identity)
    assert "disk full" in line
    assert not list((tmp_path / "out").iterdir())


def test_too_large_for_the_memory(tmp_path: Path, identity: dict[str, Any]) -> None:
    path = save(tmp_path / "a.nii.gz", blob((20, 18, 2)))
    (line,) = refusals(path, tmp_path / "out", memory_per_voxel=1e15, **identity)
    assert "too large" in line


@pytest.mark.slow
def test_the_plain_command_runs_from_another_folder(tmp_path: Path, weights: str) -> None:
    save(tmp_path / "a.nii.gz", blob((20, 18, 2)))
    (tmp_path / "b.nii.gz").write_bytes(b"no image")
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(CONFIG)]
    command += ["--bundle_root", str(BUNDLE), "--input", "['a.nii.gz','b.nii.gz']"]
    command += ["--output_dir", "out", "--ckpt_path", weights]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "b.nii.gz: cannot be read" in done.stderr
    assert (tmp_path / "out" / "a_restored.nii.gz").is_file()
