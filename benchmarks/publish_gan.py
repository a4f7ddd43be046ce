"""The results of ``gan3d_sr_denoise``: trainings, evaluations, figures and page, by one command.

Trains the network of ``configs/train.yaml`` on a dataset of real volumes, in equally many steps: as
it stands (``regression``), by the absolute difference alone (``l1``), with the learning features
besides (``features``), and with each of the published critics besides (``disgan``;
``three_player``: the residual critic). Or takes what lies in ``--work`` under these names
(``--skip-training``; any training of the bundle will do, its network is read from its
``config.yaml``). Evaluates all in one run, on the held-out volumes of the dataset and on the
demonstration set; writes ``docs/results/gan3d.md``, its pictures, and the tables of the model card.

The dataset is a folder with ``datalist.json``, as ``docs/data.md`` tells.

Run: ``python -m benchmarks.publish_gan --dataset FOLDER [--work FOLDER] [--skip-training]
[--first NAME] [--ship] [--lpips FILE] [--demo tiny] [--set YAML] [--set-evaluation YAML]``
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from benchmarks.gan_page import TITLES, card_tables, page
from benchmarks.measure import REPOSITORY
from benchmarks.publishing import (
    check_evaluated,
    copy_weights,
    measures_of,
    peers,
    publish_diagnostics,
    publish_figures,
    put_between,
    read_summary,
    record_measures,
    resolved,
    save_small,
)
from custom.bundle.launch import run_bundle
from custom.report.training_curves import draw_curves, read_curves

BUNDLE = REPOSITORY / "bundles" / "gan3d_sr_denoise"
_AGAINST = {"trainer": "@train::adversarial_trainer", "training_state": "@adversarial_state"}
# What each training has in place of train.yaml's.
TRAININGS: dict[str, dict[str, Any]] = {
    "regression": {},
    "l1": {"regression_loss": {"_target_": "torch.nn.L1Loss"}},
    "features": {**_AGAINST, "adversarial_weight": 0.0},
    "disgan": _AGAINST,
    "three_player": {
        **_AGAINST,
        "critic_def": {
            "_target_": "custom.networks.nets.residual_critic.ResidualCritic",
            "features": 8,
            "num_blocks": 4,
        },
    },
}
_MOST_BYTES = 180_000  # of a picture in the repository: ten columns


def train(name: str, work: Path, dataset: Path, settings: dict[str, Any]) -> None:
    """Train, or go on with a training that was stopped, unless it is done."""
    folder = work / name
    overlay = work / f"{name}.yaml"
    overlay.write_text(yaml.safe_dump(TRAININGS[name]), encoding="utf-8")
    overlays = [str(overlay)] if TRAININGS[name] else []
    resume = {"resume": True} if (folder / "models" / "last.pt").is_file() else {}
    ids = {"output_dir": str(folder), "dataset_dir": str(dataset), "use_mlflow": False}
    run_bundle(BUNDLE, ["train", *overlays], ids | resume | settings)


def trained_config(folder: Path) -> dict[str, Any]:
    """Return the config that a training ran with, the references that matter resolved."""
    file = folder / "config.yaml"
    if not file.is_file():
        raise SystemExit(f"{folder} holds no config.yaml of a training: train it first")
    config: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    told = ("degradation", "network_def", "extractor_def")
    return config | {name: resolved(config[name], config) for name in told}


def side_by_side(first: str, work: Path) -> dict[str, Any]:
    """Return the overlay with which all trainings restore the same volumes, one as the model."""
    configs = {name: trained_config(work / name) for name in TRAININGS}
    degradations = {config["degradation"] for config in configs.values()}
    if len(degradations) > 1:
        raise SystemExit(f"trainings differ in their degradation: {sorted(degradations)}")
    others = [name for name in TRAININGS if name != first]
    beside = {
        name: (f"@{name}_def", work / name / "models" / "model.pt", "@inferer") for name in others
    }
    title = TITLES[first]
    return {
        "degradation": degradations.pop(),
        "network_def": configs[first]["network_def"],
        "extractor_def": configs[first]["extractor_def"],
        **{f"{name}_def": configs[name]["network_def"] for name in others},
        "peers": peers(beside),
        "method_names": {
            "cubic": "cubic B-spline",
            "nlm": "non-local means + cubic",
            **TITLES,
            "model": title,
            "model_consistent": f"{title}, data-consistent",
        },
    }


def evaluate(name: str, first: str, work: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Evaluate all trainings in one run; return the summary."""
    overlay = work / "side_by_side.yaml"
    content = side_by_side(first, work)
    overlay.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    folder = work / f"evaluate_{name}"
    ids = {"output_dir": str(folder), "ckpt_path": str(work / first / "models" / "model.pt")}
    run_bundle(BUNDLE, ["evaluate", str(overlay)], ids | settings)
    return read_summary(folder)


def training_pictures(first: str, work: Path, target: Path) -> list[tuple[str, str]]:
    """Draw the curves of every training but the first."""
    found = []
    for name in TRAININGS:
        if name != first:
            drawn = work / f"training_{name}.png"
            draw_curves(read_curves(work / name / "metrics.csv")).savefig(drawn, dpi=110)
            file = f"gan3d_training_{name}.jpg"
            save_small(drawn, target / file, _MOST_BYTES)
            found.append((file, f"**The training of {TITLES[name]}.**"))
    return found


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="real volumes")
    parser.add_argument("--work", type=Path, default=BUNDLE / "output" / "publish_gan")
    parser.add_argument("--docs", type=Path, default=REPOSITORY / "docs")
    parser.add_argument("--bundle", type=Path, default=BUNDLE, help="whose card is written")
    parser.add_argument("--skip-training", action="store_true", help="take what is in --work")
    parser.add_argument("--first", choices=tuple(TRAININGS), default="regression", help="the model")
    parser.add_argument(
        "--ship", action="store_true", help="the weights of --first are the bundle's"
    )
    parser.add_argument("--lpips", type=Path, help="torchvision's AlexNet state dictionary")
    parser.add_argument("--demo", choices=("full", "tiny"), default="full")
    parser.add_argument("--demo-dir", type=Path, help="where that set lies or is to lie")
    parser.add_argument("--set", default="{}", help="config ids for every training, as YAML")
    parser.add_argument("--set-evaluation", default="{}", help="the same for the evaluations")
    return parser.parse_args()


def main() -> None:
    """Train, evaluate and publish."""
    given = arguments()
    work, dataset = given.work.resolve(), given.dataset.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if not given.skip_training:
        for name in TRAININGS:
            train(name, work, dataset, yaml.safe_load(given.set))
    settings = yaml.safe_load(given.set_evaluation)
    settings |= {"lpips_weights": str(given.lpips.resolve())} if given.lpips else {}
    real = evaluate("real", given.first, work, settings | {"dataset_dir": str(dataset)})
    place = {"demo_dir": str(given.demo_dir.resolve())} if given.demo_dir else {}
    demo = evaluate("demo", given.first, work, settings | place | {"demo_size": given.demo})
    images = given.docs / "images"
    pictures = {
        name: publish_figures(work / f"evaluate_{name}", images, f"gan3d_{name}", _MOST_BYTES)
        for name in ("real", "demo")
    }
    pictures["training"] = [
        *publish_diagnostics(work / "evaluate_real", images, "gan3d", _MOST_BYTES),
        *training_pictures(given.first, work, images),
    ]
    trainings = {
        name: (trained_config(work / name), read_curves(work / name / "metrics.csv"))
        for name in TRAININGS
    }
    target = given.docs / "results" / "gan3d.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(real, demo, trainings, pictures), encoding="utf-8")
    put_between("gan tables", card_tables(real, demo), given.bundle / "docs" / "README.md")
    if given.ship:
        weights = work / given.first / "models" / "model.pt"
        check_evaluated(weights, real)
        copy_weights(given.bundle, {"models/model.pt": weights})
        record_measures(given.bundle, measures_of(real))
    print(target)


if __name__ == "__main__":
    main()
