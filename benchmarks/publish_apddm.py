"""Train and evaluate the anchored path model, and publish weights, figures and pages.

Trains ``configs/apddm.yaml`` as it stands (``path``), with places on the path drawn uniformly
(``uniform``), and with the published parameterisation (``noise_schedule``), all with the epochs and
data of ``train.yaml``; evaluates them in one run beside the plain U-Net that was trained equally
(the bundle's own weights, or with ``--epochs`` one trained here), and writes
``docs/results/apddm.md`` with its pictures. Weights and residual bank of ``path`` go into the
bundle, their hashes and measures into ``metadata.json``.

Run: ``python -m benchmarks.publish_apddm [--work FOLDER] [--docs FOLDER] [--bundle FOLDER]
[--epochs N] [--demo tiny]``
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.apddm_page import NAMES, page
from benchmarks.measure import REPOSITORY
from benchmarks.publishing import (
    check_evaluated,
    copy_weights,
    measures_of,
    peers,
    publish_diagnostics,
    publish_figures,
    read_summary,
    record_measures,
)

BUNDLE = REPOSITORY / "bundles" / "micro_mri_denoise"
COMMAND = Path(sys.executable).with_name("mri-bundles")
SLICE_WISE = "custom.inferers.slice_wise_inferer.SliceWiseInferer"
# What each training sets besides. The published form corrects nothing at t = T, where f is 0: it
# can neither use samples there nor restore in one step.
MODELS: dict[str, dict[str, Any]] = {
    "path": {},
    "uniform": {"end_share": 0.0},
    "noise_schedule": {
        "parameterisation": "noise_schedule",
        "end_share": 0.0,
        "num_inference_steps": 10,
    },
}


def train(work: Path, given: list[str], plain: bool) -> None:
    """Train the anchored path models, and the plain U-Net if it is asked for."""
    for name in MODELS:
        words = ["--config", "apddm", *flags(name)]
        run("train", "--output", work / name, "--use_mlflow", "False", *words, *given)
    if plain:
        run("train", "--output", work / "plain", "--use_mlflow", "False", *given)


def flags(name: str) -> list[str]:
    """Return what a model sets besides, as the command line takes it."""
    return [word for key, value in MODELS[name].items() for word in (f"--{key}", str(value))]


def evaluate(work: Path, given: list[str], plain_weights: Path) -> Path:
    """Evaluate all models in one run; return its folder."""
    overlay = work / "side_by_side.yaml"
    weights = {name: work / name / "models" / "model.pt" for name in list(MODELS)[1:]}
    weights["unet"] = plain_weights
    overlay.write_text(yaml.safe_dump(side_by_side(weights), sort_keys=False), encoding="utf-8")
    words = ["--config", "apddm", "--config", overlay, "--output", work / "evaluate"]
    run("evaluate", *words, "--checkpoint", work / "path" / "models" / "model.pt", *given)
    return work / "evaluate"


def evaluate_printed(work: Path, given: list[str]) -> None:
    """Evaluate ``noise_schedule`` alone, for its own curve of quality against steps."""
    folder = work / "noise_schedule"
    words = ["--config", "apddm", *flags("noise_schedule")]
    words += ["--peers", "[]", "--methods", "{'input': 'image', 'model': 'pred'}"]
    words += ["--checkpoint", folder / "models" / "model.pt", "--output", folder / "evaluate"]
    run("evaluate", *words, *given)


def side_by_side(weights: dict[str, Path]) -> dict[str, Any]:
    """Return the overlay that lets the other models restore beside the first."""
    plain = yaml.safe_load((BUNDLE / "configs" / "train.yaml").read_text(encoding="utf-8"))
    anchored = yaml.safe_load((BUNDLE / "configs" / "apddm.yaml").read_text(encoding="utf-8"))
    settings = {
        name: (anchored["network_def"], own_inferer(anchored, MODELS[name]))
        for name in list(MODELS)[1:]
    }
    slices = {"_target_": SLICE_WISE, "slices_per_batch": "@slices_per_batch"}
    settings["unet"] = (plain["network_def"], slices)
    # In the layout of the model's own network, or the times could not be compared.
    layout = "$@{}_def.to(memory_format=torch.channels_last)"
    beside = {
        name: (layout.format(name), weights[name], inferer)
        for name, (_, inferer) in settings.items()
    }
    methods = {name: name for name in ("bicubic", "nlm", *reversed(settings))}
    return {
        **{f"{name}_def": network for name, (network, _) in settings.items()},
        "peers": peers(beside),
        "methods": {"input": "image", **methods, "model": "pred"},
        "method_names": NAMES,
    }


def own_inferer(overlay: dict[str, Any], setting: dict[str, Any]) -> dict[str, Any]:
    """Return the inferer of a model that differs from the overlay's in its setting."""
    own = {key: value for key, value in setting.items() if key in overlay["scheduler"]}
    steps = {key: value for key, value in setting.items() if key in overlay["inferer"]}
    return {**overlay["inferer"], **steps, "scheduler": {**overlay["scheduler"], **own}}


def run(verb: str, *words: Any) -> None:
    """Run one of our commands."""
    subprocess.run([COMMAND, verb, BUNDLE, *map(str, words)], check=True)


def main() -> None:
    """Train, evaluate and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=BUNDLE / "output" / "publish_apddm")
    parser.add_argument("--docs", type=Path, default=REPOSITORY / "docs")
    parser.add_argument("--bundle", type=Path, default=BUNDLE, help="whose weights are replaced")
    parser.add_argument("--epochs", type=int, help="of all trainings; default: as train.yaml")
    parser.add_argument("--demo", choices=("full", "tiny"), default="full")
    parser.add_argument("--skip-training", action="store_true", help="take what is in --work")
    given = parser.parse_args()
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    data = ["--demo_size", given.demo]
    data += [] if given.demo == "full" else ["--demo_dir", str(work / "demo")]
    equal = [] if given.epochs is None else ["--max_epochs", str(given.epochs)]
    own = bool(equal) or given.demo != "full"
    if not given.skip_training:
        train(work, data + equal, plain=own)
    plain = work / "plain/models/model.pt" if own else BUNDLE / "models" / "model.pt"
    evaluated = evaluate(work, data, plain)
    evaluate_printed(work, data)
    summary = read_summary(evaluated)
    models = work / "path" / "models"
    check_evaluated(models / "model.pt", summary)
    bank = "models/residuals.zarr.zip"
    weights = {"models/apddm.pt": models / "model.pt", bank: models / Path(bank).name}
    copy_weights(given.bundle, weights)
    record_measures(given.bundle, measures_of(summary), "apddm")
    images = given.docs / "images"
    publish_diagnostics(evaluated, images, "apddm")
    slices = publish_figures(evaluated, images, "apddm", first_of="plane")
    said = "trained here" if own else "the bundle's own weights"
    target = given.docs / "results" / "apddm.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(work, summary, slices, said), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
