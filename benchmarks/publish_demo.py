"""Publish what ``make demo`` made: weights, their record, and the pages that show the figures.

Copies the trained weights into the bundle, their hash and measures into ``metadata.json``, and
the table and pictures into the README, the model card and ``docs/results/demo.md``.

Run after ``make demo``, or after ``mri-bundles evaluate micro_mri_denoise``, which measures the
weights that the bundle has: ``python -m benchmarks.publish_demo``
"""

from __future__ import annotations

from benchmarks.measure import REPOSITORY, RESULTS
from benchmarks.publishing import (
    check_evaluated,
    copy_weights,
    measures_of,
    publish_figures,
    put_between,
    read_summary,
    record_measures,
    show,
)
from custom.evaluation.summary_file import summary_text
from custom.files.atomic import sha256_of

BUNDLE = REPOSITORY / "bundles" / "micro_mri_denoise"
EVALUATION = BUNDLE / "output" / "evaluate"
TRAINED = BUNDLE / "output" / "train" / "models" / "model.pt"
SHIPPED = "models/model.pt"
PICTURES = REPOSITORY / "docs" / "images"
PAGES = (REPOSITORY / "README.md", BUNDLE / "docs" / "README.md")
HEAD = """# Results on the demonstration set

Written by `python -m benchmarks.publish_demo` from the evaluation of `make demo`; do not edit.
Synthetic mouse-like anatomy, animals that training never saw: these figures show that the bundle
works, not how it does on a scanner's data (see [real data](real_data.md)).

"""


def main() -> None:
    """Publish weights, pages and pictures."""
    summary = read_summary(EVALUATION)
    if summary["checkpoint"]["sha256"] != sha256_of(BUNDLE / SHIPPED):
        check_evaluated(TRAINED, summary)
        copy_weights(BUNDLE, {SHIPPED: TRAINED})
    record_measures(BUNDLE, measures_of(summary))
    pictures = publish_figures(EVALUATION, PICTURES, "demo", first_of="plane")
    table = f"```\n{summary_text(summary)}\n```\n"
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "demo.md").write_text(f"{HEAD}{table}\n{show(pictures)}\n", encoding="utf-8")
    put_between("demo table", table, *PAGES)
    print(RESULTS / "demo.md")


if __name__ == "__main__":
    main()
