"""Demonstration set of ``dwi_vae``: heads with a known tensor in every voxel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from custom.data.datasets.dataset_kinds import DIFFUSION_SERIES
from custom.data.datasets.dataset_writer import DatasetWriter
from custom.demo.demonstration_set import DemonstrationSet
from custom.demo.diffusion.dwi_anatomy import Phantom, make_phantom
from custom.files.nifti_volume import write_volume
from custom.physics.diffusion.gradient_table import GradientTable, published_scheme
from custom.physics.diffusion.noise import ClippedGaussianNoise
from custom.physics.diffusion.tensor import tensor_signal

__all__ = ["DwiDemo"]

Size = Literal["full", "tiny"]

_UNSEEN_SUBJECT = 1000
_UNSEEN_NOISE = 0.1


@dataclass(frozen=True)
class _Plan:
    """Space and scans of one size of the set; each scan is of another subject."""

    shape: tuple[int, int, int]
    voxel_mm: float
    cells: int
    noise: dict[str, tuple[float, ...]]  # of each split's scans, in units of the median S0

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel index to millimetres, with the origin in the middle."""
        affine = np.diag([self.voxel_mm] * 3 + [1.0])
        affine[:3, 3] = -self.voxel_mm * (np.array(self.shape) - 1) / 2
        return affine


_PLANS: dict[str, _Plan] = {
    "full": _Plan(
        (36, 42, 24),
        4.5,
        30,
        {"training": (0.1,), "validation": (0.1,), "test": (0.02, 0.05, 0.1, 0.2)},
    ),
    "tiny": _Plan(
        (14, 16, 10), 11.0, 8, {"training": (0.1,), "validation": (0.1,), "test": (0.05, 0.2)}
    ),
}


@dataclass(frozen=True)
class _Scan:
    """A phantom and its two series.

    Attributes:
        phantom: The object that was measured.
        noisy: ``(X, Y, Z, M)`` in scanner units.
        clean: The same without noise.
        sigma: Standard deviation of the noise before it was cut at 0, in scanner units.
    """

    phantom: Phantom
    noisy: NDArray[np.float32]
    clean: NDArray[np.float32]
    sigma: float


class DwiDemo(DemonstrationSet):
    """Synthetic heads with the paper's 32 measurements, each scan with one noise level.

    Tensors are of the paper's prior, or mixtures of such; noise is Gaussian and cut at 0, also
    outside the head. Items carry ``sigma``, the noise's deviation in scanner units,
    ``noise_level``, the same in units of the head's median ``S_0``, and the true ``tensor`` and
    ``s0``.

    Args:
        folder: Folder of the set.
        size: ``"full"`` (36 x 42 x 24 x 32, six heads) or ``"tiny"`` (14 x 16 x 10 x 32, four, for
            tests).
        seed: Seed of the heads and of the noise; one seed gives the same set bit for bit.

    Raises:
        ValueError: If ``size`` is unknown or ``seed`` is negative.
    """

    sizes = tuple(_PLANS)
    version = 1

    def __init__(self, folder: str | Path, size: Size = "full", seed: int = 0) -> None:
        super().__init__(folder, size, seed)

    def unseen_scan(self, folder: str | Path) -> Path:
        """Write a noisy series of a head that is in no split, and its noiseless reference.

        Args:
            folder: Where to write ``unseen_dwi.nii.gz`` with its b-values and directions, and, in
                ``reference``, ``unseen_dwi_reference.nii.gz`` with the same.

        Returns:
            Path of the noisy series.
        """
        plan, table = _PLANS[self.size], _scheme()
        scan = _measure(plan, self.seed, _UNSEEN_SUBJECT, _UNSEEN_NOISE)
        path = Path(folder) / "unseen_dwi.nii.gz"
        table.write_beside(path)
        write_volume(path, scan.noisy, plan.affine)
        reference = path.parent / "reference" / "unseen_dwi_reference.nii.gz"
        table.write_beside(reference)
        write_volume(reference, scan.clean, plan.affine)
        return path

    def _write(self) -> None:
        """Measure and write all heads."""
        writer = DatasetWriter(
            self.folder,
            DIFFUSION_SERIES,
            "diffusion phantoms, demonstration",
            "Synthetic heads of tensors of the paper's prior, 32 measurements"
            + (", small for tests" if self.size == "tiny" else ""),
            demonstration=True,
        )
        writer.head["recipe"] = self.recipe
        plan = _PLANS[self.size]
        jobs = [(split, level) for split, levels in plan.noise.items() for level in levels]
        bar = tqdm(jobs, desc="demonstration scans", unit="scan")
        for number, (split, level) in enumerate(bar):
            self._add(writer, plan, number, split, level)
        writer.close()

    def _add(
        self, writer: DatasetWriter, plan: _Plan, number: int, split: str, level: float
    ) -> None:
        """Measure and write one subject."""
        scan = _measure(plan, self.seed, number, level)
        subject = f"phantom{number + 1:02d}"
        arrays: dict[str, NDArray[Any]] = {
            "image": scan.noisy,
            "label": scan.clean,
            "mask": scan.phantom.mask,
            "tensor": scan.phantom.tensor,
            "s0": scan.phantom.s0,
        }
        writer.add(
            split,
            f"{subject}_noise{round(1000 * level):03d}",
            {key: (array, plan.affine) for key, array in arrays.items()},
            _scheme(),
            subject=subject,
            sigma=scan.sigma,
            noise_level=level,
        )


@cache
def _scheme() -> GradientTable:
    """Return the paper's measurements; cached, since spreading directions takes a second."""
    return published_scheme()


def _measure(plan: _Plan, seed: int, subject: int, level: float) -> _Scan:
    """Make a head and measure it; each subject has its own seed."""
    anatomy, noise = np.random.SeedSequence((seed, subject)).spawn(2)
    b_rows = _scheme().b_rows
    phantom = make_phantom(plan.shape, plan.voxel_mm, plan.cells, b_rows, anatomy)
    sigma = level * float(np.median(phantom.s0[phantom.mask > 0]))
    tensors, s0 = torch.from_numpy(phantom.tensor), torch.from_numpy(phantom.s0)
    clean = s0.unsqueeze(-1) * tensor_signal(tensors, b_rows)
    generator = torch.Generator().manual_seed(int(noise.generate_state(1)[0]))
    noisy = ClippedGaussianNoise().add(clean, torch.tensor(sigma), generator)
    return _Scan(phantom, noisy.numpy(), clean.numpy(), sigma)
