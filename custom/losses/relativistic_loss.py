"""Adversarial losses of a critic and a generator, from the critic's scores."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

__all__ = ["RelativisticAverageLoss", "WassersteinLoss"]


class RelativisticAverageLoss(nn.Module):
    r"""Relativistic average loss: each score is compared with the mean score of the other kind.

    .. math:: a = C(x) - \overline{C(y)}, \quad b = C(y) - \overline{C(x)}
    .. math:: L_D = -\tfrac12 \overline{\log s(a)} - \tfrac12 \overline{\log(1 - s(b))}
    .. math:: L_G = -\tfrac12 \overline{\log(1 - s(a))} - \tfrac12 \overline{\log s(b)}

    with the logistic function :math:`s`, real :math:`x` and generated :math:`y`. It follows that
    :math:`L_G = L_D + \overline{C(x)} - \overline{C(y)}`. The scores are logits: the loss is
    computed in float32 at least, as softplus, so that no score overflows or rounds to log 0.

    Args:
        average: Axes of the mean score. ``all``: batch and voxels, as in the paper; ``batch``: the
            batch alone, for each voxel of the score map by itself, as in the published code. At
            batch size 1 the latter compares single pairs of voxels.

    Shape:
        Scores: ``(B, ...)``, the same for both; losses: scalar.

    Raises:
        ValueError: If ``average`` is unknown, or when called, if the shapes differ.

    Erratum:
        Printed as the sum of two terms with an optimum of 0.693. That, ``log 2``, is the value of
        each term where the critic cannot tell the two apart, so the sum there is 1.386. Ours is the
        mean of the two, 0.693, which also halves the gradient; the published code's critic does the
        same.

    Source:
        docs/methods/gan3d_sr_denoise.md, "Losses"; A. Jolicoeur-Martineau, "The relativistic
        discriminator", 2018.
    """

    def __init__(self, average: Literal["all", "batch"] = "all") -> None:
        super().__init__()
        if average not in ("all", "batch"):
            raise ValueError(f"average must be 'all' or 'batch', got {average!r}")
        self.average = average

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the critic's loss for the scores of real and generated volumes."""
        above, below = self._compared(real, fake)
        return 0.5 * (softplus(-above).mean() + softplus(below).mean())

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the generator's loss for the same scores."""
        above, below = self._compared(real, fake)
        return 0.5 * (softplus(above).mean() + softplus(-below).mean())

    def _compared(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores less the average score of the other kind."""
        real, fake = _same_shape(real, fake)
        return real - self._mean(fake), fake - self._mean(real)

    def _mean(self, scores: Tensor) -> Tensor:
        """Return the average that a score is compared with."""
        return scores.mean() if self.average == "all" else scores.mean(dim=0, keepdim=True)


class WassersteinLoss(nn.Module):
    r"""Wasserstein loss without a penalty: the difference of the mean scores.

    .. math:: L_D = \overline{C(y)} - \overline{C(x)}, \qquad L_G = -\overline{C(y)}

    Neither the weights of the critic nor its gradients are bounded here
    (:class:`custom.losses.gradient_penalty.GradientPenalty` does that): this is the plain update,
    which does not converge (docs/methods/gan3d_sr_denoise.md, "Theory").

    Shape:
        Scores: ``(B, ...)``, the same for both; losses: scalar.

    Raises:
        ValueError: When called, if the shapes differ.

    Source:
        M. Arjovsky, S. Chintala, L. Bottou, "Wasserstein generative adversarial networks", 2017.
    """

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the critic's loss for the scores of real and generated volumes."""
        real, fake = _same_shape(real, fake)
        return fake.mean() - real.mean()

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the generator's loss for the same scores."""
        return -_same_shape(real, fake)[1].mean()


def _same_shape(real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores in single precision at least; other shapes would broadcast unseen."""
    if real.shape != fake.shape:
        raise ValueError(
            f"real and fake scores must have one shape, got {tuple(real.shape)} and "
            f"{tuple(fake.shape)}"
        )
    half = (torch.float16, torch.bfloat16)
    return (
        real.float() if real.dtype in half else real,
        fake.float() if fake.dtype in half else fake,
    )
