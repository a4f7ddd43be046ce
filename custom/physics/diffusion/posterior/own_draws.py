"""Importance sampling for weak noise: each signal has its own draws, around its fit."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from custom.physics.diffusion.noise import NoiseModel
from custom.physics.diffusion.posterior.importance_sampling import WeightedSums, unknown_scale
from custom.physics.diffusion.priors import BoxPrior
from custom.physics.diffusion.tensor import tensor_signal
from custom.physics.diffusion.tensor_fit import clip_to_box, fit_non_linear

__all__ = ["OwnDraws", "StudentProposal"]

_VALUES = 4_000_000  # noiseless values held at a time, 16 MB
# A proposal that is too wide wastes draws; one too narrow gives a few draws all the weight.
_INFLATION = 1.3  # of a proposal's covariance
_MOST_PILOTS, _PILOT_DRAWS = 8, 1000  # bounds the time for signals whose fit is far off
_FAIR_SIZE = 150  # effective sample size of a pilot: enough for the 21 numbers of a covariance
_KEPT = 0.02  # share of the first covariance that stays in later ones
# Inverse variances of uniform elements, 3 wide on the diagonal and 2 wide beside it.
_BOX_PRECISION = (12 / 9,) * 3 + (12 / 4,) * 3
_INTERIOR = (1.5,) * 3 + (0.0,) * 3  # well inside of the box


class StudentProposal:
    r"""Multivariate Student distribution around given centres, with heavier tails than a Gaussian.

    Args:
        centre: ``(n, P)``.
        covariance: Covariance of the Gaussian, ``(n, P, P)``.
        freedom: Degrees of freedom; fewer give heavier tails.
    """

    def __init__(self, centre: Tensor, covariance: Tensor, freedom: int = 5) -> None:
        self.centre, self.freedom = centre, freedom
        self._root = torch.linalg.cholesky(covariance)

    def draw(self, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draw points, and return the log density up to a constant of each centre.

        Shape:
            Points: ``(n, count, P)``; logarithms: ``(n, count)``.
        """
        rows, size = self.centre.shape
        # Chi-square as a mean of squares: torch.distributions takes no generator.
        normal = self.centre.new_empty(rows, count, size + self.freedom)
        normal.normal_(generator=generator)
        direction, rest = normal[..., :size], normal[..., size:]
        direction = direction * rest.square().mean(2, keepdim=True).rsqrt()
        points = self.centre.unsqueeze(1) + direction @ self._root.transpose(1, 2)
        log_density = torch.log1p(direction.square().sum(2) / self.freedom)
        return points, -0.5 * (size + self.freedom) * log_density


class OwnDraws:
    r"""Weighted draws for each signal, from a proposal that is adapted to its posterior.

    The first proposal is centred at the non-linear least-squares fit, moved into the box, with the
    covariance :math:`(J^T J / \sigma^2 + P)^{-1}`, where ``P`` is the precision of the box. Mean
    and covariance are then replaced by those of weighted draws; where few draws would dominate, the
    weights are flattened by a power. This is repeated until no weights need flattening, which takes
    several rounds where the fit is far off: with Rician noise above the signal. The draws that are
    used come after that.

    Args:
        noise: Noise of the measurements.
        b_rows: ``(M, 6)`` of :func:`custom.physics.diffusion.tensor.b_matrix`.
        draws: Draws for each signal, at least 2.
        scale_known: Whether ``S_0`` is 1; otherwise it is integrated out
            (:func:`custom.physics.diffusion.posterior.importance_sampling.unknown_scale`).

    Source:
        O. Cappé, A. Guillin, J.-M. Marin, C. P. Robert, Journal of Computational and Graphical
        Statistics 13 (2004), 907-929.
    """

    def __init__(
        self, noise: NoiseModel, b_rows: Tensor, draws: int, *, scale_known: bool = True
    ) -> None:
        self.noise, self.b_rows, self.draws = noise, b_rows.float(), draws
        self.scale_known = scale_known
        self.rows_at_once = max(1, _VALUES // (max(draws, _PILOT_DRAWS) * len(b_rows)))

    def __call__(
        self, noisy: Tensor, sigma: float, generator: Generator
    ) -> tuple[WeightedSums, WeightedSums]:
        """Return the sums over either half of the draws.

        Args:
            noisy: A few signals in units of ``S_0``, at most ``rows_at_once`` for the memory's
                sake.
            sigma: Standard deviation of their noise.
            generator: Random generator.

        Shape:
            ``noisy``: ``(n, M)``.
        """
        noisy = noisy.float()
        centre, covariance = self._fit(noisy, sigma)
        proposal = StudentProposal(centre, _INFLATION * covariance)
        for pilot in range(_MOST_PILOTS):
            points, _, weights, _ = self._weigh(noisy, sigma, proposal, _PILOT_DRAWS, generator)
            mean, spread, fair = _adapted(points, weights)
            # A share of the first covariance keeps a proposal of few draws from collapsing.
            proposal = StudentProposal(mean, _INFLATION * spread + _KEPT * covariance)
            if fair and pilot > 0:
                break
        # Fresh draws: those of the pilots shaped the proposal, and would bias the sums.
        points, signal, weights, factor = self._weigh(noisy, sigma, proposal, self.draws, generator)
        halves = WeightedSums(len(noisy), noisy.device), WeightedSums(len(noisy), noisy.device)
        middle = self.draws // 2
        for half, part in zip(halves, (slice(middle), slice(middle, None)), strict=True):
            factors = None if factor is None else (factor[0][:, part], factor[1][:, part])
            # Double precision: the variance is a small difference of squares.
            values = signal[:, part].double(), points[:, part].double()
            half.add(weights[:, part].double(), *values, factors)
        return halves

    def _fit(self, noisy: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """Return centre ``(n, 6)`` and covariance ``(n, 6, 6)`` of the first proposal."""
        tensors, scale = fit_non_linear(noisy, self.b_rows, scale_known=self.scale_known)
        centre = _brought_inside(clip_to_box(tensors), self.b_rows)
        decay = tensor_signal(centre, self.b_rows)
        signal = scale.unsqueeze(1) * decay
        jacobian = signal.unsqueeze(2) * self.b_rows
        if not self.scale_known:  # only changes that no scale explains inform on the tensor
            unit = torch.nn.functional.normalize(decay, dim=1).unsqueeze(2)
            jacobian = jacobian - unit * (unit * jacobian).sum(1, keepdim=True)
        precision = jacobian.transpose(1, 2) @ jacobian / sigma**2
        precision += torch.diag(precision.new_tensor(_BOX_PRECISION))
        return centre, torch.linalg.inv(precision)

    def _weigh(
        self,
        noisy: Tensor,
        sigma: float,
        proposal: StudentProposal,
        count: int,
        generator: Generator,
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor] | None]:
        """Return tensors drawn, their signals, log weights, and the scales of the signals."""
        points, log_density = proposal.draw(count, generator)
        signal = tensor_signal(points, self.b_rows)
        factor = None
        if self.scale_known:
            level = noisy.new_tensor(sigma)
            weights = self.noise.log_likelihood(noisy.unsqueeze(1), signal, level)
        else:
            product = (signal @ noisy.unsqueeze(2)).squeeze(2)
            weights, factor = unknown_scale(product, signal.square().sum(2), sigma)
        # The prior is constant inside of its box, so likelihood over proposal is the weight.
        inside = BoxPrior.contains(points, self.b_rows)
        weights = torch.where(inside, weights - log_density, -torch.inf)
        return points, signal, weights, factor


def _brought_inside(tensors: Tensor, b_rows: Tensor) -> Tensor:
    """Move tensors towards the middle of the prior's convex region until they lie in it."""
    # As little as necessary: the shares grow until even the middle itself, at 1, is reached.
    interior = tensors.new_tensor(_INTERIOR)
    for share in (0.0, 0.02, 0.1, 0.3, 1.0):
        outside = ~BoxPrior.contains(tensors, b_rows).unsqueeze(1)
        tensors = torch.where(outside, torch.lerp(tensors, interior, share), tensors)
    return tensors


def _adapted(points: Tensor, log_weights: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Return mean and covariance of weighted points, and whether no weights were flattened."""
    nowhere = log_weights.isinf().all(1, keepdim=True)  # keep the proposal
    log_weights = torch.where(nowhere, torch.zeros_like(log_weights), log_weights)
    weights = torch.softmax(log_weights, 1)
    fair = True
    for _ in range(8):
        few = weights.square().sum(1, keepdim=True) * _FAIR_SIZE > 1
        if not few.any():
            break
        fair = False
        log_weights = torch.where(few, 0.6 * log_weights, log_weights)
        weights = torch.softmax(log_weights, 1)
    mean = weights.unsqueeze(1) @ points
    deviation = points - mean
    spread = (weights.unsqueeze(2) * deviation).transpose(1, 2) @ deviation
    return mean.squeeze(1), spread, fair
