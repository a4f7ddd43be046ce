"""Publish what ``make demo`` made: weights, their record, and the pages that show the figures.

Copies the trained weights into the bundle, their hash and measures into ``metadata.json``, and
the table and pictures into the README, the model card and ``docs/results/demo.md``.

Run after ``make demo``: ``python -m benchmarks.publish_demo``
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.measure import REPOSITORY, RESULTS
from benchmarks.publishing import (
    check_evaluated,
    copy_weights,
    measures_of,
    put_between,
    record_measures,
    save_small,
)
from custom.evaluation.summary_file import summary_text

BUNDLE = REPOSITORY / "bundles" / "micro_mri_denoise"
EVALUATION = BUNDLE / "output" / "evaluate"
TRAINED = BUNDLE / "output" / "train" / "models" / "model.pt"
PICTURES = REPOSITORY / "docs" / "images"
PAGES = (REPOSITORY / "README.md", BUNDLE / "docs" / "README.md")
HEAD = """# Results on the demonstration set

Written by `python -m benchmarks.publish_demo` from the evaluation of `make demo`; do not edit.
Synthetic mouse-like anatomy, animals that training never saw: these figures show that the bundle
works, not how it does on a scanner's data (see [real data](real_data.md)).

"""


def page(summary: dict[str, Any], figures: dict[str, Path]) -> str:
    """Return the results page."""
    pictures = "\n\n".join(
        f"![{path.stem}](../images/demo_{plane}.jpg)" for plane, path in figures.items()
    )
    return HEAD + f"```\n{summary_text(summary)}\n```\n\n{pictures}\n"


def one_a_plane(figures: list[Path]) -> dict[str, Path]:
    """Return the first figure of each plane."""
    found = {
        plane: next((path for path in figures if f"{plane}_thorax-abdomen" in path.name), None)
        for plane in ("coronal", "sagittal", "axial")
    }
    return {plane: path for plane, path in found.items() if path is not None}


def main() -> None:
    """Publish weights, pages and pictures."""
    summary = json.loads((EVALUATION / "summary.json").read_text(encoding="utf-8"))
    check_evaluated(TRAINED, summary)
    copy_weights(BUNDLE, {"models/model.pt": TRAINED})
    record_measures(BUNDLE, measures_of(summary))
    figures = one_a_plane(sorted((EVALUATION / "figures").glob("*.png")))
    for plane, path in figures.items():
        save_small(path, PICTURES / f"demo_{plane}.jpg")
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "demo.md").write_text(page(summary, figures), encoding="utf-8")
    put_between("demo table", f"```\n{summary_text(summary)}\n```\n", *PAGES)
    print(RESULTS / "demo.md")


if __name__ == "__main__":
    main()
