"""The results of ``dwi_vae``: trainings, tables, figures, weights and page, by one command.

Trains the paper's networks with several seeds and settings, and ours; measures all of them on the
same simulated signals, beside classical fits and the least error there can be; evaluates the
bundle on its phantoms; copies the weights into the bundle; and writes ``docs/results/dwi.md``. A
training that was stopped goes on where it was. All of it takes some hours on two cores.

Run: ``python -m benchmarks.publish_dwi [--work FOLDER] [--skip-training] [--signals N]``
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml

from benchmarks.dwi_measures import clean_error, seeds_table, signal_diagnostics
from benchmarks.dwi_page import page
from benchmarks.dwi_trainings import BUNDLE, train, trainings
from benchmarks.measure import REPOSITORY
from benchmarks.publishing import (
    copy_weights,
    pivot,
    put_between,
    read_summary,
    record_measures,
    save_small,
)
from custom.bundle.launch import run_bundle
from custom.evaluation.summary_file import summary_text
from custom.files.atomic import write_json
from custom.files.csv_table import read_table
from custom.physics.diffusion.gradient_table import read_gradient_table
from custom.physics.diffusion.noise import ClippedGaussianNoise, RicianNoise

# What is shipped: name of the file, and of its training.
SHIPPED = {"model": "ours", "vae": "vae_0", "dae": "dae_relu_0"}
SHIPPED |= {name: name for name in ("tensor", "blind", "rician")}
_MOST_BYTES = 100_000  # of a picture in the repository


def publish_measures(bundle: Path, signals: Path) -> None:
    """Put the errors at the paper's mixture of levels into the metadata."""
    rows = {row["estimator"]: row for row in read_table(signals / "mixture.csv")}
    for title, variant in (("ours", None), ("VAE", "vae"), ("DAE", "dae")):
        row = rows[title]
        measures = {n: float(f"{float(row[n]):.4g}") for n in ("signal_mse", "tensor_mse")}
        record_measures(bundle, measures, variant)


def evaluate_phantoms(work: Path) -> dict[str, Any]:
    """Evaluate the bundle, with the weights it has now, on its phantoms; return the summary."""
    folder = work / "evaluate"
    run_bundle(BUNDLE, ["evaluate"], {"output_dir": str(folder), "diagnostics": None})
    return read_summary(folder)


def publish_card(bundle: Path, phantoms: dict[str, Any], signals: Path) -> None:
    """Put the tables into the model card."""
    rows = read_table(signals / "by_noise.csv")
    text = (
        f"```\n{summary_text(phantoms)}\n```\n\nMean squared error of simulated signals over the "
        f"least possible:\n\n{pivot(rows, ['estimator'], 'sigma', 'signal_times_limit')}\n"
    )
    put_between("dwi tables", text, bundle / "docs" / "README.md")


def publish_pictures(folder: Path, target: Path) -> None:
    """Copy the diagnostic figures in a size for the repository."""
    target.mkdir(parents=True, exist_ok=True)
    for picture in sorted(folder.glob("*.png")):
        save_small(picture, target / f"dwi_{picture.stem}.jpg", _MOST_BYTES)


def main() -> None:
    """Train, measure and publish."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=BUNDLE / "output" / "publish_dwi")
    parser.add_argument("--docs", type=Path, default=REPOSITORY / "docs")
    parser.add_argument("--bundle", type=Path, default=BUNDLE, help="whose weights are replaced")
    parser.add_argument("--signals", type=int, default=600, help="at each noise level")
    parser.add_argument("--skip-training", action="store_true", help="take what is in --work")
    parser.add_argument("--set", default="{}", help="config ids for every training, as YAML")
    given = parser.parse_args()
    work = given.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if not given.skip_training:
        for name, training in trainings().items():
            train(name, training, work, yaml.safe_load(given.set))
    protocol = BUNDLE / "configs" / "protocols"
    table = read_gradient_table(protocol / "paper.bval", protocol / "paper.bvec")
    compared = ["ours", "tensor", "blind", "scaled", "vae_0", "dae_relu_0", "dae_linear_0"]
    compared += ["vae_latent10", "vae_nokld"]
    gaussian = signal_diagnostics(compared, work, table, ClippedGaussianNoise(), given.signals)
    rician = signal_diagnostics(["rician", "ours"], work, table, RicianNoise(), given.signals)
    seeds = seeds_table(work, table)
    write_json(work / "seeds.json", seeds)
    made = {f"models/{name}.pt": work / run / "models/model.pt" for name, run in SHIPPED.items()}
    copy_weights(given.bundle, {path: file for path, file in made.items() if file.is_file()})
    publish_measures(given.bundle, gaussian)
    publish_pictures(gaussian, given.docs / "images")
    phantoms = evaluate_phantoms(work)
    publish_card(given.bundle, phantoms, gaussian)
    figures = work / "evaluate" / "figures"
    first = read_table(figures / "figures.csv")[0]["file"]
    save_small(figures / first, given.docs / "images" / "dwi_phantom.jpg", _MOST_BYTES)
    target = given.docs / "results" / "dwi.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    clean = clean_error(work, table)
    target.write_text(page(gaussian, rician, seeds, phantoms, clean), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
