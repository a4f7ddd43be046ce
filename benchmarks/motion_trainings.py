"""Trainings of motion correction that take equally long, for ``benchmarks.publish_motion``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measure import REPOSITORY
from custom.bundle.launch import run_bundle
from custom.report.training_curves import Curves, read_curves

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
# Every training sees noise and blur in the still slices, too.
_ALL = {"label_noise": 0.08, "blurred_share": 0.3}
_PROBE = 15  # steps of each of two epochs, of which the second is timed
_EPOCH = 50
_USED = "cpu_minutes.yaml"
_TOLD = ("max_epochs", "steps_per_epoch", "cpu_minutes")


def train(name: str, work: Path, dataset: Path, minutes: float, settings: dict[str, Any]) -> None:
    """Train for about so many minutes, or go on with a training that was stopped."""
    overlays, own = TRAININGS[name]
    ids = {"dataset_dir": str(dataset), "use_mlflow": False, **_ALL, **own, **settings}
    folder, plan = work / name, work / f"{name}.yaml"
    if not plan.is_file():
        probe = {"max_epochs": 2, "steps_per_epoch": _PROBE, "val_interval": 2}
        run_bundle(BUNDLE, ["train", *overlays], ids | probe | _output(work / "probe" / name))
        step = read_curves(work / "probe" / name / "metrics.csv")["seconds"][2] / _PROBE
        epochs = max(2, round(60 * minutes / step / _EPOCH))
        _keep(plan, {"max_epochs": epochs, "steps_per_epoch": _EPOCH})
    planned = read_plan(work, name)
    used = planned.pop("cpu_minutes", 0.0)
    resume = {"resume": True} if (folder / "models" / "last.pt").is_file() else {}
    begin = time.process_time()
    run_bundle(BUNDLE, ["train", *overlays], ids | planned | resume | _output(folder))
    used += (time.process_time() - begin) / 60
    _keep(folder / _USED, {"cpu_minutes": round(used, 2)})


def read_plan(work: Path, name: str) -> dict[str, Any]:
    """Return epochs and steps of a training, and the minutes of CPU that it has had."""
    found: dict[str, Any] = {}
    for file in (work / f"{name}.yaml", work / name / _USED):
        if file.is_file():
            found |= yaml.safe_load(file.read_text(encoding="utf-8"))
    return {key: found[key] for key in _TOLD if key in found}


def trained(work: Path) -> dict[str, Curves]:
    """Return the curves of the trainings that have come to their end."""
    found = {}
    for name in TRAININGS:
        table = work / name / "metrics.csv"
        if table.is_file() and (work / f"{name}.yaml").is_file():
            curves = read_curves(table)
            if max(curves["seconds"]) == read_plan(work, name)["max_epochs"]:
                found[name] = curves
    return found


def minutes_at(curves: Curves) -> Mapping[int, float]:
    """Return the minutes of training, without validations, at the end of each epoch."""
    seconds = curves["seconds"]
    return {epoch: sum(seconds[n] for n in seconds if n <= epoch) / 60 for epoch in seconds}


def _keep(plan: Path, content: dict[str, Any]) -> None:
    """Write a plan."""
    plan.write_text(yaml.safe_dump(content), encoding="utf-8")


def _output(folder: Path) -> dict[str, Any]:
    """Return the ids of the output folder."""
    return {"output_dir": str(folder)}
