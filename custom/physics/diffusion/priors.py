"""Priors of diffusion signals: distributions of tensors and of crossing fibres."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Generator, Tensor

from custom.physics.diffusion.tensor import tensor_signal
from custom.setting_checks import check_bounds, check_share, check_whole

__all__ = [
    "BallAndSticksPrior",
    "BoxPrior",
    "Draw",
    "EigenvaluePrior",
    "MixturePrior",
    "SignalPrior",
    "TensorLattice",
]

_DIAGONAL, _OFF_DIAGONAL = 3.0, 1.0  # µm²/ms


@dataclass(frozen=True)
class Draw:
    """Noiseless signals and their tensors.

    Attributes:
        signal: ``(n, M)``, in units of ``S_0``.
        tensor: ``(n, 6)`` in µm²/ms; None where the signals are not of one tensor.
    """

    signal: Tensor
    tensor: Tensor | None

    def first(self, count: int) -> Draw:
        """Return the first ``count``."""
        return Draw(self.signal[:count], None if self.tensor is None else self.tensor[:count])


class SignalPrior(Protocol):
    """A distribution of noiseless signals."""

    num_parameters: int

    def draw(self, count: int, b_rows: Tensor, generator: Generator) -> Draw:
        """Draw ``count`` signals of the measurements ``b_rows``, on the generator's device."""
        ...


class BoxPrior:
    r"""Tensors uniform in the paper's box, without those that the paper discards.

    Diagonal elements lie in 0..3 µm²/ms, the others in -1..1. Kept are tensors whose smallest
    diagonal element is not below their largest signed off-diagonal one, and whose signal nowhere
    exceeds ``S_0``. Not all of them are positive definite, as in the paper.

    Source:
        docs/methods/dwi_vae.md, "Simulation": the rule is not in the text, and was inferred from
        the number of signals that the paper kept.
    """

    num_parameters = 6

    def draw(self, count: int, b_rows: Tensor, generator: Generator) -> Draw:
        """Draw tensors and their signals.

        Args:
            count: Number of tensors.
            b_rows: ``(M, 6)`` of :func:`custom.physics.diffusion.tensor.b_matrix`.
            generator: Random generator.
        """
        device = generator.device
        b_rows = b_rows.to(device)
        scale = torch.tensor([_DIAGONAL] * 3 + [2 * _OFF_DIAGONAL] * 3, device=device)
        shift = torch.tensor([0.0] * 3 + [_OFF_DIAGONAL] * 3, device=device)
        kept: list[Tensor] = []
        missing = count
        while missing > 0:
            # About two in five are kept, hence 2.6 draws for each that is missing.
            drawn = torch.rand(int(missing * 2.6) + 64, 6, generator=generator, device=device)
            tensors = drawn * scale - shift
            tensors = tensors[self.contains(tensors, b_rows)][:missing]
            kept.append(tensors)
            missing -= len(tensors)
        tensors = torch.cat(kept)
        return Draw(tensor_signal(tensors, b_rows), tensors)

    @staticmethod
    def contains(tensors: Tensor, b_rows: Tensor) -> Tensor:
        """Return True for tensors ``(*, 6)`` of the prior's support, given rows ``(M, 6)``."""
        diagonal, rest = tensors[..., :3], tensors[..., 3:]
        inside = (diagonal >= 0).all(-1) & (diagonal <= _DIAGONAL).all(-1)
        inside &= (rest.abs() <= _OFF_DIAGONAL).all(-1)
        inside &= diagonal.amin(-1) >= rest.amax(-1)
        # An exponent b g^T D g below 0 is a signal above S_0.
        return inside & (tensors @ b_rows.T).amin(-1).ge(0.0)


class TensorLattice:
    """All tensors of a lattice, as the paper's data set: ``points`` values an element.

    Args:
        points: Values of each element, evenly spread over the box of :class:`BoxPrior`; 10 in the
            paper, for 428 thousand tensors.

    Raises:
        ValueError: If ``points`` is less than 2.

    Source:
        docs/methods/dwi_vae.md, "Simulation".
    """

    num_parameters = 6

    def __init__(self, points: int = 10) -> None:
        check_whole("points", points, 2)
        self.points = points

    def tensors(self, b_rows: Tensor) -> Tensor:
        """Return every tensor that is kept, ``(n, 6)``, on the device of ``b_rows``.

        In double precision, and with NumPy's steps: where a diagonal element equals an off-diagonal
        one (at 1/3 and at 1 µm²/ms) their rounding decides, as it must have in the paper.
        """
        device, b_double = b_rows.device, b_rows.double()
        diagonal = torch.from_numpy(np.linspace(0, _DIAGONAL * 1e-3, self.points)).to(device)
        rest = torch.from_numpy(np.linspace(-1e-3, 1e-3, self.points) * _OFF_DIAGONAL).to(device)
        # One value of the first element at a time, so that the whole lattice is never in memory.
        blocks = []
        for first in diagonal:
            grid = torch.cartesian_prod(diagonal, diagonal, rest, rest, rest)
            block = torch.cat([first.expand(len(grid), 1), grid], 1)
            block = block[block[:, :3].amin(1) >= block[:, 3:].amax(1)]
            blocks.append(block[(block @ b_double.T).amin(1) >= 0] * 1e3)
        return torch.cat(blocks).float()

    def draw(self, count: int, b_rows: Tensor, generator: Generator) -> Draw:
        """Draw tensors of the lattice, with replacement, and their signals."""
        b_rows = b_rows.to(generator.device)
        tensors = self.tensors(b_rows)
        index = torch.randint(len(tensors), (count,), generator=generator, device=generator.device)
        return Draw(tensor_signal(tensors[index], b_rows), tensors[index])


class EigenvaluePrior:
    """Tensors of three random diffusivities and a random rotation: isotropic in direction.

    The paper's box is not isotropic: it has no fibre along a diagonal of the scanner's axes, but a
    brain has. Here the three diffusivities are uniform and independent, and a share of the tensors
    has one fast and two equal slow ones, as in coherent white matter.

    Args:
        lowest: Smallest diffusivity, in µm²/ms.
        highest: Largest; free water at body temperature has 3.0.
        fibre_share: Share of tensors with two equal slower diffusivities.

    Raises:
        ValueError: If a bound is no positive number or the share is outside 0..1.
    """

    num_parameters = 6

    def __init__(
        self, lowest: float = 0.05, highest: float = 3.2, fibre_share: float = 0.5
    ) -> None:
        check_bounds(lowest, highest)
        check_share("fibre_share", fibre_share)
        self.lowest, self.highest, self.fibre_share = lowest, highest, fibre_share

    def draw(self, count: int, b_rows: Tensor, generator: Generator) -> Draw:
        """Draw tensors and their signals."""
        device = generator.device
        values = torch.rand(count, 3, generator=generator, device=device)
        values = self.lowest + (self.highest - self.lowest) * values
        ordered = values.sort(1, descending=True).values
        fibre = torch.rand(count, generator=generator, device=device) < self.fibre_share
        slow = ordered[:, 2:].expand(-1, 2)
        ordered = torch.where(fibre.unsqueeze(1), torch.cat([ordered[:, :1], slow], 1), ordered)
        rotation = _random_rotations(count, generator)
        matrix = rotation @ torch.diag_embed(ordered) @ rotation.transpose(1, 2)
        rows, columns = [0, 1, 2, 0, 0, 1], [0, 1, 2, 1, 2, 2]
        tensors = matrix[:, rows, columns]
        return Draw(tensor_signal(tensors, b_rows.to(device)), tensors)


class BallAndSticksPrior:
    r"""Crossing fibres: isotropic water and sticks of one diffusivity.

    .. math:: S / S_0 = (1 - \textstyle\sum_i f_i) e^{-b d} + \sum_i f_i e^{-b d (g \cdot n_i)^2}

    with ``d`` uniform, fractions from a flat Dirichlet distribution, and directions uniform on the
    sphere.

    Args:
        sticks: Number of fibres, 1 to 3.
        lowest: Smallest diffusivity, in µm²/ms.
        highest: Largest.

    Raises:
        ValueError: If ``sticks`` is no number of 1 to 3, a bound is not positive, or the bounds are
            not in order.

    Source:
        docs/methods/dwi_vae.md, "Asked for by the paper"; T. E. J. Behrens et al., Magnetic
        Resonance in Medicine 50 (2003), 1077-1088.
    """

    def __init__(self, sticks: int = 2, lowest: float = 0.1, highest: float = 3.0) -> None:
        check_whole("sticks", sticks, 1)
        if sticks > 3:
            raise ValueError(f"sticks must be at most 3, got {sticks}")
        check_bounds(lowest, highest)
        self.sticks: Literal[1, 2, 3] = sticks  # type: ignore[assignment]  # checked above
        self.lowest, self.highest = lowest, highest
        self.num_parameters = 1 + 3 * sticks

    def draw(self, count: int, b_rows: Tensor, generator: Generator) -> Draw:
        """Draw mixtures and their signals."""
        device = generator.device
        b_rows = b_rows.to(device)
        diffusivity = torch.rand(count, 1, generator=generator, device=device)
        diffusivity = self.lowest + (self.highest - self.lowest) * diffusivity
        # A flat Dirichlet distribution: normalised exponential variables. A uniform draw can be 0
        # but never 1, so log1p(-u) is finite.
        uniform = torch.rand(count, self.sticks + 1, generator=generator, device=device)
        parts = -torch.log1p(-uniform)
        fractions = parts / parts.sum(1, keepdim=True)
        # Normal vectors have no preferred direction; uniform angles would crowd at the poles.
        directions = torch.randn(count, self.sticks, 3, generator=generator, device=device)
        directions = torch.nn.functional.normalize(directions, dim=2)
        return Draw(self.signal(diffusivity, fractions[:, 1:], directions, b_rows), None)

    @staticmethod
    def signal(
        diffusivity: Tensor, fractions: Tensor, directions: Tensor, b_rows: Tensor
    ) -> Tensor:
        """Return the signals of mixtures.

        Shape:
            ``diffusivity``: ``(n, 1)`` in µm²/ms; ``fractions``: ``(n, K)``; ``directions``: unit
            vectors ``(n, K, 3)``; ``b_rows``: ``(M, 6)``; output: ``(n, M)``.
        """
        bvals = b_rows[:, :3].sum(1)  # the trace of b g g^T
        ball = torch.exp(-diffusivity * bvals)
        x, y, z = directions.unbind(2)
        along = torch.stack([x * x, y * y, z * z, x * y, x * z, y * z], 2) @ b_rows.T
        sticks = torch.exp(-diffusivity.unsqueeze(2) * along)
        free = 1 - fractions.sum(1, keepdim=True)
        return free * ball + (fractions.unsqueeze(2) * sticks).sum(1)


class MixturePrior:
    r"""A share of voxels with two compartments of another prior: crossing fibres, partial volume.

    .. math:: S = f S_1 + (1 - f) S_2

    with ``f`` uniform in 0..1 and two independent draws. The tensor of a voxel is unknown, since
    not every signal is of one.

    Args:
        prior: Prior of a compartment.
        share: Share of voxels with two.

    Raises:
        ValueError: If the share is outside 0..1.
    """

    def __init__(self, prior: SignalPrior, share: float = 0.5) -> None:
        check_share("share", share)
        self.prior, self.share = prior, share
        # Bounds of errors count those of one compartment: what most voxels can be restored to.
        self.num_parameters = prior.num_parameters

    def draw(self, count: int, b_rows: Tensor, generator: Generator) -> Draw:
        """Draw one or two compartments a voxel."""
        first = self.prior.draw(count, b_rows, generator).signal
        second = self.prior.draw(count, b_rows, generator).signal
        mixed, fraction = torch.rand((2, count, 1), generator=generator, device=generator.device)
        fraction = torch.where(mixed < self.share, fraction, 1.0)
        return Draw(second + fraction * (first - second), None)


def _random_rotations(count: int, generator: Generator) -> Tensor:
    """Return uniformly distributed rotations, from random unit quaternions, ``(count, 3, 3)``."""
    quaternion = torch.randn(count, 4, generator=generator, device=generator.device)
    w, x, y, z = torch.nn.functional.normalize(quaternion, dim=1).unbind(1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        *(2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        *(2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows, 1).reshape(count, 3, 3)
