"""The results of ``motion_cdm``: trainings of equal length, evaluations, figures and page.

Trains ours, the plain regression, the published conditional diffusion, ResShift and the GAN for
equally many minutes on a dataset of still volumes (``python -m benchmarks.real_brains --all-maps
--without lifespan0002 lifespan0003``: the scans of these two ring), or takes what lies in
``--work`` (``--skip-training``). Evaluates them and the shipped weights on the dataset's test
split, with the same draws of motion; an evaluation that was made with the same weights and settings
is taken as it is. Writes ``docs/results/motion.md`` and its pictures. The section on real motion
comes from ``python -m benchmarks.motion_real``, if that was run.

Trainings that have not ended are left out. On two cores: trainings about 10 minutes each, the
evaluations 10, that of the published model 20 more.

Run: ``OMP_NUM_THREADS=1 python -m benchmarks.publish_motion --dataset FOLDER [--work FOLDER]
[--minutes N] [--skip-training] [--only NAME] [--most-steps N] [--set YAML]
[--set-evaluation YAML]``
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path
from typing import Any

import yaml

from benchmarks.measure import REPOSITORY, RESULTS
from benchmarks.motion_methods import RUNS, evaluate, moved
from benchmarks.motion_page import Evaluated, draw_minutes, draw_steps, page
from benchmarks.motion_trainings import BUNDLE, TRAININGS, read_plan, train, trained
from benchmarks.publishing import publish_figures, save_small

_MOST_BYTES = 170_000  # of a picture in the repository: up to nine columns


def acquired(docs: Path) -> str:
    """Return the section on real motion, if it was measured."""
    if not (RESULTS / "motion_real.json").is_file() or docs != REPOSITORY / "docs":
        return ""
    return str(importlib.import_module("benchmarks.motion_real").section())


def pictures(work: Path, found: Evaluated, trainings: Any, images: Path) -> dict[str, Any]:
    """Write the pictures; return file and caption of each, by their place on the page."""
    drawn = work / "drawn.png"
    curves = (
        "**Validation against minutes of CPU**, validations included. Two volumes of which "
        "no training saw the people; the published CDM in 25 steps on one draw of motion, the "
        "others on six."
    )
    draw_minutes(trainings).savefig(drawn, dpi=130)
    save_small(drawn, images / "motion_minutes.jpg", _MOST_BYTES)
    steps = []
    if len(found) > 1:
        draw_steps(found).savefig(drawn, dpi=130)
        save_small(drawn, images / "motion_steps.jpg", _MOST_BYTES)
        text = "**Quality against steps.** Left and right are of other slices. A sample is no mean."
        steps = [("motion_steps.jpg", text)]
    slices = [
        picture
        for name in found
        if name != "sampled"
        for picture in publish_figures(
            work / f"evaluate_{name}", images, f"motion_{name}", _MOST_BYTES, "severity_class"
        )
    ]
    return {"curves": [("motion_minutes.jpg", curves)], "steps": steps, "slices": slices}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True, help="still volumes")
    parser.add_argument("--work", type=Path, default=BUNDLE / "output" / "publish_motion")
    parser.add_argument("--docs", type=Path, default=REPOSITORY / "docs")
    parser.add_argument("--minutes", type=float, default=7.0, help="of each training")
    parser.add_argument("--skip-training", action="store_true", help="take what is in --work")
    parser.add_argument("--only", choices=tuple(RUNS), action="append", help="evaluations to make")
    parser.add_argument("--most-steps", type=int, default=1000, help="of the methods evaluated")
    parser.add_argument("--set", default="{}", help="config ids for every training, as YAML")
    parser.add_argument("--set-evaluation", default="{}", help="the same for the evaluations")
    return parser.parse_args()


def main() -> None:
    """Train, evaluate and publish."""
    given = arguments()
    work, dataset = given.work.resolve(), given.dataset.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if not given.skip_training:
        for name in TRAININGS:
            train(name, work, dataset, given.minutes, yaml.safe_load(given.set))
    curves = trained(work)
    if "default" not in curves:
        raise SystemExit(f"{work} holds no training of the default that has ended: train it first")
    settings = yaml.safe_load(given.set_evaluation)
    found = {
        name: moved(evaluate(name, work, dataset, list(curves), settings, given.most_steps))
        for name in given.only or RUNS
    }
    trainings = {name: (of, read_plan(work, name)) for name, of in curves.items()}
    shown = pictures(work, found, trainings, given.docs / "images")
    target = given.docs / "results" / "motion.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page(found, trainings, shown, acquired(given.docs)), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
