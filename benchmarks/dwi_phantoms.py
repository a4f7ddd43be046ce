"""Denoising of diffusion series of known truth, with the noise that scanners have.

A head of tensors with crossing bundles of fibres (``benchmarks.dwi_phantom_series``), Rician
noise, white or correlated between neighbours, and volumes that are shifted by parts of a voxel. The
network is trained for its measurements, as for a scan, unless ``--work`` holds its weights.

Run: ``python -m benchmarks.dwi_phantoms --work FOLDER``
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from benchmarks.dwi_methods import METHOD_TITLES, epochs_of, others, restore, train
from benchmarks.dwi_phantom_series import (
    CORRELATION,
    SHIFT,
    VOXEL_MM,
    Condition,
    PhantomSeries,
    make_clean,
    measure,
)
from benchmarks.measure import RESULTS
from benchmarks.publishing import aim, markdown
from benchmarks.real_dwi_measures import Array, scalar_maps
from custom.physics.diffusion.gradient_table import GradientTable, published_scheme

CONDITIONS = (
    Condition(0.03),
    Condition(0.07),
    Condition(0.15),
    Condition(0.03, correlated=True),
    Condition(0.07, correlated=True),
    Condition(0.15, correlated=True),
    Condition(0.07, correlated=True, moved=True),
)
MOST_ERROR, MOST_BIAS, MOST_TIME = 0.6, 0.01, 3.0  # the aims
RATIO, COVERAGE, OFF = (0.9, 1.15), 0.683, 0.03  # of deviations that may be called uncertainty
Row = Mapping[str, Any]


def compare(
    series: PhantomSeries, table: GradientTable, weights: Path, work: Path
) -> dict[str, dict[str, float]]:
    """Restore a series with every method, and measure each."""
    file = work / "series.nii.gz"
    nib.save(nib.Nifti1Image(series.noisy, np.diag([VOXEL_MM] * 3 + [1.0])), file)
    table.write_beside(file)
    rows = {"noisy": figures(series, series.noisy, table)}
    for name, neighbours in {"ours": True, "ours_alone": False}.items():
        made, seconds = restore(file, weights, work / "restored", neighbours)
        rows[name] = figures(series, made["restored"], table) | {"seconds": seconds}
        # What no mask holds is not restored, and has no deviation.
        seen = series.regions["head"] & (made["mask"] > 0)
        rows[name] |= calibration(made["restored"], series.clean, made["spread"], seen)
    found, seconds = others(series.noisy, table, made["mask"] > 0)
    for name, values in found.items():
        rows[name] = figures(series, values, table) | {"seconds": seconds[name]}
    return rows


def figures(series: PhantomSeries, values: Array, table: GradientTable) -> dict[str, float]:
    """Return errors over those of the noisy series, and how far the anisotropy is off."""
    found = {}
    for name, inside in series.regions.items():
        errors = [
            np.square((image - series.clean)[inside]).mean() for image in (values, series.noisy)
        ]
        found[name] = float(errors[0] / errors[1])
    for name in ("fibres", "crossing"):
        inside = series.regions[name]
        fa, truth = (scalar_maps(image, table, inside)["fa"] for image in (values, series.clean))
        found[f"fa_bias_{name}"] = float((fa - truth).mean())
    return found


def calibration(
    values: Array, clean: Array, spread: Array, inside: NDArray[np.bool_]
) -> dict[str, float]:
    """Return the deviations of a model over its errors, and the share of errors within one."""
    error, deviation = np.abs(values - clean)[inside], spread[inside]
    ratio = np.sqrt(np.square(deviation, dtype=float).mean() / np.square(error, dtype=float).mean())
    return {"spread_over_error": float(ratio), "within_one": float((error <= deviation).mean())}


def page(content: Mapping[str, Any]) -> str:
    """Return the page of the results."""
    conditions = content["conditions"]
    template = Path(__file__).with_suffix(".md").read_text(encoding="utf-8")
    return template.format(
        epochs=content["epochs"],
        correlation=", ".join(f"{value:g}" for value in CORRELATION),
        shift=SHIFT,
        head=_table(conditions, "head"),
        crossing=_table(conditions, "crossing"),
        fibres=_table(conditions, "fibres"),
        fa=_table(conditions, "fa_bias_fibres", "{:+.3f}"),
        fa_crossing=_table(conditions, "fa_bias_crossing", "{:+.3f}"),
        seconds=_table(conditions, "seconds", "{:.1f}"),
        spread=_spread_table(conditions),
        aims="\n".join(f"- {line}" for line in aims(conditions)),
    )


def aims(conditions: Mapping[str, Mapping[str, Row]]) -> list[str]:
    """Return which aims are met, and where not."""
    rows = conditions.items()
    error = {
        title: row["ours"]["head"] / min(row["mppca"]["head"], row["localpca"]["head"])
        for title, row in rows
    }
    rivals = [name for name in METHOD_TITLES if not name.startswith(("ours", "noisy"))]
    best = {
        title: row["ours"]["head"] / min(row[name]["head"] for name in rivals)
        for title, row in rows
    }
    bias = {title: abs(row["ours"]["fa_bias_fibres"]) for title, row in rows}
    alone = {title: abs(row["ours_alone"]["fa_bias_fibres"]) for title, row in rows}
    crossing = {title: row["ours"]["crossing"] / row["wls"]["crossing"] for title, row in rows}
    slower = {title: row["ours"]["seconds"] / row["ours_alone"]["seconds"] for title, row in rows}
    off = {name: {title: _off(row[name]) for title, row in rows} for name in ("ours", "ours_alone")}
    limits = (
        ("error in the head over the better of MP-PCA and local PCA", error, MOST_ERROR),
        ("error in the head over the best of all other methods", best, 1.0),
        ("bias of the fibres' anisotropy", bias, MOST_BIAS),
        ("the same, voxel by voxel", alone, MOST_BIAS),
        ("error at the crossing over a WLS fit", crossing, 1.0),
        ("process time over that without neighbours", slower, MOST_TIME),
        ("predicted deviations, off by so many times what calibration allows", off["ours"], 1.0),
        ("the same, voxel by voxel", off["ours_alone"], 1.0),
    )
    return [aim(*limit) for limit in limits]


def _off(row: Row) -> float:
    """Return how far deviations are off, in units of what may be called calibrated."""
    middle, half = sum(RATIO) / 2, (RATIO[1] - RATIO[0]) / 2
    ratio = abs(row["spread_over_error"] - middle) / half
    return max(ratio, abs(row["within_one"] - COVERAGE) / OFF)


def _table(conditions: Mapping[str, Mapping[str, Row]], column: str, form: str = "{:.3f}") -> str:
    """Return one measure of every method under every condition."""
    rows = list(conditions.values())
    names = [name for name in METHOD_TITLES if column in rows[0].get(name, {})]
    lines = [[METHOD_TITLES[n], *(form.format(row[n][column]) for row in rows)] for n in names]
    return markdown(["method", *conditions], lines)


def _spread_table(conditions: Mapping[str, Mapping[str, Row]]) -> str:
    """Return how true the predicted deviations are."""
    lines: list[Sequence[str]] = []
    for name in ("ours", "ours_alone"):
        lines += [
            [
                f"{METHOD_TITLES[name]}: {title}",
                *(f"{row[name][key]:.3f}" for row in conditions.values()),
            ]
            for key, title in (("spread_over_error", "over error"), ("within_one", "within one"))
        ]
    return markdown(["", *conditions], lines)


def main() -> None:
    """Measure every condition and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--max_epochs", type=int, help="of our training; default: as own_scan.yaml")
    given = parser.parse_args()
    work, table = given.work.resolve(), published_scheme()
    work.mkdir(parents=True, exist_ok=True)
    table.write_beside(work / "series.nii.gz")
    weights = train(work / "series.nii.gz", work / "model", given.max_epochs)
    truth = make_clean(table)
    content = {
        "epochs": epochs_of(work / "model"),
        "conditions": {
            condition.title: compare(measure(*truth, condition), table, weights, work)
            for condition in CONDITIONS
        },
    }
    text = json.dumps(content, indent=2) + "\n"
    (RESULTS / "dwi_phantoms.json").write_text(text, encoding="utf-8")
    (RESULTS / "dwi_phantoms.md").write_text(page(content), encoding="utf-8")
    print(RESULTS / "dwi_phantoms.md")


if __name__ == "__main__":
    main()
