"""Publish what ``make demo`` made: weights, their record, and the pages that show the figures.

Copies the trained weights into the bundle, their hash and measures into ``metadata.json``, and
the table and pictures into the README, the model card and ``docs/results/demo.md``.

Run after ``make demo``: ``python -m benchmarks.publish_demo``
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.measure import REPOSITORY, RESULTS
from custom.evaluation.slice_summary import summary_table
from custom.files.atomic import sha256_of

BUNDLE = REPOSITORY / "bundles" / "micro_mri_denoise"
EVALUATION = BUNDLE / "output" / "evaluate"
TRAINED = BUNDLE / "output" / "train" / "models" / "model.pt"
PICTURES = REPOSITORY / "docs" / "images"
PAGES = (REPOSITORY / "README.md", BUNDLE / "docs" / "README.md")
MARKERS = re.compile(r"(<!-- demo table[^>]*-->\n).*?(<!-- end of demo table -->)", re.DOTALL)
HEAD = """# Results on the demonstration set

Written by `python -m benchmarks.publish_demo` from the evaluation of `make demo`; do not edit.
Synthetic mouse-like anatomy, animals that training never saw: these figures show that the bundle
works, not how it does on a scanner's data (see [real data](real_data.md)).

"""


def publish_weights(summary: dict[str, Any]) -> None:
    """Put the evaluated weights into the bundle, and what they are into its metadata."""
    if sha256_of(TRAINED) != summary["checkpoint"]["sha256"]:
        raise SystemExit(f"{EVALUATION} was not made with {TRAINED}: run make demo again")
    shipped = BUNDLE / "models" / "model.pt"
    shutil.copyfile(TRAINED, shipped)
    file = BUNDLE / "configs" / "metadata.json"
    metadata = json.loads(file.read_text(encoding="utf-8"))
    metadata["weights"]["sha256"] = sha256_of(shipped)
    metadata["eval_metrics"] = {
        name: float(f"{value['mean']:.4g}") for name, value in summary["overall"]["model"].items()
    }
    file.write_text(json.dumps(metadata, indent=4) + "\n", encoding="utf-8")


def page(summary: dict[str, Any], figures: dict[str, Path]) -> str:
    """Return the results page."""
    pictures = "\n\n".join(
        f"![{path.stem}](../images/demo_{plane}.jpg)" for plane, path in figures.items()
    )
    return HEAD + f"```\n{summary_table(summary)}\n```\n\n{pictures}\n"


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
    publish_weights(summary)
    figures = one_a_plane(sorted((EVALUATION / "figures").glob("*.png")))
    PICTURES.mkdir(parents=True, exist_ok=True)
    for plane, path in figures.items():
        with Image.open(path) as picture:
            # JPEG: a quarter of the size; fewer colours in PNG make bands that look like anatomy.
            picture.convert("RGB").save(PICTURES / f"demo_{plane}.jpg", quality=90)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "demo.md").write_text(page(summary, figures), encoding="utf-8")
    table = f"```\n{summary_table(summary)}\n```\n"
    for file in PAGES:
        text = MARKERS.sub(lambda found: found[1] + table + found[2], file.read_text("utf-8"))
        file.write_text(text, encoding="utf-8")
    print(RESULTS / "demo.md")


if __name__ == "__main__":
    main()
