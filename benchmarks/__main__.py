"""Run every benchmark and write ``docs/results/benchmarks.md`` from what they print.

Run: ``python -m benchmarks``
"""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import (
    data_wait,
    dwi_restoration,
    gan_generator,
    gan_step,
    import_time,
    motion_restoration,
    motion_simulation,
    restoration,
    signal_training,
    slice_reading,
    training_step,
)
from benchmarks.measure import RESULTS

BENCHMARKS = (
    slice_reading,
    import_time,
    restoration,
    data_wait,
    training_step,
    signal_training,
    dwi_restoration,
    gan_step,
    gan_generator,
    motion_restoration,
    motion_simulation,
)
PAGE = Path(__file__).with_name("page.md")


def main() -> None:
    """Run, then write the page."""
    for benchmark in BENCHMARKS:
        print(f"{benchmark.__name__} ...", flush=True)
        benchmark.run()
    write_page()


def write_page() -> None:
    """Write the page from the figures that were saved."""
    names = [benchmark.__name__.rpartition(".")[2] for benchmark in BENCHMARKS]
    saved = {name: json.loads((RESULTS / f"{name}.json").read_text()) for name in names}
    record = ", ".join(
        f"{key} {value}" for key, value in saved["restoration"]["environment"].items()
    )
    tables = {
        "restoration_table": restoration.table(saved["restoration"]),
        "dwi_restoration_table": dwi_restoration.table(saved["dwi_restoration"]),
        "gan_small": gan_generator.table(saved["gan_generator"]["small"]),
        "correction_table": motion_restoration.table(saved["motion_restoration"]),
        "motion_table": motion_simulation.table(saved["motion_simulation"]),
        "gan_published": gan_generator.table(saved["gan_generator"]["published"]),
    }
    page = PAGE.read_text(encoding="utf-8").format(environment=record, **tables, **saved)
    (RESULTS / "benchmarks.md").write_text(page, encoding="utf-8")
    print(RESULTS / "benchmarks.md")


if __name__ == "__main__":
    main()
