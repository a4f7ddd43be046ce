"""What the page of an evaluation on volumes shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from custom.report.page_parts import best_method, best_of, chosen_figures, page_title

__all__ = ["volume_content"]


def volume_content(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Gather what the page shows.

    Args:
        folder: Output folder of an evaluation.
        summary: Content of its ``summary.json``.

    Raises:
        KeyError: If the summary is not that of such an evaluation.
    """
    return {
        "title": page_title(summary),
        "summary": summary,
        "best": {
            (level, name): best_method(values, name)
            for level, values in summary["by_noise_level"].items()
            for name in summary["metrics"]
        },
        "best_of_scan": {
            scan: best_of({method: row["psnr"] for method, row in values.items()}, "psnr")
            for scan, values in summary["by_scan"].items()
        },
        "figures": chosen_figures(folder),
    }
