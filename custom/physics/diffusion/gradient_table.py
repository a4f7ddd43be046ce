"""The gradient table of a diffusion scan: b-values and directions, read or of a stated scheme."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from custom.errors import InputError
from custom.files.atomic import atomic_path
from custom.files.reader import name_of
from custom.files.text_files import read_text
from custom.physics.diffusion.tensor import b_matrix, tensor_matrices

__all__ = [
    "UNWEIGHTED_UP_TO",
    "GradientTable",
    "published_scheme",
    "read_gradient_table",
    "spread_directions",
    "table_of_rows",
    "tables_beside",
    "tables_of",
]

_LENGTH_TOLERANCE = 0.05  # of a direction; scanners round to three digits
# s/mm²: up to it a volume counts as b = 0. Nominally 50, DIPY's b0_threshold; scanners write a
# requested 50 as 51 or 52, so 5 are added: the same tolerance as between a volume's b-value and
# its measurement's where both are small (b_tolerance).
UNWEIGHTED_UP_TO = 55.0
_HIGHEST = 50_000.0  # s/mm²: beyond it the unit is wrong
_LONGEST_TABLE = 2**20  # bytes; of 50,000 directions
_STEPS, _ROUNDS = 4000, 5  # of electrostatic repulsion


@dataclass(frozen=True)
class GradientTable:
    """b-values and directions of a scan's volumes.

    Attributes:
        bvals: ``(M,)`` in s/mm².
        bvecs: ``(M, 3)`` unit vectors, zeros where there is no weighting.
    """

    bvals: NDArray[np.float64]
    bvecs: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.bvals)

    @property
    def unweighted(self) -> NDArray[np.bool_]:
        """Volumes that count as b = 0: 50 s/mm² nominally, up to 55 as tables hold them."""
        return np.asarray(self.bvals <= UNWEIGHTED_UP_TO)

    @property
    def b_rows(self) -> Tensor:
        """Rows of :func:`custom.physics.diffusion.tensor.b_matrix`, ``(M, 6)``, float32."""
        return b_matrix(torch.from_numpy(self.bvals), torch.from_numpy(self.bvecs)).float()

    def select(self, index: Any) -> GradientTable:
        """Return the table of some volumes."""
        return GradientTable(self.bvals[index], self.bvecs[index])

    def write(self, bval: str | Path, bvec: str | Path) -> None:
        """Write FSL's two files."""
        with atomic_path(bval) as temporary:
            temporary.write_text(" ".join(f"{value:.10g}" for value in self.bvals) + "\n")
        with atomic_path(bvec) as temporary:
            rows = (" ".join(f"{value:.8g}" for value in row) for row in self.bvecs.T)
            temporary.write_text("\n".join(rows) + "\n")

    def write_beside(self, image: str | Path) -> None:
        """Write the two files where :func:`tables_beside` looks for those of an image."""
        self.write(*tables_beside(image))


def table_of_rows(b_rows: Tensor) -> GradientTable:
    """Return the gradient table of rows of b-matrices; the sign of a direction is arbitrary.

    Args:
        b_rows: ``(M, 6)`` of :func:`custom.physics.diffusion.tensor.b_matrix`.
    """
    rows = b_rows.double().cpu()
    bvals = rows[:, :3].sum(1)  # the trace of b g g^T
    # A row holds each mixed product twice, the matrix g g^T once at either place.
    halves = torch.cat([rows[:, :3], rows[:, 3:] / 2], 1)
    # b g g^T has one eigenvalue that is not 0, the last in ascending order; its vector is g.
    bvecs = torch.linalg.eigh(tensor_matrices(halves))[1][:, :, -1]
    bvecs[bvals <= 0] = 0.0
    # Rounded: rounding errors must not lift a b-value above the highest one that is unweighted.
    return GradientTable((bvals * 1e3).round(decimals=3).numpy(), bvecs.numpy())


def tables_beside(image: str | Path) -> tuple[Path, Path]:
    """Return the default paths of a scan's tables: same name, ``.bval`` and ``.bvec``."""
    name, _ = name_of(image)
    folder = Path(image).parent
    return folder / f"{name}.bval", folder / f"{name}.bvec"


def tables_of(
    image: str | Path, bval: str | Path | None = None, bvec: str | Path | None = None
) -> tuple[Path, Path]:
    """Return a scan's two files: those that are given, else those beside it."""
    beside = tables_beside(image)
    named = (Path(str(file)).expanduser() if file is not None else None for file in (bval, bvec))
    first, second = (file or other for file, other in zip(named, beside, strict=True))
    return first, second


def read_gradient_table(bval: str | Path, bvec: str | Path) -> GradientTable:
    """Read FSL's two text files.

    Directions may stand in rows or in columns. Those of unweighted volumes (up to
    ``UNWEIGHTED_UP_TO``) may be anything; all others must have the length 1, and are brought to it
    exactly.

    Args:
        bval: File of b-values in s/mm².
        bvec: File of directions.

    Raises:
        InputError: If a file is missing or is no table of numbers, the numbers of both differ, a
            b-value is negative, not finite or beyond reason, a direction has not the length 1, or
            nothing is weighted.
    """
    bval, bvec = Path(bval), Path(bvec)
    bvals = _numbers(bval).reshape(-1)
    bvecs = _numbers(bvec)
    if bvecs.ndim != 2 or 3 not in bvecs.shape:
        raise InputError(f"{bvec}: must hold three numbers a volume, got {bvecs.shape}")
    # Of three volumes both forms are 3 x 3: FSL's own is taken then.
    if bvecs.shape[1] != 3 or (bvecs.shape[0] == 3 and len(bvals) == 3):
        bvecs = bvecs.T  # FSL's form: three lines
    if len(bvals) != len(bvecs):
        raise InputError(
            f"{bval} has {len(bvals)} b-values, {bvec} {len(bvecs)} directions: they are not of "
            "one scan"
        )
    if not np.isfinite(bvals).all() or (bvals < 0).any() or (bvals > _HIGHEST).any():
        odd = bvals[~(np.isfinite(bvals) & (bvals >= 0) & (bvals <= _HIGHEST))][0]
        raise InputError(f"{bval}: {odd:g} is no b-value in s/mm²: 0 to {_HIGHEST:g} are")
    table = GradientTable(bvals, bvecs)
    weighted = ~table.unweighted
    if not weighted.any():
        raise InputError(
            f"{bval}: no volume is diffusion-weighted (above {UNWEIGHTED_UP_TO:g} s/mm²)"
        )
    return GradientTable(bvals, _unit(bvecs, weighted, bvec))


def _unit(
    bvecs: NDArray[np.float64], weighted: NDArray[np.bool_], file: Path
) -> NDArray[np.float64]:
    """Normalise directions; unweighted volumes without one get zeros."""
    lengths = np.linalg.norm(bvecs, axis=1)
    # Not "> tolerance": a direction of NaN must be refused, too.
    odd = weighted & ~(np.abs(lengths - 1) <= _LENGTH_TOLERANCE)
    if odd.any():
        first = int(np.flatnonzero(odd)[0])
        raise InputError(
            f"{file}: the direction of volume {first} has the length {lengths[first]:.3g}, not 1: "
            "a weighted volume needs its direction (a mean or trace image has none: leave it out)"
        )
    usable = np.isfinite(lengths) & (np.abs(lengths - 1) <= _LENGTH_TOLERANCE)
    # Unweighted volumes often have the length 0: 0 / 0, which where() throws away.
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(usable[:, None], bvecs / lengths[:, None], 0.0)


def _numbers(path: Path) -> NDArray[np.float64]:
    """Read a text table."""
    if not path.is_file():
        raise InputError(
            f"{path}: missing: b-values and directions must lie beside the scan, or be named by "
            "--bval FILE and --bvec FILE"
        )
    try:
        text = read_text(path, _LONGEST_TABLE)
        lines = [line.replace(",", " ").split() for line in text.splitlines()]
        rows = [[float(word) for word in line] for line in lines if line]
        # Lines of different lengths raise ValueError here.
        table = np.array(rows, dtype=float)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: is no table of numbers ({str(error).splitlines()[0]})"
        ) from error
    if table.size == 0:
        raise InputError(f"{path}: empty")
    return table


def spread_directions(count: int, seed: int = 0) -> NDArray[np.float64]:
    """Spread directions over the half sphere by electrostatic repulsion.

    Charges repel each other and their opposites. Runs until the last half of the steps has lowered
    the energy by no more than a thousandth: sometimes two charges stay close together for thousands
    of steps.

    Args:
        count: Number of directions.
        seed: Seed of the random start.

    Shape:
        ``(count, 3)`` unit vectors.

    Source:
        D. K. Jones, M. A. Horsfield, A. Simmons, Magnetic Resonance in Medicine 42 (1999), 515-525.
    """
    from dipy.core.sphere import HemiSphere, disperse_charges

    start = np.random.default_rng(seed).normal(size=(count, 3))
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    # A half sphere, since g and -g are the same measurement.
    sphere = HemiSphere(xyz=start)
    for _ in range(_ROUNDS):
        sphere, energy = disperse_charges(sphere, _STEPS)
        if energy[_STEPS // 2] <= 1.001 * energy[-1]:
            break
    return np.asarray(sphere.vertices, dtype=float)


def published_scheme(seed: int = 0) -> GradientTable:
    """Return the paper's 32 measurements: b = 50, thirty directions of b = 1000, b = 50.

    The paper does not print its directions; ours are spread evenly, and the two of b = 50 are the
    first and the last of them.

    Source:
        docs/methods/dwi_vae.md, "Simulation".
    """
    directions = spread_directions(30, seed)
    bvals = np.array([50.0, *[1000.0] * 30, 50.0])
    return GradientTable(bvals, np.concatenate([directions[:1], directions, directions[-1:]]))
