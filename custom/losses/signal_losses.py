"""Losses of networks that restore diffusion signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from custom.physics.diffusion.error_scales import ErrorScales, expected_squared_error
from custom.setting_checks import check_choice

__all__ = ["PosteriorMomentsLoss", "Reconstruction", "VariationalLoss", "kl_divergence"]

Reconstruction = Literal["huber", "l1", "mse"]
_RECONSTRUCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "huber": nn.functional.huber_loss,
    "l1": nn.functional.l1_loss,
    "mse": nn.functional.mse_loss,
}


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""Return the divergence of normal latents from standard normal ones, in nats.

    .. math:: D = -\tfrac12 \sum_j (1 + \log \sigma_j^2 - \mu_j^2 - \sigma_j^2)

    Shape:
        ``(B, L)`` both; output: ``(B,)``, 0 or more.

    Erratum:
        Printed as ``-L_reconstruction + beta L_KLD`` with the sign of this sum reversed as well
        (equations 3 and 4): minimised so, the reconstruction would get worse. Ours minimises the
        sum of both terms.

    Source:
        docs/methods/dwi_vae.md, "Loss".
    """
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)


class _TermsKept(nn.Module):
    """A loss that holds the terms of its last call, for the log."""

    def __init__(self) -> None:
        super().__init__()
        self.terms: dict[str, Tensor] = {}

    def keep(self, **terms: Tensor) -> None:
        """Hold the terms of this call, without their graph."""
        self.terms = {name: value.detach() for name, value in terms.items()}


class VariationalLoss(_TermsKept):
    r"""Reconstruction error and, for variational latents, their divergence from the prior.

    .. math:: L = \lambda\, L_\text{rec} + w\, \overline{D_{KL}}, \qquad
        w = \min(w_\text{max},\; w_1 (\text{epoch} - \text{start} + 1))

    with ``w = 0`` before the epoch ``start``.

    Args:
        reconstruction: ``huber`` (with a threshold of 1 it is half of the squared error here),
            ``l1`` or ``mse``, each the mean over signals.
        scale: ``lambda``. Without it the divergence outweighs the reconstruction, and all latents
            but one collapse (docs/methods/dwi_vae.md, "Loss"): the published code has 300, the text
            no value.
        kld_step: ``w_1``, the growth of the weight per epoch; None: the weight is ``kld_weight``
            from ``kld_start`` on.
        kld_weight: ``w_max``; 0 switches the divergence off.
        kld_start: First epoch (from 1) with the divergence; a later one is the source's delayed
            start.

    Shape:
        Prediction: ``(B, M)``, or ``(B, M + 2 L)`` as ``SignalAutoencoder`` gives it with latents;
        target: ``(B, M + 1)``, clean signals and the noise level, which is not used here.

    Raises:
        ValueError: If ``reconstruction`` is unknown or a number is out of its range.

    Source:
        docs/methods/dwi_vae.md, "Loss" and "Training" (table 1).
    """

    def __init__(
        self,
        reconstruction: Reconstruction = "huber",
        scale: float = 300.0,
        kld_weight: float = 1.5e-3,
        kld_step: float | None = 1.0e-4,
        kld_start: int = 2,
    ) -> None:
        super().__init__()
        check_choice("reconstruction", reconstruction, _RECONSTRUCTIONS)
        if not scale > 0 or not kld_weight >= 0 or kld_start < 1:
            raise ValueError(
                "scale must be positive, kld_weight 0 or more and kld_start at least 1, got "
                f"{scale}, {kld_weight}, {kld_start}"
            )
        if kld_step is not None and not kld_step > 0:
            raise ValueError(f"kld_step must be positive or None, got {kld_step}")
        self.reconstruction = reconstruction
        self.scale = scale
        self.kld_weight, self.kld_step, self.kld_start = kld_weight, kld_step, kld_start
        self.set_epoch(1)

    def set_epoch(self, epoch: int) -> None:
        """Set the weight of the divergence for an epoch, counted from 1."""
        grown = epoch - self.kld_start + 1
        if grown < 1:
            self.weight = 0.0
        elif self.kld_step is None:
            self.weight = self.kld_weight
        else:
            self.weight = min(self.kld_weight, self.kld_step * grown)

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch."""
        clean = target[:, :-1]
        measurements = clean.shape[1]
        restored, latents = prediction[:, :measurements], prediction[:, measurements:]
        error = _RECONSTRUCTIONS[self.reconstruction](restored, clean)
        # Signals alone come from plain autoencoders, and in validation.
        if latents.shape[1] == 0:
            self.keep(reconstruction=error)
            return self.scale * error
        mean, log_variance = latents.chunk(2, dim=1)
        divergence = kl_divergence(mean, log_variance).mean()
        self.keep(reconstruction=error, kld=divergence)
        return self.scale * error + self.weight * divergence


class PosteriorMomentsLoss(_TermsKept):
    r"""Squared error over the expected one, and negative log-likelihood of the deviation.

    .. math:: L = \overline{(\hat y - y)^2 / s^2}
        + \overline{\tfrac12 (r^2 / \hat\sigma^2 + \log \hat\sigma^2 / s^2)}

    The minimum is the posterior mean at every noise level: dividing by the expected squared error
    :math:`s^2` gives weak noise, with its small errors, the same weight as strong noise. In the
    second term the residual :math:`r = \hat y - y` is detached, so that the minimum of
    :math:`\hat\sigma^2` is the posterior variance and :math:`\hat y` gets no gradient from it.

    Args:
        scales: Expected errors of the simulation that is trained on.
        of_tensor: True if the tensor is estimated, False if the signals are.

    Shape:
        Prediction: ``(B, 2 K)``, estimates and deviations; target: ``(B, K + 1)``, truth and noise
        level.

    Source:
        docs/methods/dwi_vae.md, "Recipe" (the division); D. A. Nix, A. S. Weigend, ICNN 1994, 55-60
        (the second term).
    """

    bound: Tensor
    variance: Tensor

    def __init__(self, scales: ErrorScales, of_tensor: bool = False) -> None:
        super().__init__()
        self.register_buffer("bound", scales.tensor_bound if of_tensor else scales.signal_bound)
        self.register_buffer(
            "variance", scales.tensor_variance if of_tensor else scales.signal_variance
        )

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch."""
        truth, sigma = target[:, :-1], target[:, -1:]
        mean, deviation = prediction.chunk(2, dim=1)
        expected = expected_squared_error(sigma, self.bound, self.variance)
        residual = mean - truth
        # One scale for all elements of a tensor: the tables give their mean error, too.
        error = (residual.square() / expected.mean(1, keepdim=True)).mean()
        ratio = deviation.square() / expected
        surprise = residual.detach().square() / expected / ratio
        likelihood = 0.5 * (surprise + ratio.log()).mean()
        self.keep(relative_error=error, deviation_likelihood=likelihood)
        return error + likelihood
