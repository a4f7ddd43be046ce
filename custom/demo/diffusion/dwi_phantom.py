"""Demonstration set of ``dwi_vae``: heads with a known tensor in every voxel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from custom.data.datasets.dataset_kinds import DIFFUSION_SERIES
from custom.demo.demonstration_set import DemonstrationSet
from custom.demo.diffusion.dwi_anatomy import make_phantom
from custom.physics.diffusion.gradient_table import GradientTable, published_scheme
from custom.physics.diffusion.noise import ClippedGaussianNoise
from custom.physics.diffusion.tensor import tensor_signal

__all__ = ["DwiDemo"]

_ABOUT = "Synthetic heads of tensors of the paper's prior, 32 measurements"


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


class DwiDemo(DemonstrationSet):
    """Synthetic heads with the paper's 32 measurements, each scan with one noise level.

    Tensors are of the paper's prior, or mixtures of such; noise is Gaussian and cut at 0, also
    outside the head. Items carry ``sigma``, the noise's deviation in scanner units,
    ``noise_level``, the same in units of the head's median ``S_0``, and the true ``tensor`` and
    ``s0``.

    ``full``: 36 x 42 x 24 x 32, six heads; ``tiny``: 14 x 16 x 10 x 32, four. The reference of the
    unseen series has no noise. Arguments as in the base.
    """

    version = 1
    kind = DIFFUSION_SERIES
    title = "diffusion phantoms"
    about: ClassVar = {"full": _ABOUT, "tiny": f"{_ABOUT}, small for tests"}
    subject = "dwi"
    unseen = 1000, "unseen", 0.1

    def _jobs(self) -> list[tuple[int, str, float]]:
        """Return number, split and noise level of each subject."""
        _scheme()  # made once, before several threads ask for it
        noise = _PLANS[self.size].noise
        levels = [(split, level) for split, levels in noise.items() for level in levels]
        return [(number, *job) for number, job in enumerate(levels)]

    def _scan(self, job: tuple[int, str, float]) -> dict[str, Any]:
        """Make a head and measure it; each subject has its own seed."""
        number, split, level = job
        plan = _PLANS[self.size]
        anatomy, noise = np.random.SeedSequence((self.seed, number)).spawn(2)
        b_rows = _scheme().b_rows
        phantom = make_phantom(plan.shape, plan.voxel_mm, plan.cells, b_rows, anatomy)
        # Of the noise before it is cut at 0, in scanner units.
        sigma = level * float(np.median(phantom.s0[phantom.mask > 0]))
        tensors, s0 = torch.from_numpy(phantom.tensor), torch.from_numpy(phantom.s0)
        clean = s0.unsqueeze(-1) * tensor_signal(tensors, b_rows)
        generator = torch.Generator().manual_seed(int(noise.generate_state(1)[0]))
        noisy = ClippedGaussianNoise().add(clean, torch.tensor(sigma), generator)
        arrays: dict[str, NDArray[Any]] = {
            "image": noisy.numpy(),
            "label": clean.numpy(),
            "mask": phantom.mask,
            "tensor": phantom.tensor,
            "s0": phantom.s0,
        }
        subject = f"phantom{number + 1:02d}"
        return {
            "split": split,
            "scan": f"{subject}_noise{round(1000 * level):03d}",
            "images": {key: (array, plan.affine) for key, array in arrays.items()},
            "table": _scheme(),
            "subject": subject,
            "sigma": sigma,
            "noise_level": level,
        }


@cache
def _scheme() -> GradientTable:
    """Return the paper's measurements; cached, since spreading directions takes a second."""
    return published_scheme()
