"""The page of what becomes of real DICOM series, from figures that were saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.measure import RESULTS

PAGE = Path(__file__).with_name("publish_dicom.md")
STEPS = ("load", "select", "volume", "restore", "write")  # of the application


def write_page() -> None:
    """Write the page from the figures that were saved."""
    saved = json.loads((RESULTS / "dicom.json").read_text(encoding="utf-8"))
    pictures = "\n\n".join(
        f"![A slice as acquired and as {row['bundle']} restores it, and the middle of both]"
        f"(../images/dicom_{row['bundle']}.jpg)\n\n*{row['bundle']}.*"
        for row in saved["runs"]
        if "seconds" in row
    )
    page = PAGE.read_text(encoding="utf-8").format(
        read=read_table(saved["read"]),
        restored=saved["restored"],
        runs=run_table(saved["runs"]),
        overhead=overhead_table(saved["runs"]),
        pictures=pictures,
    )
    (RESULTS / "dicom.md").write_text(page, encoding="utf-8")
    print(RESULTS / "dicom.md")


def read_table(rows: list[dict[str, Any]]) -> str:
    """Return what reading each folder gave, and below it why it is no diffusion series."""
    lines = ["| folder | as a volume | as a diffusion series |", "|---|---|---|"]
    reasons: dict[str, str] = {}
    for row in rows:
        found = row["diffusion"]
        cell = f"`{found['refused']}`" if "refused" in found else told(found)
        if "refused" in found:
            reasons.setdefault(found["refused"], found["line"])
        lines.append(f"| `{row['folder']}` | {told(row['volume'])} | {cell} |")
    return "\n".join([*lines, "", *(f"- `{slug}`: {line}" for slug, line in reasons.items())])


def told(found: dict[str, Any]) -> str:
    """Return a cell of the table."""
    if "refused" in found:
        return f"refused (`{found['refused']}`): {found['line']}"
    shape = " x ".join(map(str, found["shape"]))
    spacing = " x ".join(f"{size:g}" for size in found["spacing_mm"])
    bvals = ", ".join(f"{count} of b = {b}" for b, count in found.get("bvals", {}).items())
    return f"{shape}, {spacing} mm" + f"; {bvals}" * bool(bvals)


def run_table(rows: list[dict[str, Any]]) -> str:
    """Return what each bundle did with the series."""
    lines = [
        "| bundle | by default | with `--outside_range warn` | new errors by dciodvfy | "
        "dcm2niix: corners off by | values off by |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        checked = row.get("checks", {})
        new = len(checked["new_errors"]) if "new_errors" in checked else ""
        corner, value = checked.get("corner_mm"), checked.get("value")
        lines.append(
            f"| `{row['bundle']}` | {outcome(row.get('refuse'))} | {outcome(row.get('warn'))} | "
            f"{new} | {'' if corner is None else f'{corner:.1g} mm'} | "
            f"{'' if value is None else f'{value:.1g} of the largest'} |"
        )
    return "\n".join(lines)


def outcome(found: str | dict[str, int] | None) -> str:
    """Return what became of a run."""
    if found is None:
        return "as by default"
    if isinstance(found, str):
        return f"refused: {found}"
    return ", ".join(f"{name}: {count} images" for name, count in found.items())


def overhead_table(rows: list[dict[str, Any]]) -> str:
    """Return the seconds of the application's steps, and of plain inference."""
    heads = ["bundle", *STEPS, "whole application", "plain inference", "ratio"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in rows:
        if "seconds" in row:
            seconds = row["seconds"]
            cells = [f"{seconds[name]:.2f}" for name in (*STEPS, "application", "plain")]
            ratio = seconds["application"] / seconds["plain"]
            lines.append(f"| `{row['bundle']}` | {' | '.join(cells)} | {ratio:.2f} |")
    return "\n".join(lines)
