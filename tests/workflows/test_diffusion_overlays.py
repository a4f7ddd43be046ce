"""The diffusion overlays of the motion bundle train, evaluate and restore, on the tiny set."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from custom.bundle.launch import run_bundle
from custom.demo.brain.moving_heads import MovingHeadsDemo
from custom.errors import InputError

BUNDLE = Path(__file__).parents[2] / "bundles" / "motion_cdm"
SMALL = {
    "cdm_published": {
        "network_def::encoder_features": [2, 3, 4],
        "network_def::features": [4, 6],
    },
    "resshift": {"network_def::features": [8, 12]},
}


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    return MovingHeadsDemo(tmp_path_factory.mktemp("heads"), size="tiny").ensure()


@pytest.mark.slow
@pytest.mark.parametrize("overlay", list(SMALL))
def test_an_overlay_is_trained_evaluated_and_restores(overlay, heads, tmp_path):
    small = {**SMALL[overlay], "device": "$torch.device('cpu')", "demo_dir": str(heads)}
    weights = tmp_path / "train" / "models" / "model.pt"
    few = {"max_epochs": 2, "val_interval": 1, "validation_steps": 2, "batch_size": 4}
    run_bundle(
        BUNDLE, ["train", overlay, "tiny"], small | few | {"output_dir": str(tmp_path / "train")}
    )
    with (tmp_path / "train" / "metrics.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [np.isfinite(float(row["val_psnr"])) for row in rows] == [True, True]

    given = small | {"ckpt_path": str(weights), "steps": 3}
    measured = {
        "output_dir": str(tmp_path / "evaluate"),
        "motions": 1,
        "evaluation_size": [-1, -1, 3],
    }
    run_bundle(BUNDLE, ["evaluate", overlay, "tiny"], given | measured)
    summary = json.loads((tmp_path / "evaluate" / "summary.json").read_text())
    assert summary["methods"] == ["input", "model"]
    assert summary["tables"] == []  # no deviation, so nothing to be calibrated

    image = next(heads.glob("images/*.nii.gz"))
    del given["demo_dir"]
    out = {"input": str(image), "output_dir": str(tmp_path / "out"), "slice_axis": 2}
    run_bundle(BUNDLE, ["inference", overlay], given | out | {"samples": 2, "write_spread": True})
    names = sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz"))
    assert [name.split("_")[-1] for name in names] == ["restored.nii.gz", "spread.nii.gz"]
    restored, before = (nib.load(f) for f in (tmp_path / "out" / names[0], image))
    assert restored.shape == before.shape
    assert np.isfinite(restored.get_fdata()).all()

    # Weights of one path are none for another.
    other = {"schedule": {"schedule": "cosine"}, "output_dir": str(tmp_path / "other")}
    with pytest.raises(InputError, match="schedule"):
        run_bundle(BUNDLE, ["inference", overlay], given | out | other)
