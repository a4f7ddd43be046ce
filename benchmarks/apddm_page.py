"""The page that ``benchmarks.publish_apddm`` writes, and its tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.measure import environment
from benchmarks.publishing import markdown, show
from benchmarks.summary_tables import gain_table, time_table
from custom.evaluation.summary_file import summary_text
from custom.files.csv_table import read_table

TEMPLATE = Path(__file__).with_name("publish_apddm.md")
NAMES = {
    "model": "APDDM, path",
    "uniform": "APDDM, path, t uniform",
    "noise_schedule": "APDDM, noise_schedule",
    "unet": "plain U-Net",
    "input": "input (nearest)",
    "nlm": "non-local means",
}
TRAINED = {
    "model": "path",
    "uniform": "uniform",
    "noise_schedule": "noise_schedule",
    "unet": "plain",
}


def page(work: Path, summary: dict[str, Any], slices: list[tuple[str, str]], training: str) -> str:
    """Return the results page."""
    shown, printed = (
        json.loads((folder / "evaluate/diagnostics/diagnostics.json").read_text(encoding="utf-8"))
        for folder in (work, work / "noise_schedule")
    )
    record = ", ".join(f"{key} {value}" for key, value in environment().items())
    return TEMPLATE.read_text(encoding="utf-8").format(
        environment=record,
        training=training,
        trainings=training_table(work),
        table=summary_text(summary),
        cnr=cnr_table(summary),
        gains=gain_table(summary, others=("unet", "uniform", "noise_schedule")),
        times=time_table(summary),
        steps=steps_table(shown["steps"], printed["steps"]),
        kinds=kinds_table(shown["edges"]),
        slices=show(slices),
        **{name: shown[name] for name in ("variance", "endpoint", "spread")},
    )


def training_table(work: Path) -> str:
    """Return what the trainings ended with, those made here."""
    rows = [["model", "epochs", "best epoch", "validation MSE", "minutes"]]
    for method, folder in TRAINED.items():
        file = work / folder / "metrics.csv"
        if not file.is_file():
            continue
        epochs = [
            row for row in read_table(file, ("epoch", "val_mse", "seconds")) if row["val_mse"]
        ]
        best = min(epochs, key=lambda row: float(row["val_mse"]))
        minutes = sum(float(row["seconds"]) for row in epochs) / 60
        error = f"{float(best['val_mse']):.4g}"
        rows.append([NAMES[method], epochs[-1]["epoch"], best["epoch"], error, f"{minutes:.1f}"])
    return markdown(rows[0], rows[1:])


def cnr_table(summary: dict[str, Any]) -> str:
    """Return the mean contrast-to-noise ratios."""
    names = {"LR": "input (nearest)", "DL": NAMES["model"], "HR": "reference", **NAMES}
    (table,) = summary["tables"]
    rows = []
    for image, mean, deviation, _ in table["rows"]:
        spread = "" if deviation is None else f" ± {deviation:.2f}"
        rows.append([names.get(image, image), "-" if mean is None else f"{mean:.2f}{spread}"])
    return markdown(["image", "CNR"], rows)


def steps_table(path: dict[str, Any], printed: dict[str, Any]) -> str:
    """Return quality and time against the number of reverse steps."""
    rows = [["model", "steps", "sampler", "MSE", "PSNR [dB]", "SSIM", "seconds a slice"]]
    rows.append(["input (nearest)", "", "", *_measures(path["input"]), ""])
    for model, found in (("path", path), ("noise_schedule", printed)):
        for row in found["rows"]:
            sampler = "with noise" if row["stochastic"] else "deterministic"
            values = [*_measures(row), f"{row['seconds']:.3g}"]
            rows.append([model, str(row["steps"]), sampler, *values])
    return markdown(rows[0], rows[1:])


def kinds_table(edges: dict[str, Any]) -> str:
    """Return what accumulates, by how the noise is drawn."""
    rows = [["noise", "preferred direction of edges", "common to all chains"]]
    for kind in edges["kinds"]:
        name = "rotated" if kind["rotated"] else "not rotated"
        name += ", centred" if kind["centred"] else ""
        size, error = kind["direction"]
        rows.append([name, f"{size:.3f} ± {error:.3f}", f"{kind['fixed_share']:.0%}"])
    return markdown(rows[0], rows[1:])


def _measures(row: dict[str, Any]) -> list[str]:
    """Return the measures of a row of the steps."""
    return [f"{row['mse']:.4g}", f"{row['psnr']:.2f}", f"{row['ssim']:.4f}"]
