"""Evaluations of motion correction: which methods correct which slices, and what comes of it.

Every evaluation takes the draws of ``configs/evaluate.yaml``; all methods of one correct the same
slices.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.motion_trainings import BUNDLE
from benchmarks.publishing import peers, read_summary, resolved
from benchmarks.summary_tables import Summary
from custom.bundle.launch import run_bundle
from custom.evaluation.measure import Measure
from custom.evaluation.summary import summarise
from custom.evaluation.table import read_rows
from custom.files.atomic import sha256_of

SHIPPED = BUNDLE / "models" / "model.pt"
UNIT = ("scan", "motion", "slice")


@dataclass(frozen=True)
class Method:
    """A training that restores with so many steps and samples.

    Attributes:
        training: Name of the training, or ``shipped``.
        title: Name on the page.
        steps: Steps of the diffusion.
        samples: Samples whose mean is the result.
        noise: Share of the process's noise, at the start and in each step.
    """

    training: str
    title: str
    steps: int = 1
    samples: int = 1
    noise: float = 0.0

    @property
    def calls(self) -> int:
        """How often the network is called for a slice."""
        return self.steps * self.samples


@dataclass(frozen=True)
class Run:
    """An evaluation: the model that is compared with the others, and its settings."""

    model: str
    others: Sequence[str]
    settings: Mapping[str, Any] = field(default_factory=dict)


METHODS = {
    "regression": Method("regression", "regression"),
    "gan": Method("gan", "GAN"),
    **{
        f"cdm_{n}": Method("cdm_published", f"published CDM, {n} steps", n, noise=1.0)
        for n in (10, 25, 50, 250, 1000)
    },
    **{f"resshift_{n}": Method("resshift", f"ResShift, {n} steps", n, noise=1.0) for n in (4, 15)},
    "default": Method("default", "ours, equal minutes"),
    **{
        f"default_{n}": Method("default", f"ours, equal minutes, {n} steps", n, noise=1.0)
        for n in (2, 4, 10)
    },
    "default_4x8": Method("default", "ours, equal minutes, mean of 8 of 4 steps", 4, 8, 1.0),
    "shipped": Method("shipped", "ours, shipped weights"),
    "shipped_4x8": Method("shipped", "ours, shipped weights, mean of 8 of 4 steps", 4, 8, 1.0),
}
_FEW = "$[{**item, 'motion': 4} for item in split_items(@datalist, @split)][-3:]"
RUNS = {
    "all": Run("shipped", ("regression", "gan", "resshift_4", "default")),
    "sampled": Run(
        "shipped",
        (
            *("regression", "resshift_4", "resshift_15", "default"),
            *("default_2", "default_4", "default_10", "default_4x8", "shipped_4x8"),
        ),
        {"evaluation_size": [-1, -1, 2]},
    ),
    # The published model needs minutes a slice: one of each of the last three volumes.
    "published": Run(
        "default",
        [name for name in METHODS if name.startswith("cdm_")],
        {"evaluation_size": [-1, -1, 1], "dataset::data": _FEW},
    ),
}
# What a picture's heading tells, besides the scan.
_HEADING = {
    "severity_class": "{}",
    "motion_kind": "{}",
    "motion": "draw {:g}",
    "slice": "slice {}",
}
_NETWORK = "$@{}_def.to(memory_format=torch.channels_last{})"


def weights_of(training: str, work: Path) -> Path:
    """Return the weights of a training."""
    return SHIPPED if training == "shipped" else work / training / "models" / "model.pt"


def overlay(run: Run, work: Path, known: Sequence[str], most: int = 1000) -> dict[str, Any]:
    """Return the config with which all methods of known trainings correct the same slices.

    Methods of more than ``most`` steps are left out.
    """
    trained = (*known, "shipped")
    names = [n for n in run.others if METHODS[n].training in trained and METHODS[n].steps <= most]
    content: dict[str, Any] = {}
    beside: dict[str, tuple[str, Path, Any]] = {}
    for name in names:
        method = METHODS[name]
        config = _config(method.training, work)
        content[f"{method.training}_def"] = config["network_def"]
        content |= config["used"]
        of_volumes = "_3d" if method.training == "gan" else ""
        network = _NETWORK.format(method.training, of_volumes)
        beside[name] = (network, weights_of(method.training, work), inferer(method, config))
    after = [  # as the model's own result
        transform
        for name in names
        for transform in (
            {
                "_target_": "custom.transforms.slices.still_slices.KeepStillSlicesd",
                "keys": name,
                "reference_key": "image",
                "below": "@still_below",
            },
            {"_target_": "custom.transforms.split_deviations.SplitDeviationsd", "keys": name},
        )
    ]
    titles = {name: METHODS[name].title for name in names}
    return {
        **content,
        "peers": [*peers(beside), *after],
        "methods": {"input": "image", **{name: name for name in names}, "model": "pred"},
        "method_names": {"input": "corrupted", **titles, "model": METHODS[run.model].title},
    }


def inferer(method: Method, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inferer of a method, from the config that its network was trained with."""
    if method.training == "gan":
        return {"_target_": "custom.inferers.tiled_inferer.TiledUpscalingInferer", "scale": 1}
    process = {
        "_target_": "custom.networks.schedulers.gaussian_path.GaussianPath",
        "num_steps": config["num_steps"],
        "prediction": config["prediction"],
        **config["schedule"],
    }
    return {
        "_target_": "custom.inferers.iterative.IterativeInferer",
        "process": process,
        "num_inference_steps": method.steps,
        "num_samples": method.samples,
        "noise_scale": method.noise,
        "start_noise_scale": method.noise,
        "conditioned": True,
        "num_slices": config["num_slices"],
        "slices_per_batch": "@slices_per_batch",
        "seed": "@seed",
    }


def evaluate(
    name: str,
    work: Path,
    dataset: Path,
    known: Sequence[str],
    settings: Mapping[str, Any],
    most: int = 1000,
) -> Path:
    """Evaluate, unless the same was evaluated with the same weights; return the folder."""
    run, folder = RUNS[name], work / f"evaluate_{name}"
    file, content = work / f"evaluate_{name}.yaml", overlay(run, work, known, most)
    weights = weights_of(METHODS[run.model].training, work)
    ids = {"dataset_dir": str(dataset), "panels::columns": _HEADING, **settings, **run.settings}
    # Weights count by what they are, not by where they lie.
    networks = [{k: v for k, v in peer.items() if k != "ckpt_path"} for peer in content["peers"]]
    plan = {
        "overlay": {**content, "peers": networks},
        "settings": ids,
        "weights": _hashes(run, work, content),
    }
    told = work / f"evaluated_{name}.yaml"
    text = yaml.safe_dump(plan, sort_keys=False)
    if (folder / "summary.json").is_file() and told.is_file() and told.read_text("utf-8") == text:
        return folder
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    run_bundle(
        BUNDLE,
        ["evaluate", str(file)],
        ids | {"ckpt_path": str(weights), "output_dir": str(folder)},
    )
    told.write_text(text, encoding="utf-8")
    return folder


def moved(folder: Path) -> tuple[Summary, list[dict[str, Any]]]:
    """Return the summary of the slices that moved, and the rows of the others.

    A slice that did not move equals its reference: the PSNR of the input is infinite. With it the
    means of methods that change it would be of other slices than the input's.
    """
    summary = read_summary(folder)
    measures = [
        Measure(name=name, function=lambda _: None, **about)
        for name, about in summary["measures"].items()
    ]
    rows = read_rows(folder, summary["measures"])
    still = {
        tuple(row[name] for name in UNIT)
        for row in rows
        if row["method"] == "input" and row["psnr"] == float("inf")
    }
    parts: tuple[list[dict[str, Any]], ...] = ([], [])
    for row in rows:
        parts[tuple(row[name] for name in UNIT) in still].append(row)
    found = summarise(parts[0], measures, list(summary["groups"]), UNIT)
    counts = summary["counts"] | {summary["unit"]: len(parts[0]) // len(summary["methods"])}
    return summary | found | {"counts": counts}, parts[1]


def _config(training: str, work: Path) -> dict[str, Any]:
    """Return what rebuilds a network and its path."""
    if training == "shipped":
        file = BUNDLE / "configs" / "evaluate.yaml"
    else:
        file = work / training / "config.yaml"
    config: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    told = ("network_def", "num_steps", "prediction", "schedule", "num_slices")
    found = {name: resolved(config[name], config) for name in told}
    # Of expressions, which are left as they are.
    names = re.findall(r"@(\w+)", yaml.safe_dump(found["network_def"]))
    return found | {"used": {name: config[name] for name in names}}


def _hashes(run: Run, work: Path, content: Mapping[str, Any]) -> dict[str, str]:
    """Return the hashes of all weights of an evaluation."""
    names = [METHODS[name].training for name in (*content["methods"], run.model) if name in METHODS]
    return {name: sha256_of(weights_of(name, work)) for name in dict.fromkeys(names)}
