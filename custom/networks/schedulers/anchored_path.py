"""Process that runs from a clean image to its measured noisy pair, and back."""

from __future__ import annotations

import logging
import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from custom.networks.schedulers.diffusion_process import column, even_steps
from custom.networks.schedulers.noise_profiles import noise_profile as profile_of_path
from custom.setting_checks import check_above_zero, check_choice

__all__ = ["AnchoredPathScheduler", "Parameterisation"]

logger = logging.getLogger(__name__)

Parameterisation = Literal["path", "scaled_path", "noise_schedule"]


class AnchoredPathScheduler(nn.Module):
    r"""The path from a clean image ``x_0`` to its measured noisy pair, the anchor ``x_T*``.

    .. math::
        x_t = x_{t-1} + \tfrac{1}{T} R + \sigma f(t)\, e_t, \qquad R = x_T^* - x_0, \qquad
        \sigma = \beta \Big/ \sqrt{\textstyle\sum_{s=1}^{T} f(s)^2}

    with independent ``e_t`` of zero mean and unit variance, whatever their distribution. So
    :math:`x_t` has the mean :math:`x_0 + \tfrac{t}{T} R` and the variance
    :math:`\sigma^2 \sum_{s \le t} f(s)^2`, which is :math:`\beta^2` at the end.

    A network predicts ``r`` from ``x_t`` and the position ``t / T``. Parameterisations of the
    estimate of the clean image:

    - ``path``: :math:`\hat{x}_0 = x_t - r`;
    - ``scaled_path``: :math:`\hat{x}_0 = x_t - \tfrac{t}{T} r`;
    - ``noise_schedule``: :math:`\hat{x}_0 = x_t - f(t)\, r`, the published one.

    Args:
        num_steps: ``T``, at least 2.
        end_std: ``beta``, the deviation of ``x_T``, in units of the standardised image.
        noise_profile: Name of ``f``, see :func:`~.noise_profiles.noise_profile`.
        parameterisation: Meaning of the network's prediction.

    Shape:
        Images, residuals, noise and predictions: ``(B, C, *spatial)``. Steps: ``(B,)``, int64, in
        ``0..T``. Deviations: ``(B, 1, ...)``, to broadcast.

    Raises:
        ValueError: If an argument is out of its range.

    Erratum:
        ``beta`` was printed under the root of ``sigma``, so that the variance of the end was
        ``beta``, not ``beta^2``. With ``noise_schedule`` the profiles that end at 0 leave the
        prediction of the first reverse step, ``t = T``, without effect; ``path`` has no such step.

    Source:
        docs/methods/micro_mri_denoise.md, "Anchored path diffusion"; Conejo Rupp et al. 2025,
        equations (9) to (11) and (19) to (36).
    """

    profile: Tensor  # (T + 1,), f(t); 0 at t = 0, which is no step
    noise_std: Tensor  # (T + 1,), deviation of x_t

    def __init__(
        self,
        num_steps: int = 100,
        end_std: float = 0.01,
        noise_profile: str = "parabola",
        parameterisation: Parameterisation = "path",
    ) -> None:
        super().__init__()
        check_above_zero("end_std", end_std)
        check_choice("parameterisation", parameterisation, get_args(Parameterisation))
        profile = profile_of_path(noise_profile, num_steps)
        profile[0] = 0  # the chain has no link there
        energy = profile.square().cumsum(0)
        self.num_steps = num_steps
        self.end_std = end_std
        self.parameterisation = parameterisation
        self._total_energy = float(energy[-1])
        # Not in a state dict: the tables follow from the arguments.
        self.register_buffer("profile", profile.float(), persistent=False)
        # Sums of squares in double precision; exactly ``end_std`` at the end for any profile.
        noise_std = (end_std * (energy / energy[-1]).sqrt()).float()
        self.register_buffer("noise_std", noise_std, persistent=False)

    @property
    def sigma(self) -> float:
        """Deviation of the noise that a step adds where the profile is 1."""
        return self.end_std / math.sqrt(self._total_energy)

    def positions(self, step: Tensor) -> Tensor:
        """Return ``t / T`` as the network sees it, ``(B,)``, float32."""
        return step.float() / self.num_steps

    def moments(self, clean: Tensor, anchor: Tensor, step: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the standard deviation of ``x_t``."""
        mean = torch.lerp(clean, anchor, column(self.positions(step), clean))
        return mean, column(self.noise_std[step], clean)

    def step_forward(self, x: Tensor, residual: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        """Go from ``x_{t-1}`` to ``x_t``, with ``residual`` ``R``: one link of the chain."""
        gain = column(self.sigma * self.profile[step], x)
        return x + residual / self.num_steps + gain * noise

    def estimate_clean(
        self, x_t: Tensor, prediction: Tensor, step: Tensor, anchor: Tensor | None = None
    ) -> Tensor:
        """Return the estimate of the clean image from the network's prediction ``r``.

        The anchor is not needed: ``x_t`` lies between it and the clean image.
        """
        if self.parameterisation == "path":
            return x_t - prediction
        scaled = self.parameterisation == "scaled_path"
        gain = self.positions(step) if scaled else self.profile[step]
        return x_t - column(gain, x_t) * prediction

    def step_back(
        self,
        x_t: Tensor,
        clean: Tensor,
        step: Tensor,
        to_step: Tensor,
        noise: Tensor | None = None,
        anchor: Tensor | None = None,
    ) -> Tensor:
        r"""Go back along the line through ``x_t`` and the estimate of the clean image.

        .. math::
            x_u = \hat{x}_0 + \tfrac{u}{t} (x_t - \hat{x}_0)
            + \sigma \sqrt{\textstyle\sum_{s=u+1}^{t} f(s)^2}\; e

        For ``u = t - 1`` the noise is that of the forward link, :math:`\sigma f(t)\, e_t`.
        Here ``t`` is ``step`` and ``u`` is ``to_step``. Without noise the step is deterministic.

        Source:
            docs/methods/micro_mri_denoise.md, "Reverse process"; the paper gives none.
        """
        back = torch.lerp(clean, x_t, column(to_step.float() / step.float(), x_t))
        if noise is None:
            return back
        return back + column(self._noise_between(to_step, step), x_t) * noise

    def timesteps(self, num_inference_steps: int | None = None) -> Tensor:
        """Return the steps of a reverse pass, see :func:`~.diffusion_process.even_steps`."""
        return even_steps(self.num_steps, num_inference_steps)

    def critical_end_std(self, residual_rms: float) -> float:
        r"""Return ``beta_crit``, above which a step's noise exceeds its mean move to the anchor.

        .. math:: \beta_\mathrm{crit} = \frac{\mathrm{RMS}(R)}{T} \sqrt{\textstyle\sum_s f(s)^2}

        for the parabola :math:`\sqrt{\tfrac{8}{15} (T^4 - 1) / T^5}\; \mathrm{RMS}(R)`.

        Args:
            residual_rms: Root mean square of the residuals, in units of the standardised image.

        Source:
            docs/methods/micro_mri_denoise.md, "Anchored path diffusion"; Conejo Rupp et al. 2025,
            equations (33) to (36).
        """
        return residual_rms / self.num_steps * math.sqrt(self._total_energy)

    def warn_if_unstable(self, residual_rms: float) -> None:
        """Log one warning if ``end_std`` is above its critical value for these residuals."""
        critical = self.critical_end_std(residual_rms)
        if self.end_std > critical:
            logger.warning(
                "end_std %.4g is above its critical value %.4g (residuals of RMS %.4g, %d steps): "
                "the noise of a step outweighs its way to the noisy scan; lower --end_std or "
                "--num_steps",
                self.end_std,
                critical,
                residual_rms,
                self.num_steps,
            )

    def _noise_between(self, start: Tensor, end: Tensor) -> Tensor:
        """Return the deviation that the links ``start + 1 .. end`` add, ``(B,)``."""
        # Summed and not taken from noise_std: the difference of two cumulative sums would lose
        # the small links at either end to rounding.
        step = torch.arange(self.num_steps + 1, device=self.profile.device)
        inside = (step > start[:, None]) & (step <= end[:, None])
        return self.sigma * (self.profile.square() * inside).sum(1).sqrt()
