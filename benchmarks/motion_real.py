"""``motion_cdm`` on heads that really moved, on motions and images unlike its training, on lesions.

Needs a folder with open data that this repository does not hold (``benchmarks.real_brains``;
``motion``, ``repeats``, ``dwi``, ``mouse`` and ``clinical_2d`` besides). Inputs are corrected as a
user does it, and by the denoiser of ``gan3d_sr_denoise`` and two classical filters.

Run: ``python -m benchmarks.motion_real --data FOLDER [--work FOLDER] [--weights FILE]``
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from benchmarks.acquired_cases import Array, Repeat
from benchmarks.acquired_methods import BUNDLE, DENOISERS, restored, run_classical, run_ours
from benchmarks.measure import REPOSITORY, RESULTS, save
from benchmarks.motion_real_cases import (
    AFTER_THE_STILL,
    AS_TRAINED,
    CONDITIONS,
    SLICES,
    lifespan,
    moving,
    series,
    standing,
    tested,
    unseen,
)
from benchmarks.motion_real_lesions import (
    lesion_cases,
    lesion_rows,
    lesion_summary,
    lesion_table,
    lesion_truths,
)
from benchmarks.motion_real_measures import (
    change,
    gains,
    harm,
    slices_compared,
    without_reference,
)
from benchmarks.motion_real_page import (
    condition_table,
    denoiser_table,
    draw_pairs,
    scan_table,
    series_table,
)
from custom.files.atomic import sha256_of

MOTION = REPOSITORY / "bundles" / "motion_cdm"
PICTURES = REPOSITORY / "docs" / "images"
Results = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """What a run measures.

    Args:
        data: Folder with the open data.
        work: Folder of inputs and results.
        weights: Of the model.
        draws: Motions of each volume.
    """

    data: Path
    work: Path
    weights: Path
    draws: int


def corrected(name: str, cases: Iterable[Repeat], run: Run) -> Results:
    """Correct cases as a user does; return the results by the names of the cases."""
    cases = list(cases)
    settings = json.dumps({"slice_axis": 2, "ckpt_path": str(run.weights)})
    folder = run_ours(name, settings, cases, run.work, MOTION)
    return {case.name: restored(folder, case).astype(np.float32) for case in cases}


def conditions(run: Run) -> dict[str, Any]:
    """Measure motions and images that the training did not have, and denoisers instead."""
    heads, others = tested(run.data), unseen(run.data)
    moved = {
        name: [moving(truth, name, draw) for truth in heads for draw in range(run.draws)]
        for name in CONDITIONS
    }
    still = {name: [standing(truth, name) for truth in heads] for name in CONDITIONS}
    for truth, about in others:
        moved[about] = [moving(truth, AS_TRAINED, draw) for draw in range(run.draws)]
        still[about] = [standing(truth, AS_TRAINED)]
    every = {case.name: case for group in (moved, still) for of in group.values() for case in of}
    results = corrected("conditions", every.values(), run)
    found = {name: measured(cases, still[name], results) for name, cases in moved.items()}
    for truth in heads:
        cases = [case for case in moved[AS_TRAINED] if case.truth.scan == truth.scan]
        unmoved = [case for case in still[AS_TRAINED] if case.truth.scan == truth.scan]
        found[f"{AS_TRAINED}: {truth.scan}"] = measured(cases, unmoved, results)
    draw_worst(moved, results, run.work)
    return {"conditions": found, "denoisers": denoisers(moved[AS_TRAINED], results, run.work)}


def measured(cases: Sequence[Repeat], still: Sequence[Repeat], results: Results) -> dict[str, Any]:
    """Return gain and harm of one condition."""
    rows = [row for case in cases for row in rows_of(case, {"ours": results[case.name]})]
    return {**gains(rows), "still": harm([(one.single, results[one.name]) for one in still])}


def rows_of(case: Repeat, after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the measures of the slices of a case."""
    return slices_compared(case.truth.values, case.single, after, {"volume": case.truth.scan})


def denoisers(cases: Sequence[Repeat], results: Results, work: Path) -> dict[str, Any]:
    """Return what denoisers gain on the same slices."""
    folders = {
        "denoiser of gan3d_sr_denoise": run_ours(
            "gan3d", "{config: [denoise]}", cases, work, BUNDLE
        ),
        "non-local means": run_classical("nlm", DENOISERS["NLM, level estimated"], cases, work),
        "median of 3 x 3": run_classical(
            "median", lambda values, case: ndimage.median_filter(values, (3, 3, 1)), cases, work
        ),
    }
    rows = []
    for case in cases:
        after = {name: restored(folder, case) for name, folder in folders.items()}
        rows += rows_of(case, {"motion_cdm": results[case.name], **after})
    return {name: gains(rows, name) for name in ("motion_cdm", *folders)}


def scans(run: Run) -> dict[str, Any]:
    """Measure the T1-weighted volumes that ring, and a simulated one whose truth is known."""
    cases = lifespan(run.data)
    results = corrected("lifespan", cases, run)
    found = {}
    for case in cases:
        after = results[case.name]
        found[case.truth.scan] = {
            "before": without_reference(case.single),
            "after": without_reference(after),
            "change": change(case.single, after),
            "kept": float((case.single == after).all(axis=(0, 1)).mean()),
        }
    truth = cases[-1].truth  # of the same study, and without visible ringing
    moved = moving(truth, "as in training, 3D", 0)
    after = corrected("lifespan", [moved], run)[moved.name]
    found[f"{truth.scan}, moved by simulation"] = {
        "still": without_reference(moved.truth.values),
        "before": without_reference(moved.single),
        "after": without_reference(after),
        "change": change(moved.single, after),
        "kept": float((moved.single == after).all(axis=(0, 1)).mean()),
    }
    shown = [
        (case.truth.scan, [v[:, :, v.shape[2] // 2] for v in (case.single, results[case.name])])
        for case in cases
    ]
    draw_pairs(shown, PICTURES / "motion_real_scans.jpg", run.work)
    return found


def echo_planar(run: Run) -> dict[str, Any]:
    """Measure the echo-planar series in which the head turned."""
    cases, alike = series(run.data)
    results = corrected("series", cases, run)
    pair = np.unravel_index(np.argmax(alike - 2 * np.eye(len(alike))), alike.shape)
    mean = np.mean([cases[number].single for number in pair], axis=0)
    found, shown = {}, []
    for number, case in enumerate(cases):
        after = results[case.name]
        found[case.truth.scan] = {
            "still": number in pair,
            "alike": float(max(np.delete(alike[number], number))),
            "before": without_reference(case.single, 0) | {"distance": change(mean, case.single)},
            "after": without_reference(after, 0) | {"distance": change(mean, after)},
            "change": change(case.single, after),
            "kept": float((case.single == after).all(axis=(0, 1)).mean()),
        }
        across = [volume[volume.shape[0] // 2] for volume in (case.single, after)]
        shown.append((f"volume {number + 1}{', still' * (number in pair)}", across))
    draw_pairs(shown, PICTURES / "motion_real_series.jpg", run.work, (3.2, 3.6))
    return found


def lesions(run: Run) -> list[dict[str, Any]]:
    """Measure lesions in heads that moved."""
    cases = lesion_cases(lesion_truths(run.data), run.draws)
    results = corrected("lesions", [case for _, case in cases], run)
    shown: dict[str, list[Array]] = {}
    most: dict[str, float] = {}
    for known, case in cases:  # of each kind the slice with many lesions and much motion
        truth = case.truth
        error = np.linalg.norm(case.single - truth.values, axis=(0, 1))
        score = error / np.linalg.norm(truth.values) * truth.head.sum(axis=(0, 1))
        at = int(np.argmax(score))
        if score[at] > most.get(known, 0):
            most[known] = score[at]
            volumes = (case.single, results[case.name], truth.values)
            shown[known] = [volume[:, :, at] for volume in volumes]
    draw_pairs(list(shown.items()), PICTURES / "motion_real_lesions.jpg", run.work)
    return lesion_summary(lesion_rows(cases, results))


def draw_worst(moved: Mapping[str, Sequence[Repeat]], results: Results, work: Path) -> None:
    """Draw the slice that gains least or loses most, of the four conditions with the worst one."""
    worst = []
    for name, cases in moved.items():
        of_cases = ((rows_of(case, {"ours": results[case.name]}), case) for case in cases)
        pairs = [(row, case) for rows, case in of_cases for row in rows]
        # A slice that did not move equals the truth: its PSNR before is infinite.
        rows = [pair for pair in pairs if np.isfinite(pair[0]["psnr_before"])]
        if not rows:
            continue
        gain = [row["psnr_ours"] - row["psnr_before"] for row, _ in rows]
        at = int(np.nanargmin(gain))
        worst.append((gain[at], name, *rows[at]))
    shown = []
    for gain, name, row, case in sorted(worst, key=lambda one: one[0])[:4]:
        volumes = (case.single, results[case.name], case.truth.values)
        images = [volume[:, :, row["slice"]] for volume in volumes]
        shown.append((f"{name}:\n{case.truth.subject}, {gain:+.1f} dB", images))
    draw_pairs(shown, PICTURES / "motion_real_worst.jpg", work)


PARTS: Mapping[str, Callable[[Run], Mapping[str, Any]]] = {
    "series": lambda run: {"series": echo_planar(run)},
    "scans": lambda run: {"scans": scans(run)},
    "lesions": lambda run: {"lesions": lesions(run)},
    "conditions": conditions,
}
_TABLES: Mapping[str, Callable[[Any], str]] = {
    "series": series_table,
    "scans": scan_table,
    "lesions": lesion_table,
    "conditions": condition_table,
    "denoisers": denoiser_table,
}


def section() -> str:
    """Return the parts that were measured, for ``docs/results/motion.md``."""
    found = json.loads((RESULTS / "motion_real.json").read_text("utf-8"))
    page = Path(__file__).with_name("motion_real.md").read_text("utf-8")
    said = {
        **{name: table(found[name]) for name, table in _TABLES.items() if name in found},
        "weights": found["weights"][:12],
        "slices": SLICES,
        "draws": found["draws"],
        "read_differently": " and ".join(AFTER_THE_STILL),
    }
    first, *blocks = re.split(r"<!-- (\w+) -->\n", page)
    parts = zip(blocks[::2], blocks[1::2], strict=True)
    return "".join([first, *(text for name, text in parts if name in found)]).format(**said)


def measure(run: Run, parts: Sequence[str]) -> None:
    """Measure parts, and keep their figures beside those of others of the same weights."""
    file = RESULTS / "motion_real.json"
    about = {"weights": sha256_of(run.weights), "draws": run.draws}
    found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if any(found.get(name) != value for name, value in about.items()):
        found = {"seconds": {}}
    found |= about
    for part in parts:
        begin = time.process_time()
        found |= PARTS[part](run)
        found["seconds"][part] = round(time.process_time() - begin)
        save("motion_real", {k: v for k, v in found.items() if k != "environment"})


def main() -> None:
    """Correct, measure and print the section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the open data")
    parser.add_argument("--work", type=Path, help="keeps inputs and results; by default nothing is")
    parser.add_argument("--weights", type=Path, default=MOTION / "models" / "model.pt")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--draws", type=int, default=2, help="motions of each volume")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = given.work or Path(folder)
        run = Run(given.data.resolve(), work.resolve(), given.weights.resolve(), given.draws)
        measure(run, given.parts)
    print(section())


if __name__ == "__main__":
    main()
