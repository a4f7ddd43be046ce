"""Inputs of ``benchmarks.motion_real``: motions and images that the training did not have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.acquired_cases import HELD, Repeat, Truth
from benchmarks.real_brains import SOURCES
from custom.data.preparation.cropping import crop_air
from custom.physics.intensity_statistics import reference_intensity
from custom.transforms.motion.rigid_motion import RandRigidMotiond, with_motion

SLICES = 12  # of the middle of each volume
STILL_SCAN = "still"
AS_TRAINED = "as in training, 2D"
_REAL = 32  # slices of a scan that moved
_SLAB = 48  # slices that move in space: what they turn in must be thick
_RANGES = {"translation_mm": (0.0, 8.0), "rotation_deg": (0.0, 8.0)}
_FAR = {"translation_mm": (8.0, 15.0), "rotation_deg": (8.0, 15.0)}
_SHAKE = {"translation_mm": (0.0, 2.0), "rotation_deg": (0.0, 2.0)}
Path3 = Callable[[Tensor, torch.Generator], Tensor]


def random_walk(amplitude: Tensor, random: torch.Generator) -> Tensor:
    """Return a path of small steps at all times that reaches ``amplitude``, ``(P, times)``."""
    walk = torch.randn(amplitude.shape, generator=random).cumsum(dim=-1)
    return walk * (amplitude / walk.abs().amax(dim=-1, keepdim=True))


def tremor(amplitude: Tensor, random: torch.Generator) -> Tensor:
    """Return a path with an independent pose at each time, of deviation ``amplitude / 2``."""
    return amplitude / 2 * torch.randn(amplitude.shape, generator=random)


# Name of a condition to the settings of the motion, and a form of the path that training has not.
CONDITIONS: Mapping[str, tuple[dict[str, Any], Path3 | None]] = {
    AS_TRAINED: ({**_RANGES}, None),
    "as in training, 3D": ({**_RANGES, "acquisition": "3d"}, None),
    "through-plane (full 3D)": ({**_RANGES, "acquisition": "full_3d"}, None),
    "path: random walk": ({**_RANGES}, random_walk),
    "path: tremor, a pose a line": ({**_SHAKE}, tremor),
    "lines from the centre out": ({**_RANGES, "orders": ["centre_out"]}, None),
    "8 to 15 mm and degrees": ({**_FAR}, None),
    "partial Fourier 0.75": ({**_RANGES, "partial_fourier": (0.75, 0.75)}, None),
    "noise of 5 %": ({**_RANGES, "noise": (0.05, 0.05)}, None),
}
AFTER_THE_STILL = ("partial Fourier 0.75", "noise of 5 %")  # what does not move differs, too


def tested(data: Path) -> list[Truth]:
    """Return the volumes of the test split: people and scanners that no training saw."""
    return [_read(data / source.file, _SLAB) for source in SOURCES if source.split == "test"]


def unseen(data: Path) -> list[tuple[Truth, str]]:
    """Return images of kinds that no training held, each with what it is."""
    human, clinical = "T2*-weighted EPI, mean of 45", "clinical 2D, 3 mm slices"
    found = [
        ("repeats/philips3T_subA_EPI_mean45", f"{human}; the person's T1 is in training"),
        ("dwi/siemens_trio_DTI20x2_2mm", "diffusion-weighted, mean of 20 directions"),
        ("templates/spm_avg152PD_2mm", "proton density, mean of 152 people"),
        ("mouse/fvb_wt6_T2w_150um_brain", "mouse, T2; a voxel counts as 1 mm"),
        ("clinical_2d/ms_long_patient12_study1_T1W", f"T1, {clinical}"),
        ("clinical_2d/ms_long_patient12_study1_T2W", f"T2, {clinical}"),
        ("clinical_2d/ms_long_patient12_study1_FLAIR", f"FLAIR, {clinical}"),
    ]
    return [(_read(data / f"{file}.nii.gz", SLICES), about) for file, about in found]


def _read(file: Path, slices: int) -> Truth:
    """Read the middle slices of a volume, of a diffusion series the mean of 20 weighted images."""
    image = nib.load(file)
    values = np.asarray(image.dataobj, np.float32)
    if values.ndim == 4:
        values = values[..., 1:21].mean(axis=3)
    affine = np.eye(4) if file.parent.name == "mouse" else np.asarray(image.affine, np.float64)
    scan = file.name.removesuffix(".nii.gz")
    values, affine = crop_air(values, affine)
    first = max(0, (values.shape[2] - slices) // 2)
    affine[:3, 3] += affine[:3, 2] * first
    return _truth(values[..., first : first + slices], affine, scan)


def _truth(values: NDArray[Any], affine: NDArray[Any], scan: str) -> Truth:
    """Return a volume that is measured whole."""
    tissue = float(reference_intensity(torch.as_tensor(values), "foreground_mean"))
    values = np.ascontiguousarray(values)
    return Truth(scan, scan, HELD, values, np.ones(values.shape, bool), tissue, affine)


def middle(truth: Any, slices: int) -> Any:
    """Return the middle slices of a volume, with its masks."""
    first = max(0, (truth.values.shape[2] - slices) // 2)
    affine = truth.affine.copy()
    affine[:3, 3] += affine[:3, 2] * first
    volumes = {k: v for k, v in vars(truth).items() if getattr(v, "ndim", 0) == 3}
    parts = {k: np.ascontiguousarray(v[..., first : first + slices]) for k, v in volumes.items()}
    return replace(truth, affine=affine, **parts)


def moving(truth: Truth, condition: str, draw: int, slices: int = SLICES) -> Repeat:
    """Return the middle of a volume that moved in one of ``CONDITIONS``."""
    settings, form = CONDITIONS[condition]
    thick = settings.get("acquisition") == "full_3d"
    part = truth if thick else middle(truth, slices)
    move = RandRigidMotiond(
        "image",
        prob_still=0.0,
        fixed_by=["scan", "motion"],
        **{**settings, "noise": [part.tissue * level for level in settings.get("noise", (0, 0))]},
    )
    drawn = move.randomize({"scan": truth.scan, "motion": draw})
    if form is not None:
        random = torch.Generator().manual_seed(drawn.seed)
        reach = drawn.paths.abs().amax(dim=(0, 2), keepdim=True).expand_as(drawn.paths)
        drawn = replace(drawn, paths=form(reach, random))
    return _case(part, slices, condition, draw, drawn, move)


def standing(truth: Truth, condition: str, slices: int = SLICES) -> Repeat:
    """Return the middle of a volume that did not move, read as in one of ``CONDITIONS``."""
    part, settings = middle(truth, slices), CONDITIONS[condition][0]
    if condition not in AFTER_THE_STILL:
        return Repeat(part, STILL_SCAN, 0.0, 0, (1, 1, 1), single=part.values)
    move = RandRigidMotiond(
        "image",
        fixed_by=["scan"],
        **{**settings, "noise": [part.tissue * level for level in settings.get("noise", (0, 0))]},
    )
    drawn = move.randomize({"scan": truth.scan})
    drawn = replace(drawn, kind="still", paths=drawn.paths * 0)
    case = _case(part, slices, f"{STILL_SCAN}, {condition}", 0, drawn, move)
    return replace(case, truth=replace(part, values=case.single))  # it is to stay as it is read


def _case(
    part: Truth, slices: int, condition: str, draw: int, drawn: Any, move: RandRigidMotiond
) -> Repeat:
    """Return a volume that a motion was applied to."""
    edges = np.linalg.norm(part.affine[:3, :3], axis=0).tolist()
    moved = with_motion(torch.from_numpy(part.values)[None], drawn, edges, 2, move.states)[0]
    image = middle(replace(part, values=moved[0].numpy()), slices).values
    named = re.sub(r"[^A-Za-z0-9]+", "-", condition)
    return Repeat(middle(part, slices), named, 0.0, draw, (1, 1, 1), single=image)


def as_scanned(truths_of: Sequence[Truth]) -> Iterator[Repeat]:
    """Return real scans, of which nobody knows the truth."""
    for truth in truths_of:
        yield Repeat(truth, "real", 0.0, 0, (1, 1, 1), single=truth.values)


def series(data: Path) -> tuple[list[Repeat], NDArray[Any]]:
    """Return the volumes of the echo-planar series, and how alike each two of them are."""
    image = nib.load(data / "motion" / "siemens_prisma_EPI_headrotation.nii.gz")
    values = np.moveaxis(np.asarray(image.dataobj, np.float32), 3, 0)
    alike = np.corrcoef(values.reshape(len(values), -1))
    found = [_truth(one, image.affine, f"EPI{n}") for n, one in enumerate(values, start=1)]
    return list(as_scanned(found)), alike


def lifespan(data: Path) -> list[Repeat]:
    """Return the middle of two T1-weighted volumes that ring, and of a third of their study."""
    visit = "ses-V01"
    names = [f"sub-{number}" for number in ("0002", "0003", "0004")]
    folders = [data / "bids_lifespan" / one / visit / "anat" for one in names]
    return list(as_scanned([_read(next(folder.glob("*.nii.gz")), _REAL) for folder in folders]))
