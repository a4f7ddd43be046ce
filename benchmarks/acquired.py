"""``gan3d_sr_denoise`` on scans as they are acquired, beside what classical methods make of them.

Needs a folder with open data that this repository does not hold (``benchmarks.real_brains`` says
which volumes; ``repeats`` besides). Takes those that no training step saw, makes coarse volumes of
them by every operator of ``custom.physics.acquisition``, with Rician noise, and restores them by
classical methods and by ours, run as a user runs it. BM4D is among them where its package is
installed (``pip install bm4d``; its licence allows comparisons, not commercial use).

A method of ours is ``NAME=SETTINGS``: config ids of ``inference.yaml`` as YAML, ``config`` among
them for overlays; ``{operator}`` and ``{sigma}`` in them are replaced by the operator and the
deviation of the noise, and such a method is compared with the classical ones that are told it too.
Or ``NAME=FOLDER`` with ``<case>_restored.nii.gz``, of any other program, made from
``WORK/inputs``. The first method named is the one that is drawn.

Run: ``python -m benchmarks.acquired --data FOLDER --work FOLDER [--sr "ours={}"]
[--denoise "ours={config: [denoise]}"]``
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import acquired_aims
from benchmarks.acquired_cases import (
    HELD,
    NOISE,
    SAME_GRID,
    TRAINED,
    Case,
    denoising_cases,
    repeat_cases,
    super_resolution_cases,
    thick_cases,
)
from benchmarks.acquired_finer import finer_table
from benchmarks.acquired_lesions import lesion_cases, lesion_table
from benchmarks.acquired_measures import (
    HEAD,
    Row,
    mean_of,
    noise_gains,
    own_noise,
    repeat_errors,
    repeat_noise,
    rows_of,
)
from benchmarks.acquired_methods import (
    BLIND,
    DENOISERS,
    TOLD,
    Method,
    available,
    restored,
    run_classical,
    run_ours,
)
from benchmarks.acquired_operator import operator_part
from benchmarks.acquired_others import diffusion, mice
from benchmarks.acquired_page import (
    TEXTURE_NOISE,
    Compared,
    clean_table,
    gain_table,
    gains_of,
    level,
    of_condition,
    psnr_table,
    repeat_table,
    texture_table,
    whole_table,
)
from benchmarks.measure import REPOSITORY, RESULTS, environment
from benchmarks.worst_picture import draw_worst

PICTURES = REPOSITORY / "docs" / "images"
Settings = Mapping[str, str]
TOLD_SETTINGS = "acquired_by: {operator}, sigma: {sigma}"


def folders(
    classical: Mapping[str, Method], ours: Settings, cases: Sequence[Case], work: Path
) -> dict[str, Path]:
    """Restore all cases by all methods; return the folder of each."""
    made = {name: run_classical(name, method, cases, work) for name, method in classical.items()}
    for name, settings in ours.items():
        given = Path(settings)
        made[name] = given if given.is_dir() else run_ours(name, settings, cases, work)
    return made


def opponents(ours: Settings, blind: Collection[str], told: Collection[str]) -> Compared:
    """Return whom each of our methods is compared with: those that are told no more than it is."""
    return {
        name: (name, [*blind, *(told if "{operator}" in text else ())])
        for name, text in ours.items()
    }


def super_resolution(data: Path, work: Path, ours: Settings) -> dict[str, Any]:
    """Return the tables of super-resolution."""
    cases = super_resolution_cases(data)
    made = folders({**BLIND, **TOLD}, ours, cases, work)
    found = compared_tables(cases, made, opponents(ours, BLIND, TOLD))
    rows, gains = found.pop("rows"), found["gains"]
    white = {name: float(np.mean(noise_gains(cases, folder))) for name, folder in made.items()}
    draw_worst_of(gains[HELD], cases, made, PICTURES / "acquired_worst.jpg", work)
    held = [row for row in rows if row["group"] == HELD]
    return {
        **found,
        "noise_gain": white,
        "kspace": kspace_means(held, list(made), HEAD.name, NOISE),
        "power": kspace_means(held, list(made), "power", TEXTURE_NOISE),
        "texture": texture_table(held, list(made), white),
        "whole": whole_table(rows, list(made)),
        "weights": weights_of(ours, made, cases[0]),
        **worst_words(gains[HELD]),
    }


def kspace_means(
    rows: Sequence[Row], methods: Sequence[str], name: str, levels: Sequence[float]
) -> dict[str, dict[str, float]]:
    """Return the mean of a measure by noise level and method, after k-space truncation."""
    return {
        level(noise): {
            method: round(mean_of(of_condition(rows, "kspace", noise), method, name), 2)
            for method in methods
        }
        for noise in levels
    }


def thick_slices(data: Path, work: Path, ours: Settings) -> dict[str, Any]:
    """Return the tables of thick slices; of our methods, those that can restore them."""
    cases = thick_cases(data)
    able = {name: text for name, text in ours.items() if not Path(text).is_dir()}
    made = folders({**BLIND, **TOLD}, able, cases, work)
    found = compared_tables(cases, made, opponents(able, BLIND, TOLD))
    del found["rows"]
    draw_worst_of(found["gains"][HELD], cases, made, PICTURES / "acquired_worst_thick.jpg", work)
    return {**found, **worst_words(found["gains"][HELD])}


def compared_tables(
    cases: Sequence[Case], made: Mapping[str, Path], compared: Compared
) -> dict[str, Any]:
    """Return rows, gains and tables of every group of volumes."""
    rows = rows_of(cases, made)
    groups = {group: [row for row in rows if row["group"] == group] for group in (HELD, TRAINED)}
    # Without noise nothing denoises better than to do nothing: no opponent there.
    noisy = {
        group: [row for row in of if row["noise"] or row["operator"] != SAME_GRID]
        for group, of in groups.items()
    }
    gains = {group: gains_of(of, compared) for group, of in noisy.items()}
    return {
        "rows": rows,
        "gains": gains,
        "held_gain": gain_table(gains[HELD]),
        "trained_gain": gain_table(gains[TRAINED]),
        "held_psnr": psnr_table(groups[HELD], list(made)),
        "trained_psnr": psnr_table(groups[TRAINED], list(made)),
    }


def denoising(data: Path, work: Path, ours: Settings) -> dict[str, Any]:
    """Return the tables of denoising on the volume's own grid."""
    cases, repeats = denoising_cases(data), repeat_cases(data)
    classical = available(DENOISERS)
    made = folders(classical, ours, [*cases, *repeats], work)
    compared = {}
    for name in ours:
        compared[name] = (name, [other for other in classical if "told" not in other])
        compared[f"{name}, against those told the level"] = (name, list(classical))
    found = compared_tables(cases, made, compared)
    del found["rows"]
    draw_worst_of(found["gains"][HELD], cases, made, PICTURES / "acquired_worst_denoised.jpg", work)
    errors = {name: repeat_errors(repeats, folder) for name, folder in made.items()}
    ours_at = made[next(iter(ours))]
    own = {c.truth.scan: own_noise(c, ours_at) for c in cases if not c.noise}
    return {
        **found,
        "repeat_errors": errors,
        "repeats": repeat_table(errors),
        "repeat_noise": repeat_noise(repeats),
        "own_noise": own,
        "clean": clean_table(own),
        "weights": weights_of(ours, made, cases[0]),
        **worst_words(found["gains"][HELD]),
    }


def lesions(data: Path, work: Path, ours: Settings, denoising: Settings) -> dict[str, str]:
    """Return the tables of lesions, of the first method of each kind."""
    coarse, noisy = lesion_cases(data)
    found = {}
    for part, cases, classical, settings in (
        ("restored", coarse, BLIND, ours),
        ("denoised", noisy, available(DENOISERS), denoising),
    ):
        name = next(iter(settings))
        known = {key: method for key, method in classical.items() if "told" not in key}
        made = folders(known, {name: settings[name]}, cases, work)
        found[part] = lesion_table(cases, made, name)
    return found


def weights_of(ours: Settings, made: Mapping[str, Path], case: Case) -> str:
    """Return the hash of each method's weights, where results say it in a sidecar."""
    found = []
    for name in ours:
        sidecar = made[name] / f"{case.name}_restored.json"
        if sidecar.is_file():
            about = json.loads(sidecar.read_text(encoding="utf-8"))["weights"]
            found.append(f"{name} `{about['sha256'][:12]}`")
    return ", ".join(found) or "unknown"


def worst_of(gains: Mapping[str, Sequence[Mapping[str, Any]]]) -> tuple[str, Mapping[str, Any]]:
    """Return our first method, and where it loses most or gains least."""
    name = next(iter(gains))  # the name of a comparison is that of the method
    return name, min(gains[name], key=lambda one: one["worst"])


def worst_words(gains: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Return the caption of the worst case."""
    name, one = worst_of(gains)
    about = f"{one['scan']}, {one['operator']}, noise {100 * abs(one['noise']):.0f} %"
    return {"worst": f"{about}: {name} {one['worst']:+.2f} dB against {one['best']}"}


def draw_worst_of(
    gains: Mapping[str, Sequence[Mapping[str, Any]]],
    cases: Sequence[Case],
    made: Mapping[str, Path],
    target: Path,
    work: Path,
) -> None:
    """Draw the worst case of our first method: reference, best classical one, ours, and errors."""
    name, one = worst_of(gains)
    where = (one["scan"], one["operator"], one["noise"], 0)
    (case,) = (c for c in cases if (c.truth.scan, c.made_by, c.noise, c.draw) == where)
    shown = {"reference": case.truth.values, "as acquired": case.degraded()}
    shown |= {method: restored(made[method], case) for method in (one["best"], name)}
    draw_worst(shown, target, work)


def named(texts: Sequence[str]) -> dict[str, str]:
    """Return the methods of the command line by their names."""
    found = {}
    for text in texts:
        name, found_equals, settings = text.partition("=")
        if not (name and found_equals):
            raise SystemExit(f"a method is NAME=SETTINGS or NAME=FOLDER, got {text}")
        found[name] = settings
    return found


def main() -> None:
    """Restore, measure and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the open data")
    parser.add_argument("--work", type=Path, required=True, help="inputs and results; kept")
    parser.add_argument("--sr", action="append", metavar="NAME=SETTINGS")
    parser.add_argument("--denoise", action="append", metavar="NAME=SETTINGS")
    given = parser.parse_args()
    data, work = given.data.resolve(), given.work.resolve()
    restoring = named(given.sr or ["ours={}", f"ours, told={{{TOLD_SETTINGS}}}"])
    taking_noise = named(given.denoise or ["ours={config: [denoise]}"])
    blind = work / next(iter(restoring)).replace(" ", "_")
    found = {
        "sr": super_resolution(data, work, restoring),
        "thick": thick_slices(data, work, restoring),
        "denoise": denoising(data, work, taking_noise),
        "operator": operator_part(data, work, super_resolution_cases(data), blind),
        "lesions": lesions(data, work, restoring, taking_noise),
        "others": mice(RESULTS) | diffusion(RESULTS),
        "finer": {"table": finer_table(data, work)},
    }
    found["aims"] = {
        "restoring": acquired_aims.restoring(found["sr"], found["thick"]),
        "denoising": acquired_aims.denoising(found["denoise"]),
        "mice": acquired_aims.mice(RESULTS),
    }
    page = Path(__file__).with_name("acquired.md").read_text(encoding="utf-8").format(**found)
    (RESULTS / "acquired.md").write_text(page, encoding="utf-8")
    kept = {
        part: {k: v for k, v in of.items() if k == "weights" or not isinstance(v, str)}
        for part, of in found.items()
    }
    text = json.dumps({"environment": environment(), **kept}, indent=1)
    (RESULTS / "acquired.json").write_text(text + "\n", encoding="utf-8")
    print(RESULTS / "acquired.md")


if __name__ == "__main__":
    main()
