"""The targets of motion correction, and whether the evaluations hold them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.measure import RESULTS
from benchmarks.publishing import markdown
from benchmarks.summary_tables import Summary

Rows = Sequence[Mapping[str, Any]]
Target = tuple[str, str, bool | None]
"""What was asked, what was measured, whether that holds; None where it was not measured."""


def targets_table(found: Mapping[str, Summary], still: Rows) -> str:
    """Return every target with what was measured.

    Args:
        found: Name of an evaluation to the summary of its slices that moved.
        still: Rows of the slices that did not.
    """
    targets = [
        *one_step(found["all"]),
        still_slices(still),
        *calibrated(found["all"]),
        *compared(found),
        simulation(),
    ]
    words = {True: "held", False: "**missed**", None: "not measured"}
    return markdown(
        ["target", "measured", ""], ([asked, said, words[ok]] for asked, said, ok in targets)
    )


def one_step(summary: Summary) -> list[Target]:
    """Return the targets of one step of the shipped weights."""
    gains = summary["model_against"]["input"]
    classes = {
        name: values["model"]["psnr"]["mean"] - values["input"]["psnr"]["mean"]
        for name, values in summary["groups"]["severity_class"].items()
    }
    share = gains["psnr"]["better"] / gains["psnr"]["of"]
    psnr, ssim = gains["psnr"]["mean"], gains["ssim"]["mean"]
    told = ", ".join(f"{name} {gain:+.2f}" for name, gain in classes.items())
    name = "shipped weights, one step"
    return [
        (f"{name}: PSNR at least + 0.9 dB over the corrupted", f"{psnr:+.2f} dB", psnr >= 0.9),
        (f"{name}: + 1.4 dB with label maps (extrapolated)", f"{psnr:+.2f} dB", psnr >= 1.4),
        (f"{name}: SSIM at least + 0.12", f"{ssim:+.3f}", ssim >= 0.12),
        ("no class of severity worse", f"{told} dB", min(classes.values()) >= 0),
        ("at least 90 % of the slices better", f"{share:.0%}", share >= 0.9),
    ]


def still_slices(rows: Rows) -> Target:
    """Return the target of slices that did not move."""
    asked = "slices that did not move at 45 dB or better"
    values = [row["psnr"] for row in rows if row["method"] == "model"]
    if not values:
        return asked, "none", None
    lower = [value for value in values if value < 45]
    same = sum(value == float("inf") for value in values)
    said = f"of {len(values)} slices {same} bit for bit, {len(lower)} below"
    said += f", lowest {min(values):.1f} dB" if same < len(values) else ""
    return asked, said, not lower


def calibrated(summary: Summary) -> list[Target]:
    """Return the targets of the deviation."""
    rows = [one["rows"][0] for one in summary["tables"] if one["title"].startswith("Calibration")]
    asked = (
        ("deviation: spread over error 0.9 to 1.15", 2, 0.9, 1.15),
        ("deviation: 92 to 97 % of the errors within two", 4, 0.92, 0.97),
        ("deviation: rank correlation over slices at least 0.6", 5, 0.6, 1.0),
    )
    if not rows or rows[0][5] is None:
        return [(text, "", None) for text, *_ in asked]
    cells = rows[0]
    return [
        (text, f"{cells[place]:.3f}", low <= cells[place] <= high)
        for text, place, low, high in asked
    ]


def compared(found: Mapping[str, Summary]) -> list[Target]:
    """Return the targets that compare methods."""
    few, published = (found.get(name, {}).get("overall", {}) for name in ("sampled", "published"))
    all_slices = found["all"]["overall"]
    cdm = max(
        (of for name, of in published.items() if name.startswith("cdm_")),
        key=lambda of: of["psnr"]["mean"],
        default=None,
    )
    best = {**published, **({"cdm": cdm} if cdm else {})}
    mean = "mean of 8 samples within 0.6 dB of one step"
    return [
        _ahead(
            "ours within 0.1 dB of the regression of equal time, or above",
            -0.1,
            (all_slices, "default", "regression"),
        ),
        _ahead(f"{mean} (equal minutes)", -0.6, (few, "default_4x8", "default")),
        _ahead(f"{mean} (shipped weights)", -0.6, (few, "shipped_4x8", "model")),
        _ahead(
            "at equal minutes 15 dB above the published model, at its best number of steps",
            15.0,
            (best, "model", "cdm"),
        ),
    ]


def _ahead(asked: str, least: float, pair: tuple[Mapping[str, Any], str, str]) -> Target:
    """Return the target of the difference of the PSNR of two methods."""
    overall, method, other = pair
    if method not in overall or other not in overall:
        return asked, "", None
    gain = overall[method]["psnr"]["mean"] - overall[other]["psnr"]["mean"]
    return asked, f"{gain:+.2f} dB", gain >= least


def simulation() -> Target:
    """Return the target of the simulation's time, from its benchmark."""
    saved = json.loads((RESULTS / "motion_simulation.json").read_text(encoding="utf-8"))
    taken = 1e3 * saved["slice_8"]["median"]
    asked = "simulation of a 2D slice at 8 poses in at most 15 ms"
    return asked, f"{taken:.1f} ms ([benchmarks](benchmarks.md))", taken <= 15
