"""The results page of ``motion_cdm``, filled from its trainings and evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.motion_methods import METHODS
from benchmarks.motion_targets import targets_table
from benchmarks.motion_trainings import TRAININGS, minutes_at
from benchmarks.publishing import markdown, number, show
from benchmarks.summary_tables import (
    Summary,
    about_data,
    gain_table,
    group_table,
    quality_table,
)
from custom.evaluation.drawing import COLOURS, SOFT, empty_figure, plain_axes
from custom.evaluation.summary import spread
from custom.report.training_curves import Curves

TEMPLATE = Path(__file__).with_name("publish_motion.md")
NAMES = {
    "default": "ours",
    "regression": "regression",
    "cdm_published": "published CDM",
    "resshift": "ResShift",
    "gan": "GAN",
}
Rows = Sequence[Mapping[str, Any]]
Evaluated = Mapping[str, tuple[Summary, Rows]]
Pictures = Sequence[tuple[str, str]]


def page(
    found: Evaluated,
    trainings: Mapping[str, tuple[Curves, Mapping[str, Any]]],
    pictures: Mapping[str, Pictures],
    acquired: str,
) -> str:
    """Return the page.

    Args:
        found: Name of an evaluation to the summary of its slices that moved, and the other rows.
        trainings: Name of a training that has ended to its curves and its plan.
        pictures: ``curves``, ``steps`` and ``slices`` to file name and caption of each picture.
        acquired: The section on real motion; empty where it was not measured.
    """
    summary, still = found["all"]
    missing = [NAMES[name] for name in TRAININGS if name not in trainings]
    return TEMPLATE.read_text(encoding="utf-8").format(
        data=_told(summary),
        weights=summary["checkpoint"]["sha256"][:12],
        targets=targets_table({name: of for name, (of, _) in found.items()}, still),
        minutes=_minutes(trainings),
        missing=f"Not trained yet: {', '.join(missing)}." if missing else "",
        trainings=trainings_table(trainings),
        caught_up=caught_up({name: curves for name, (curves, _) in trainings.items()}),
        curves=show(pictures["curves"]),
        about_all=about_data(summary),
        quality_all=quality_table(summary),
        gains_all=gain_table(summary),
        severity_psnr=group_table(summary, "severity_class", "psnr", ""),
        severity_ssim=group_table(summary, "severity_class", "ssim", ""),
        kind_psnr=group_table(summary, "motion_kind", "psnr", ""),
        scan_psnr=group_table(summary, "scan", "psnr", ""),
        still=still_table(summary, still),
        calibration=calibration(summary),
        **{
            f"{part}_{name}": make(found[name][0]) if name in found else "Not evaluated yet."
            for name in ("sampled", "published")
            for part, make in (("about", about_data), ("quality", quality_table))
        },
        steps=show(pictures["steps"]),
        pictures=show(pictures["slices"]),
        acquired=acquired,
    )


def _told(summary: Summary) -> str:
    """Say what the volumes are."""
    return f"Volumes: {', '.join(summary['groups']['scan'])}."


def _minutes(trainings: Mapping[str, tuple[Curves, Mapping[str, Any]]]) -> str:
    """Return the range of the minutes of all trainings."""
    ends = [max(minutes_at(curves).values()) for curves, _ in trainings.values()]
    return f"{min(ends):.1f} to {max(ends):.1f} of training, reading the volumes included"


def caught_up(trainings: Mapping[str, Curves]) -> str:
    """Say whether the validation of the published model has reached ours."""
    if "cdm_published" not in trainings:
        return ""
    ours, theirs = (trainings[name]["val_psnr"] for name in ("default", "cdm_published"))
    if max(theirs.values()) < max(ours.values()):
        gap = max(ours.values()) - max(theirs.values())
        losses = trainings["cdm_published"]["train_loss"]
        return (
            f"The published CDM has not caught up: its best validation is {gap:.1f} dB below ours. "
            f"Its loss ends at {losses[max(losses)]:.4f}; 1 is that of a network that predicts no "
            "noise at all, whose samples leave every range."
        )
    minutes = minutes_at(trainings["cdm_published"])
    first = min(epoch for epoch, value in theirs.items() if value >= max(ours.values()))
    return f"The published CDM reaches our best validation after {minutes[first]:.0f} minutes."


def trainings_table(trainings: Mapping[str, tuple[Curves, Mapping[str, Any]]]) -> str:
    """Say how long was trained, and what the validation found."""
    rows = []
    for name, (curves, plan) in trainings.items():
        steps = plan["max_epochs"] * plan["steps_per_epoch"]
        minutes = max(minutes_at(curves).values())
        best = max(curves["val_psnr"].values())
        cpu = number(plan.get("cpu_minutes"), 3)
        rows.append([NAMES[name], steps, f"{minutes:.1f}", cpu, f"{best:.2f}"])
    head = ["training", "steps", "minutes", "CPU minutes with validation"]
    return markdown([*head, "best validation PSNR [dB]"], rows)


def still_table(summary: Summary, rows: Rows) -> str:
    """Say what every method does to slices that equal their reference."""
    if not rows:
        return "There were none."
    lines = []
    for method in summary["methods"]:
        values = [row["psnr"] for row in rows if row["method"] == method]
        found = spread(values)
        mean = "-" if found["mean"] is None else f"{found['mean']:.1f}"
        lowest = min(values)
        worst = "-" if lowest == float("inf") else f"{lowest:.1f}"
        same = found.get("infinite", 0)
        lines.append([summary["method_names"][method], len(values), same, mean, worst])
    head = ["method", "slices", "given back bit for bit", "PSNR of the others [dB]", "lowest [dB]"]
    return markdown(head, lines)


def calibration(summary: Summary) -> str:
    """Return the table of calibration, over all slices."""
    tables = [one for one in summary["tables"] if one["title"].startswith("Calibration")]
    if not tables:
        return "No deviation was evaluated."
    shown = ([number(cell, 3) for cell in row] for row in tables[0]["rows"])
    return f"{markdown(tables[0]['columns'], shown)}\n\n{tables[0]['caption']}"


def draw_minutes(trainings: Mapping[str, tuple[Curves, Mapping[str, Any]]]) -> Any:
    """Draw the validation of each training against its minutes; the better ones again, larger."""
    curves = {name: of for name, (of, _) in trainings.items()}
    best = max(max(of["val_psnr"].values()) for of in curves.values())
    near = [name for name, of in curves.items() if max(of["val_psnr"].values()) > best - 3]
    figure = empty_figure(8.4, 3.4)
    for place, names in enumerate((list(curves), near)):
        ax = figure.add_subplot(1, 2, place + 1)
        for (name, of), colour in zip(curves.items(), COLOURS, strict=False):
            if name in names:
                values, plan = of["val_psnr"], trainings[name][1]
                # Epochs have equally many steps; those of a busy machine last unequally.
                used = plan.get("cpu_minutes", max(minutes_at(of).values())) / plan["max_epochs"]
                line = ([used * epoch for epoch in values], list(values.values()))
                ax.plot(*line, color=colour, marker="o", markersize=3.5, label=NAMES[name])
        plain_axes(ax, "CPU minutes", "PSNR of the validation [dB]")
        ax.legend(fontsize=8, frameon=False)
    return figure


def draw_steps(found: Evaluated) -> Any:
    """Draw the PSNR against how often the network is called for a slice, a panel an evaluation."""
    shown = [name for name in ("sampled", "published") if name in found]
    figure = empty_figure(4.2 * len(shown), 3.6)
    for place, name in enumerate(shown):
        summary = found[name][0]
        ax = figure.add_subplot(1, len(shown), place + 1)
        curves: dict[str, dict[int, float]] = {}
        for method in summary["methods"]:
            psnr = summary["overall"][method]["psnr"]["mean"]
            if method == "input":
                ax.axhline(psnr, color=SOFT, linestyle="--", linewidth=1.0, label="corrupted")
            elif method in METHODS or method == "model":
                about = METHODS["shipped" if name == "sampled" else "default"]
                about = METHODS.get(method, about)
                kind = about.title.partition(" steps")[0].rstrip("0123456789").rstrip(", ")
                kind = f"{about.title}" if about.samples > 1 else kind
                curves.setdefault(kind, {})[about.calls] = psnr
        for (kind, curve), colour in zip(sorted(curves.items()), COLOURS, strict=False):
            calls = sorted(curve)
            line = [curve[n] for n in calls]
            ax.plot(calls, line, color=colour, marker="o", markersize=3.5, label=kind)
        ax.set_xscale("log")
        plain_axes(ax, "calls of the network a slice", "PSNR [dB]")
        ax.legend(fontsize=7, frameon=False)
    return figure
