"""Run every benchmark and write ``docs/results/benchmarks.md`` from what they print.

Run: ``python -m benchmarks``
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import data_wait, import_time, restoration, slice_reading, training_step
from benchmarks.measure import RESULTS

PAGE = Path(__file__).with_name("page.md")


def main() -> None:
    """Run, then write the page."""
    for benchmark in (slice_reading, import_time, restoration, data_wait, training_step):
        print(f"{benchmark.__name__} ...", flush=True)
        benchmark.run()
    write_page()


def write_page() -> None:
    """Write the page from the figures that were saved."""
    names = ("slice_reading", "import_time", "restoration", "data_wait", "training_step")
    saved = {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in names}
    record = ", ".join(
        f"{key} {value}" for key, value in saved["restoration"]["environment"].items()
    )
    table = restoration.table(saved["restoration"])
    page = PAGE.read_text(encoding="utf-8").format(
        environment=record, restoration_table=table, **saved
    )
    (RESULTS / "benchmarks.md").write_text(page, encoding="utf-8")
    print(RESULTS / "benchmarks.md")


if __name__ == "__main__":
    main()
