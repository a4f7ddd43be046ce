"""Denoising of real diffusion series, judged by a second acquisition of the same head.

Needs a folder with open data that this repository does not hold:

- ``dwi/siemens_trio_DTI20x2_2mm``: b = 0 and 20 directions of b = 1000 s/mm², acquired twice with
  the same gradients (github.com/neurolabusc/dcm_qa_stc, BSD-2-Clause).
- ``dwi/philips3T_subA_DTI_b1000_2mm`` and ``dwi/philips3T_subA_b0repeats_2mm``: b = 0 and 16
  directions, and five repeats of b = 0 of the same head (github.com/neurolabusc/dcm_qa_philips_enh,
  BSD-2-Clause).
- ``dwi/philips_vanderbilt_b2000_3mm``: b = 0 and 15 directions of b = 2000 s/mm², another scanner
  (github.com/neurolabusc/dcm_qa_philips, BSD-2-Clause).

Each repeat is restored on its own, by our model trained for its protocol, and by classical methods
and chains of them. The error against the other repeat, less that repeat's own noise, is what is
left of the noise and what was lost of the anatomy, without any truth.

Run: ``python -m benchmarks.real_dwi --data FOLDER --work FOLDER``
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.dwi_methods import (
    METHOD_TITLES,
    correlated_noise,
    epochs_of,
    others,
    restore,
    train,
)
from benchmarks.measure import REPOSITORY, RESULTS
from benchmarks.publishing import aim, markdown
from benchmarks.real_dwi_figure import METHODS_DRAWN, draw_repeats
from benchmarks.real_dwi_measures import Array, judge, neighbour_correlation
from custom.physics.diffusion.gradient_table import GradientTable, read_gradient_table
from custom.physics.diffusion.neighbours import noise_correlation
from custom.physics.diffusion.noise import RicianNoise

PICTURES = REPOSITORY / "docs" / "images"
REPEATED = "siemens_trio_DTI20x2_2mm"
OF_B0 = "philips3T_subA_DTI_b1000_2mm"
B0_REPEATS = "philips3T_subA_b0repeats_2mm"
CHAINS = ("mppca_wls", "non_local_wls")
MOST_ERROR = 0.2  # of the weighted volumes
ALONE = {OF_B0: "model_philips", "philips_vanderbilt_b2000_3mm": "model_vanderbilt"}
TUNED_ON = "network held out; two constants of the average over neighbours were chosen on it"


def load(path: Path) -> tuple[Any, GradientTable]:
    """Open a series and its table."""
    stem = path.parent / path.name.removesuffix(".nii.gz")
    return nib.load(path), read_gradient_table(f"{stem}.bval", f"{stem}.bvec")


def write_part(image: Any, table: GradientTable, volumes: slice, path: Path) -> Path:
    """Write some volumes of a series as a series of their own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.asarray(image.dataobj[..., volumes], dtype=np.float32)
    nib.save(nib.Nifti1Image(values, image.affine), path)
    stem = str(path).removesuffix(".nii.gz")
    table.select(volumes).write(f"{stem}.bval", f"{stem}.bvec")
    return path


def ours(series: Path, weights: Path, work: Path) -> tuple[dict[str, Array], NDArray[np.bool_]]:
    """Restore a series with our model; return what came of it and the mask of the head.

    A repeat is a magnitude: to be compared with it, a restored signal gets the floor of its noise.
    """
    alone = restore(series, weights, work, neighbours=False)[0]["restored"]
    made, _ = restore(series, weights, work)
    restored, mask = made["restored"], made["mask"] > 0
    unit = torch.from_numpy(np.maximum(made["noise"], 1e-6))[..., None]
    lifted = (unit * RicianNoise().mean(torch.from_numpy(restored) / unit)).numpy()
    lifted[~mask] = restored[~mask]
    return {"ours": restored, "ours_floor": lifted, "ours_alone": alone}, mask


def repeat_series(data: Path, work: Path, max_epochs: int | None) -> dict[str, Any]:
    """Restore both repeats with every method and judge each by the other."""
    image, table = load(data / f"{REPEATED}.nii.gz")
    half = len(table) // 2
    parts = [slice(0, half), slice(half, None)]
    files = [
        write_part(image, table, part, work / f"repeat{number}.nii.gz")
        for number, part in enumerate(parts, 1)
    ]
    table = table.select(parts[0])
    noisy = tuple(nib.load(file).get_fdata(dtype=np.float32) for file in files)
    weights = train(files[0], work / "model_repeat", max_epochs)
    made = {"noisy": noisy}
    restored = [ours(file, weights, work / "restored") for file in files]
    made |= {name: (restored[0][0][name], restored[1][0][name]) for name in restored[0][0]}
    first, second = (others(noisy[i], table, restored[i][1])[0] for i in (0, 1))
    made |= {name: (first[name], second[name]) for name in first}
    inside = ndimage.binary_erosion(restored[0][1] & restored[1][1], np.ones((3, 3, 1)))
    weighted = ~table.unweighted
    rows = {name: judge(noisy, pair, table, inside, weighted) for name, pair in made.items()}
    difference = (noisy[0] - noisy[1])[..., weighted]
    drawn = {name: pair for name, pair in made.items() if name in METHODS_DRAWN}
    draw_repeats(drawn, noisy, table, inside).savefig(PICTURES / "dwi_real.png", dpi=80)
    return {
        "volumes": half,
        "epochs": epochs_of(work / "model_repeat"),
        "voxels": int(inside.sum()),
        "noise_correlation": neighbour_correlation(difference, inside),
        "methods": rows,
    }


def b0_series(data: Path, work: Path, max_epochs: int | None) -> dict[str, Any]:
    """Restore a series with one b = 0 volume and compare that with the mean of five others."""
    image, table = load(data / f"{OF_B0}.nii.gz")
    file = write_part(image, table, slice(None), work / "philips.nii.gz")
    repeats, their = load(data / f"{B0_REPEATS}.nii.gz")
    volumes = repeats.get_fdata(dtype=np.float32)[..., 2:]
    if not (their.bvals[2:] <= 50).all():
        raise SystemExit(f"{B0_REPEATS}: volumes 2 to 6 are meant to be repeats of b = 0")
    weights = train(file, work / "model_philips", max_epochs)
    restored, mask = ours(file, weights, work / "restored")
    noisy = image.get_fdata(dtype=np.float32)
    inside = ndimage.binary_erosion(mask, np.ones((3, 3, 1)))
    reference = volumes.mean(-1)[inside].astype(float)
    # Noise of the reference: that of the mean of five.
    floor = volumes[inside].astype(float).var(1, ddof=1).mean() / volumes.shape[-1]
    made = {"noisy": noisy} | restored
    made |= others(noisy, table, mask)[0]
    which = int(np.flatnonzero(table.unweighted)[0])
    rows = {}
    for name, values in made.items():
        b0 = values[..., which][inside].astype(float)
        gain = float((b0 * reference).sum() / (b0 * b0).sum())  # scanner gain may differ
        rows[name] = float(((gain * b0 - reference) ** 2).mean() - floor)
    unit = rows["noisy"]
    return {
        "voxels": int(inside.sum()),
        "epochs": epochs_of(work / "model_philips"),
        "methods": {k: v / unit for k, v in rows.items()},
    }


def recorrupted_series(data: Path, work: Path, name: str, max_epochs: int | None) -> dict[str, Any]:
    """Judge by a series alone: noise as strong as its own is added, and taken away, from it.

    The noise of the sum and that of the difference are independent if the added has the level and
    the correlation of the series' own; both are then twice as strong in variance. The sum is
    restored and compared with the difference.

    Source:
        T. Pang et al., Recorrupted-to-Recorrupted, CVPR (2021), 2043-2052.
    """
    image, table = load(data / f"{name}.nii.gz")
    values = image.get_fdata(dtype=np.float32)
    weights = train(
        write_part(image, table, slice(None), work / f"{name}.nii.gz"),
        work / ALONE[name],
        max_epochs,
    )
    found, _ = restore(work / f"{name}.nii.gz", weights, work / "restored")
    mask = found["mask"] > 0
    level = float(np.median(found["noise"][mask]))
    correlation = noise_correlation(torch.from_numpy(values), torch.from_numpy(mask), table.b_rows)
    noise = correlated_noise(np.random.default_rng(0), values.shape, correlation)
    added = (level * noise).astype(np.float32)
    noisier, other = np.maximum(values + added, 0), values - added
    file = work / f"{name}_noisier.nii.gz"
    nib.save(nib.Nifti1Image(noisier, image.affine), file)
    table.write_beside(file)
    made = {"noisy": noisier} | ours(file, weights, work / "restored")[0]
    made |= others(noisier, table, mask)[0]
    inside = ndimage.binary_erosion(mask, np.ones((3, 3, 1)))
    weighted, variance = ~table.unweighted, 2 * level**2
    errors = {
        key: float(
            ((restored - other)[inside][:, weighted].astype(float) ** 2).mean() / variance - 1
        )
        for key, restored in made.items()
    }
    return {
        "voxels": int(inside.sum()),
        "noise_correlation": float(np.mean(correlation[:2])),
        "epochs": epochs_of(work / ALONE[name]),
        "methods": errors,
    }


def page(figures: dict[str, Any]) -> str:
    """Return the page of the results."""
    template = Path(__file__).with_name("real_dwi.md").read_text(encoding="utf-8")
    repeat, of_b0 = figures["repeat"], figures["b0"]
    columns = ("error_weighted", "error_b0", "fa_difference", "fa_correlation", "fa_mean")
    columns += ("md_difference", "md_correlation", "md_mean", "residual_correlation")
    head = ["method", "error, weighted", "error, b = 0", "FA difference", "FA correlation"]
    head += ["FA mean", "MD difference", "MD correlation", "MD mean", "residual's neighbours"]
    lines = [
        [METHOD_TITLES[name], *(f"{row[key]:.3f}" if key in row else "" for key in columns)]
        for name, row in repeat["methods"].items()
    ]
    b0 = [[METHOD_TITLES[name], f"{value:.3f}"] for name, value in of_b0["methods"].items()]
    alone = figures["alone"]
    names = [key for key in METHOD_TITLES if all(key in one["methods"] for one in alone.values())]
    rows = [
        [METHOD_TITLES[key], *(f"{one['methods'][key]:.3f}" for one in alone.values())]
        for key in names
    ]
    return template.format(
        aims="\n".join(f"- {line}" for line in aims(figures)),
        repeat_table=markdown(head, lines),
        b0_table=markdown(["method", "error of b = 0"], b0),
        alone_table=markdown(["method", *alone], rows),
        repeat=repeat,
        b0=of_b0,
    )


def aims(figures: dict[str, Any]) -> list[str]:
    """Return which aims are met, and where not; our row on the repeats is that with the floor."""
    methods = figures["repeat"]["methods"]
    repeats = {name: row["error_weighted"] for name, row in methods.items()}
    over = {REPEATED: repeats["ours_floor"] / min(repeats[name] for name in CHAINS)}
    for name, one in figures["alone"].items():
        found = one["methods"]
        over[name] = found["ours"] / min(found[chain] for chain in CHAINS)
    left, noise = methods["ours"]["residual_correlation"], figures["repeat"]["noise_correlation"]
    return [
        aim("error of the repeats", {REPEATED: repeats["ours_floor"]}, MOST_ERROR),
        aim("error over that of the better chain", over, 1.0),
        aim("neighbours in what was taken away, over the noise's own", {REPEATED: left / noise}, 1),
    ]


def acquired(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Return ours and every opponent under each condition, for the page on acquired scans."""
    measured = {
        f"{REPEATED}: weighted volumes, by a repeat": {
            name: row["error_weighted"] for name, row in figures["repeat"]["methods"].items()
        }
    }
    measured |= {f"{name}: noise added": one["methods"] for name, one in figures["alone"].items()}
    return [
        {
            "condition": condition,
            "who": TUNED_ON if condition.startswith(REPEATED) else "held out",
            "measure": "error in units of the noisy one, smaller is better",
            "ours": {k: v for k, v in found.items() if k.startswith("ours")},
            "opponents": {k: v for k, v in found.items() if not k.startswith("ours")},
        }
        for condition, found in measured.items()
    ]


def main() -> None:
    """Measure both series and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--max_epochs", type=int, help="of our training; default: as own_scan.yaml")
    given = parser.parse_args()
    data, work = given.data.resolve() / "dwi", given.work.resolve()
    figures = {
        "repeat": repeat_series(data, work, given.max_epochs),
        "b0": b0_series(data, work, given.max_epochs),
        "alone": {name: recorrupted_series(data, work, name, given.max_epochs) for name in ALONE},
    }
    text = json.dumps(acquired(figures), indent=2) + "\n"
    (RESULTS / "acquired_dwi.json").write_text(text, encoding="utf-8")
    (RESULTS / "dwi_real.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    (RESULTS / "dwi_real.md").write_text(page(figures), encoding="utf-8")
    print(RESULTS / "dwi_real.md")


if __name__ == "__main__":
    main()
