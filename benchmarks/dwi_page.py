"""The page of the study of diffusion signals, filled from its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from custom.evaluation.diagnostics_folder import read_diagnostics
from custom.evaluation.dwi_summary import dwi_table
from custom.files.csv_table import read_table

TEMPLATE = Path(__file__).with_name("publish_dwi.md")
Row = Mapping[str, str]


def page(
    gaussian: Path,
    rician: Path,
    seeds: Sequence[Mapping[str, Any]],
    phantoms: Mapping[str, Any],
    clean: float,
) -> str:
    """Return the page.

    Args:
        gaussian: Folder of a study with the study's noise.
        rician: Folder of a study with Rician noise.
        seeds: Rows of ``benchmarks.publish_dwi.seeds_table``.
        phantoms: Summary of the bundle's evaluation.
        clean: Mean squared change of signals without noise.
    """
    rows = read_table(gaussian / "by_noise.csv")
    other = read_table(rician / "by_noise.csv")
    return TEMPLATE.read_text(encoding="utf-8").format(
        signals=rows[0]["signals"],
        limits=limits_table(read_table(gaussian / "limits.csv")),
        signal_ratio=by_noise(rows, "signal_times_limit"),
        signal_excess=by_noise(rows, "signal_excess"),
        tensor_ratio=by_noise(rows, "tensor_times_limit"),
        fa=by_noise(rows, "fa_mae"),
        mixture=mixture_table(read_table(gaussian / "mixture.csv")),
        seeds=seeds_rows(seeds),
        rician_ratio=by_noise(other, "signal_times_limit"),
        rician_limits=limits_table(read_table(rician / "limits.csv")),
        scale=scale_table(read_table(gaussian / "scale.csv")),
        calibration=calibration_table(read_table(gaussian / "calibration.csv")),
        latents=latents_table(read_table(gaussian / "latents.csv")),
        pictures=pictures(gaussian),
        phantoms=dwi_table(phantoms),
        clean=number(clean, 2),
    )


def by_noise(rows: Sequence[Row], column: str) -> str:
    """Return a table of one measure: a line an estimator, a column a noise level."""
    sigmas = list(dict.fromkeys(row["sigma"] for row in rows))
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.get(column):
            found.setdefault(row["estimator"], {})[row["sigma"]] = number(row[column])
    head = ["estimator", *(f"sigma {float(sigma):g}" for sigma in sigmas)]
    return table(head, ([name, *(of.get(s, "") for s in sigmas)] for name, of in found.items()))


def mixture_table(rows: Sequence[Row]) -> str:
    """Return the study's two tables in one."""
    columns = ("signal_mse", "signal_times_limit", "tensor_mse", "tensor_mae")
    columns += ("tensor_times_limit", "tensor_factor")
    head = ["estimator", "signal MSE", "times the limit", "D MSE", "D MAE", "times the limit"]
    return table(
        [*head, "noisy D MSE over it"],
        ([row["estimator"], *(number(row[name]) for name in columns)] for row in rows),
    )


def seeds_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return mean and deviation over seeds."""
    lines = []
    for row in rows:
        cells = [row["title"], str(row["seeds"]), str(row["epochs"])]
        for name in ("signal_mse", "tensor_mse", "tensor_mae"):
            spread = row[f"{name}_std"]
            cells.append(number(row[name]) + ("" if spread is None else f" ± {spread:.1g}"))
        lines.append(cells)
    return table(["network", "seeds", "epochs", "signal MSE", "D MSE", "D MAE"], lines)


def limits_table(rows: Sequence[Row]) -> str:
    """Return the limits and how well they are known."""
    return table(list(rows[0]), ([number(value) for value in row.values()] for row in rows))


def scale_table(rows: Sequence[Row]) -> str:
    """Return what an estimated scale costs, a column a noise level."""
    sigmas = list(dict.fromkeys(row["sigma"] for row in rows))
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        key = row["estimator"], row["scale"]
        found.setdefault(key, {})[row["sigma"]] = number(row["signal_mse"])
    head = ["estimator", "S0", *(f"sigma {float(sigma):g}" for sigma in sigmas)]
    return table(head, ([*key, *(of.get(s, "") for s in sigmas)] for key, of in found.items()))


def calibration_table(rows: Sequence[Row]) -> str:
    """Return how true the predicted deviations are."""
    columns = ("mean_squared_z", "within_1", "within_2", "correlation", "ratio")
    head = ["estimator", "of", "sigma", "mean squared z", "within 1", "within 2"]
    return table(
        [*head, "correlation with the posterior's", "ratio to it"],
        (
            [row["estimator"], row["quantity"], number(row["sigma"])]
            + [number(row[name]) for name in columns]
            for row in rows
        ),
    )


def latents_table(rows: Sequence[Row]) -> str:
    """Return how many latents are in use, and what each tells and adds, of each network."""
    networks: dict[str, list[Row]] = {}
    for row in rows:
        networks.setdefault(row["network"], []).append(row)
    lines = []
    for name, of in networks.items():
        active = sum(row["active"] in ("True", "1") for row in of)
        told = ", ".join(number(row["kl_nats"], 2) for row in of)
        added = ", ".join(number(row["contribution"], 2) for row in of)
        lines.append([name, f"{active} of {len(of)}", told, added])
    return table(["network", "active", "KLD of each [nats]", "added MSE without it"], lines)


def pictures(folder: Path) -> str:
    """Return the figures with what is to be seen on them."""
    parts = []
    for row in read_diagnostics(folder.parent):
        name = Path(row["path"]).stem
        parts.append(
            f"### {row['title']}\n\n![{row['title']}](../images/dwi_{name}.jpg)\n\n{row['caption']}"
        )
    return "\n\n".join(parts)


def table(head: Sequence[str], rows: Any) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def number(value: Any, digits: int = 4) -> str:
    """Return a number with a few digits; words and empty cells as they are."""
    try:
        return f"{float(value):.{digits}g}"
    except (TypeError, ValueError):
        return str(value or "")
