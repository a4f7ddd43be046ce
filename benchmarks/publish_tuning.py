"""Run the demonstration search by its public command, and publish what it found.

Writes ``docs/results/tuning_demo.md`` and its pictures. The setting of ``train.yaml`` is trained
with the same epochs and slices, for comparison.

Run: ``python -m benchmarks.publish_tuning [--trials N] [--work FOLDER] [--docs FOLDER]``; other
flags go to the search, as ``--demo_size tiny`` for a quick look.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import REPOSITORY
from benchmarks.publishing import MOST_BYTES, markdown
from custom.files.csv_table import read_table
from custom.report.html_report import format_setting
from custom.tuning.space_file import load_space

BUNDLE = "micro_mri_denoise"
SPACE = REPOSITORY / "bundles" / BUNDLE / "configs" / "tune_demo.yaml"
WORK = REPOSITORY / "bundles" / BUNDLE / "output" / "publish_tuning"
PICTURES = {
    "history": "Value of each completed trial, and the best so far",
    "intermediate": "Value by epoch: pruned trials end early",
    "importances": "Importance of each parameter",
    "slice": "Value by parameter",
}
COMMAND = Path(sys.executable).with_name("mri-bundles")


def tune(trials: int, work: Path, overrides: list[str]) -> tuple[str, float]:
    """Run the search from its beginning; return the command and the minutes it took."""
    shutil.rmtree(work, ignore_errors=True)
    words = ["tune", BUNDLE, "--space", SPACE.stem, "--trials", str(trials), *overrides]
    begin = time.perf_counter()
    subprocess.run([COMMAND, *words, "--output", work], check=True)
    return " ".join(("mri-bundles", *words)), (time.perf_counter() - begin) / 60


def train_default(work: Path, overrides: list[str]) -> float:
    """Train what train.yaml has, with a trial's epochs and slices; return its best error."""
    space = load_space(SPACE)
    same = {f"--{name}": str(value) for name, value in space.content["during_search"].items()}
    same |= dict(zip(overrides[::2], overrides[1::2], strict=True))
    words = ["train", BUNDLE, "--output", str(work / "default"), "--use_mlflow", "False"]
    words += [word for pair in same.items() for word in pair]
    subprocess.run([COMMAND, *words], check=True)
    table = read_table(work / "default" / "metrics.csv", (space.metric,))
    return min(float(row[space.metric]) for row in table if row[space.metric])


def page(summary: dict[str, Any], rows: list[dict[str, str]], facts: dict[str, Any]) -> str:
    """Return the results page."""
    first, best = summary["first"], summary["best"]
    names = dict.fromkeys([*first["drawn"], *best["drawn"]])
    changed = [
        {"parameter": name, "first": first["drawn"].get(name), "best": best["drawn"].get(name)}
        for name in names
    ]
    states = ", ".join(f"{number} {state}" for state, number in summary["trials"].items())
    return (
        Path(__file__)
        .with_name("tuning_demo.md")
        .read_text(encoding="utf-8")
        .format(
            **facts,
            metric=summary["metric"],
            first=first,
            best=best,
            counts=f"{len(rows)} trials ({states})",
            cores=os.cpu_count(),
            threads=torch.get_num_threads(),
            epochs=max(int(row["epochs"]) for row in rows),
            changed=settings_table(changed),
            trials=settings_table(rows),
        )
    )


def settings_table(rows: list[dict[str, Any]]) -> str:
    """Return rows with the same keys as a table."""
    shown = (["" if v is None else format_setting(v) for v in row.values()] for row in rows)
    return markdown(list(rows[0]), shown)


def publish_pictures(plots: Path, target: Path) -> str:
    """Copy the pictures, none of them large; return what shows them in the page."""
    target.mkdir(parents=True, exist_ok=True)
    shown = []
    for name, text in PICTURES.items():
        file = plots / f"{name}.png"
        if not file.is_file():  # no importances with fewer than six completed trials
            continue
        if file.stat().st_size > MOST_BYTES:
            raise SystemExit(f"{file} has {file.stat().st_size} bytes, over {MOST_BYTES}")
        shutil.copyfile(file, target / f"tuning_{name}.png")
        shown.append(f"![{text}](../images/tuning_{name}.png)")
    return "\n\n".join(shown)


def main() -> None:
    """Search, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument(
        "--work", type=Path, default=WORK, help="folder of the search, emptied first"
    )
    parser.add_argument("--docs", type=Path, default=REPOSITORY / "docs")
    given, overrides = parser.parse_known_args()
    command, minutes = tune(given.trials, given.work, overrides)
    summary = json.loads((given.work / "search.json").read_text(encoding="utf-8"))
    if not summary["best"]["value"] < summary["first"]["value"]:
        raise SystemExit("the search found nothing better than its first completed trial")
    facts = {
        "command": command,
        "minutes": minutes,
        "default": train_default(given.work, overrides),
        "pictures": publish_pictures(given.work / "plots", given.docs / "images"),
    }
    rows = read_table(given.work / "trials.csv")
    target = given.docs / "results" / "tuning_demo.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(summary, rows, facts), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
