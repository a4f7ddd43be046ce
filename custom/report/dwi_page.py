"""What the page of an evaluation on diffusion series shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from custom.report.page_parts import best_method, chosen_figures, page_title

__all__ = ["dwi_content"]

_NEITHER = ("coverage_1sd", "coverage_2sd")  # measures that should be right, not small


def dwi_content(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what the page shows.

    Args:
        folder: Output folder of an evaluation.
        summary: Content of its ``summary.json``.

    Raises:
        KeyError: If the summary is not that of such an evaluation.
    """
    tables = {"all scans": summary["overall"]} | {
        f"noise {level} of S0": values for level, values in summary["by_noise_level"].items()
    }
    compared = [name for name in summary["metrics"] if name not in _NEITHER]
    return {
        "title": page_title(summary),
        "summary": summary,
        "tables": tables,
        "neither": _NEITHER,
        "best": {
            (title, name): best_method(values, name)
            for title, values in tables.items()
            for name in compared
        },
        "figures": chosen_figures(folder),
    }
