"""The results page of ``dwi_vae``, filled from its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.publishing import markdown, number, pivot
from custom.evaluation.diagnostics_folder import read_diagnostics
from custom.evaluation.summary_file import summary_text
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
        gaussian: Folder of signal diagnostics with the paper's noise.
        rician: Folder of signal diagnostics with Rician noise.
        seeds: Rows of ``benchmarks.publish_dwi.seeds_table``.
        phantoms: Summary of the bundle's evaluation.
        clean: Mean squared change of signals without noise.
    """
    rows = read_table(gaussian / "by_noise.csv")
    scale = read_table(gaussian / "scale.csv")
    other = read_table(rician / "by_noise.csv")
    return TEMPLATE.read_text(encoding="utf-8").format(
        signals=rows[0]["signals"],
        limits=limits_table(read_table(gaussian / "limits.csv")),
        signal_ratio=pivot(rows, ["estimator"], "sigma", "signal_times_limit"),
        signal_excess=pivot(rows, ["estimator"], "sigma", "signal_excess"),
        tensor_ratio=pivot(rows, ["estimator"], "sigma", "tensor_times_limit"),
        fa=pivot(rows, ["estimator"], "sigma", "fa_mae"),
        mixture=mixture_table(read_table(gaussian / "mixture.csv")),
        seeds=seeds_rows(seeds),
        rician_ratio=pivot(other, ["estimator"], "sigma", "signal_times_limit"),
        rician_limits=limits_table(read_table(rician / "limits.csv")),
        scale=pivot(scale, ["estimator", "scale"], "sigma", "signal_mse"),
        calibration=calibration_table(read_table(gaussian / "calibration.csv")),
        latents=latents_table(read_table(gaussian / "latents.csv")),
        pictures=pictures(gaussian),
        phantoms=summary_text(phantoms),
        clean=number(clean, 2),
    )


def mixture_table(rows: Sequence[Row]) -> str:
    """Return the paper's two tables in one."""
    columns = ("signal_mse", "signal_times_limit", "tensor_mse", "tensor_mae")
    columns += ("tensor_times_limit", "tensor_factor")
    head = ["estimator", "signal MSE", "times the limit", "D MSE", "D MAE", "times the limit"]
    return markdown(
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
    return markdown(["network", "seeds", "epochs", "signal MSE", "D MSE", "D MAE"], lines)


def limits_table(rows: Sequence[Row]) -> str:
    """Return the limits and how well they are known."""
    return markdown(list(rows[0]), ([number(value) for value in row.values()] for row in rows))


def calibration_table(rows: Sequence[Row]) -> str:
    """Return how true the predicted deviations are."""
    columns = ("mean_squared_z", "within_1", "within_2", "correlation", "ratio")
    head = ["estimator", "of", "sigma", "mean squared z", "within 1", "within 2"]
    return markdown(
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
    return markdown(["network", "active", "KLD of each [nats]", "added MSE without it"], lines)


def pictures(folder: Path) -> str:
    """Return the figures with what is to be seen on them."""
    parts = []
    for row in read_diagnostics(folder.parent):
        name = Path(row["path"]).stem
        parts.append(
            f"### {row['title']}\n\n![{row['title']}](../images/dwi_{name}.jpg)\n\n{row['caption']}"
        )
    return "\n\n".join(parts)
