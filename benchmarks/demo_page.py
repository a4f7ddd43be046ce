"""Put what ``make demo`` measured into the README and ``docs/results/demo.md``.

Run after ``make demo``: ``python -m benchmarks.demo_page``
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from benchmarks.measure import REPOSITORY, RESULTS
from custom.report.summary import summary_table

EVALUATION = REPOSITORY / "bundles" / "micro_mri_denoise" / "output" / "evaluate"
PICTURE = REPOSITORY / "docs" / "images" / "demo.png"
MARKERS = re.compile(r"(<!-- demo table[^>]*-->\n).*?(<!-- end of demo table -->)", re.DOTALL)

HEAD = """# Results on the demonstration set

Written by `python -m benchmarks.demo_page` from the evaluation of `make demo`; do not edit.
Synthetic mouse-like anatomy, animals that training never saw: these figures show that the bundle
works, not how it does on a scanner's data (see [real data](real_data.md)).

"""


def page(summary: dict[str, object], figures: list[Path]) -> str:
    """Return the results page."""
    pictures = "\n\n".join(f"![{path.stem}](../images/demo_{path.name})" for path in figures)
    return HEAD + f"```\n{summary_table(summary)}\n```\n\n{pictures}\n"


def one_a_plane(figures: list[Path]) -> list[Path]:
    """Return the first figure of each plane."""
    found = {
        plane: next((path for path in figures if plane in path.name), None)
        for plane in ("sagittal", "axial", "coronal")
    }
    return [path for path in found.values() if path is not None]


def main() -> None:
    """Write the pages and copy the pictures."""
    summary = json.loads((EVALUATION / "summary.json").read_text(encoding="utf-8"))
    figures = one_a_plane(sorted((EVALUATION / "figures").glob("*.png")))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    for path in figures:
        shutil.copyfile(path, PICTURE.with_name(f"demo_{path.name}"))
    shutil.copyfile(figures[0], PICTURE)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "demo.md").write_text(page(summary, figures), encoding="utf-8")
    readme = REPOSITORY / "README.md"
    table = f"```\n{summary_table(summary)}\n```\n"
    text = MARKERS.sub(lambda found: found[1] + table + found[2], readme.read_text("utf-8"))
    readme.write_text(text, encoding="utf-8")
    print(RESULTS / "demo.md")


if __name__ == "__main__":
    main()
