"""Trainings of motion correction that take equally long, for ``benchmarks.publish_motion``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmarks.measure import REPOSITORY
from custom.bundle.launch import run_bundle
from custom.report.training_curves import read_curves

BUNDLE = REPOSITORY / "bundles" / "motion_cdm"
# Name of a training to its overlays and to what it has in place of theirs.
TRAININGS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "default": ([], {}),
    # The default's network, trained for the one step that restores, without a path or noise.
    "regression": ([], {"end_share": 1.0, "schedule": {"schedule": "straight", "noise_std": 0.0}}),
    "cdm_published": (["cdm_published"], {"val_interval": 1}),
    "resshift": (["resshift"], {}),
    "gan": (["gan"], {}),
}
_PROBE = 15  # steps of each of two epochs, of which the second is timed
_EPOCH = 50


def train(name: str, work: Path, dataset: Path, minutes: float, settings: dict[str, Any]) -> None:
    """Train for about so many minutes, or go on with a training that was stopped."""
    overlays, own = TRAININGS[name]
    ids = {"dataset_dir": str(dataset), "use_mlflow": False, **own, **settings}
    folder, plan = work / name, work / f"{name}.yaml"
    if not plan.is_file():
        probe = {"max_epochs": 2, "steps_per_epoch": _PROBE, "val_interval": 2}
        run_bundle(BUNDLE, ["train", *overlays], ids | probe | _output(work / "probe" / name))
        step = read_curves(work / "probe" / name / "metrics.csv")["seconds"][2] / _PROBE
        epochs = max(2, round(60 * minutes / step / _EPOCH))
        told = {"max_epochs": epochs, "steps_per_epoch": _EPOCH, "seconds_a_step": round(step, 3)}
        plan.write_text(yaml.safe_dump(told), encoding="utf-8")
    numbers = yaml.safe_load(plan.read_text(encoding="utf-8"))
    numbers.pop("seconds_a_step")
    resume = {"resume": True} if (folder / "models" / "last.pt").is_file() else {}
    run_bundle(BUNDLE, ["train", *overlays], ids | numbers | resume | _output(folder))


def _output(folder: Path) -> dict[str, Any]:
    """Return the ids of the output folder."""
    return {"output_dir": str(folder)}
