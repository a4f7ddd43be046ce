"""Noise fields drawn from the residuals of the training pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Generator, Tensor

__all__ = ["ResidualNoise", "ResidualSource", "mean_field"]

_QUARTER_TURNS = 4
_LEAST_STD = 1e-3  # of residuals of unit variance: less is the rounding of a file


class ResidualSource(Protocol):
    """A set of residuals."""

    @property
    def residuals(self) -> Tensor:
        """``(N, S, S)``, of zero mean and unit variance over all of them."""
        ...

    @property
    def rms(self) -> float:
        """Root mean square of the residuals before they were normalised."""
        ...


class ResidualNoise:
    r"""Draw noise fields ``e``: a random residual, turned by a random multiple of 90 degrees.

    An image smaller than the residuals sees a window of the field; a larger one sees the field
    continued by mirror images. Where the window lies (the ``offset``) is drawn once a sample, and
    may be given so that a chain of draws and one :meth:`accumulate` have the same distribution.

    With ``centre`` the mean over all residuals (and turns) is subtracted pixel by pixel, and the
    variance set to 1 again. Otherwise only the mean over all pixels is 0, and the mean that a
    finite bank has in a pixel adds up along a chain as :math:`\sum_s f(s)`, faster than the noise
    itself (:math:`\sqrt{\sum_s f(s)^2}`): the expectation of the end would not be the anchor.

    Args:
        bank: Residuals; they are not read before the first draw.
        rotate: Whether fields are turned, so that edges do not add up.
        centre: Whether every pixel has a mean of exactly 0, unlike in the paper.

    Raises:
        ValueError: At the first draw, if the residuals are all the same and ``centre`` is set.

    Source:
        docs/methods/micro_mri_denoise.md, "Anchored path diffusion"; Conejo Rupp et al. 2025,
        equations (21), (22) and (29), figure 19.
    """

    def __init__(self, bank: ResidualSource, rotate: bool = True, centre: bool = True) -> None:
        self.bank = bank
        self.rotate = rotate
        self.centre = centre
        self._prepared: Tensor | None = None

    def draw_offset(self, shape: Sequence[int], generator: Generator | None = None) -> Tensor:
        """Draw the position of each sample's window, ``(B, 2)``, int64: rows and columns.

        Any place inside the field along an axis that fits, any phase of the mirrored field along
        one that does not.

        Raises:
            ValueError: If the shape is no batch of single-channel 2D images.
        """
        if len(shape) != 4 or shape[1] != 1:
            raise ValueError(f"shape must be (B, 1, H, W), got {tuple(shape)}")
        size = self.bank.residuals.shape[-1]
        ends = [size - n + 1 if n <= size else 2 * size for n in shape[2:]]
        drawn = [torch.randint(end, (shape[0],), generator=generator) for end in ends]
        return torch.stack(drawn, dim=1)

    def draw(
        self,
        shape: Sequence[int],
        device: torch.device | str = "cpu",
        generator: Generator | None = None,
        offset: Tensor | None = None,
    ) -> Tensor:
        """Draw one field a sample, of zero mean and unit variance; see :meth:`accumulate`."""
        one_link = torch.tensor([0.0, 1.0])
        step = torch.ones(shape[0], dtype=torch.int64)
        return self.accumulate(one_link, step, shape, device, generator, offset)

    def accumulate(
        self,
        profile: Tensor,
        step: Tensor,
        shape: Sequence[int],
        device: torch.device | str = "cpu",
        generator: Generator | None = None,
        offset: Tensor | None = None,
    ) -> Tensor:
        r"""Draw :math:`\sum_{s=1}^{t} f(s)\, e_s` with independent ``e_s``, in one go.

        Exact: the ``t`` residuals and turns are drawn as along the chain, but only their weights
        are added up; the fields are then summed once, at a cost that does not grow with ``T``.

        Args:
            profile: ``f``, ``(T + 1,)``; the entry of ``s = 0`` is not used.
            step: ``t`` of each sample, ``(B,)``, int64, in ``0..T``.
            shape: Shape of the noise, ``(B, 1, H, W)``.
            device: Where it is wanted.
            generator: Random generator on the CPU; the global one by default.
            offset: Where the window of each sample lies, ``(B, 2)``; drawn by default.

        Returns:
            ``(B, 1, H, W)``, float32.

        Raises:
            ValueError: If the shape is no batch of single-channel 2D images.
        """
        fields = self._fields(device)
        where = self.draw_offset(shape, generator) if offset is None else offset
        weights = self._weights(profile.cpu(), step.cpu(), len(fields), generator)
        size = fields.shape[-1]
        # One matrix product for all turns: four smaller ones, or einsum, take longer.
        summed = weights.to(device).flatten(0, 1) @ fields.flatten(1)
        summed = summed.view(shape[0], -1, size, size)
        turned = torch.zeros_like(summed[:, 0])
        for turn in range(summed.shape[1]):
            turned += torch.rot90(summed[:, turn], turn, (1, 2))
        return _windows(turned, where.to(device), shape)[:, None]

    def _weights(
        self, profile: Tensor, step: Tensor, entries: int, generator: Generator | None
    ) -> Tensor:
        """Draw a residual and a turn a link; return their summed ``f``, ``(B, turns, entries)``."""
        turns = _QUARTER_TURNS if self.rotate else 1
        links = torch.arange(1, len(profile))
        # As many draws for any step: a sample's noise must not depend on the steps of the others.
        drawn = torch.randint(turns * entries, (len(step), len(links)), generator=generator)
        gains = profile[1:].float() * (links <= step[:, None])
        weights = torch.zeros(len(step), turns * entries)
        # Added, not set: a chain may draw an entry more than once.
        return weights.scatter_add_(1, drawn, gains).view(len(step), turns, entries)

    def _fields(self, device: torch.device | str) -> Tensor:
        """Return the residuals as they are drawn, ``(N, S, S)``, made ready once."""
        if self._prepared is None:
            fields = self.bank.residuals
            self._prepared = self._centred(fields) if self.centre else fields.float()
        self._prepared = self._prepared.to(device)
        return self._prepared

    def _centred(self, fields: Tensor) -> Tensor:
        """Subtract the mean of every pixel and set the variance to 1 again."""
        # The mean over all turns is invariant to turns, so it can be subtracted before.
        centred = fields.double() - mean_field(fields, self.rotate)
        std = centred.square().mean().sqrt()
        if std < _LEAST_STD:
            raise ValueError(
                f"the residual bank holds {len(fields)} residual(s), all the same: train on more "
                "slices, or give --centre_residuals False"
            )
        return (centred / std).float()


def mean_field(residuals: Tensor, rotate: bool) -> Tensor:
    """Return the mean of every pixel over residuals ``(N, S, S)``; ``(S, S)``, float64.

    With ``rotate`` also over quarter turns.
    """
    mean = residuals.double().mean(0)
    if not rotate:
        return mean
    return torch.stack([torch.rot90(mean, turns) for turns in range(_QUARTER_TURNS)]).mean(0)


def _windows(fields: Tensor, offset: Tensor, shape: Sequence[int]) -> Tensor:
    """Cut ``(B, H, W)`` out of the mirror-periodic continuation of ``(B, S, S)``."""
    size = fields.shape[-1]
    rows, columns = (
        (torch.arange(length, device=fields.device) + offset[:, axis, None]) % (2 * size)
        for axis, length in enumerate(shape[2:])
    )
    # Mirrored, so that the continuation has no edge where copies meet.
    rows, columns = (torch.minimum(index, 2 * size - 1 - index) for index in (rows, columns))
    sample = torch.arange(len(fields), device=fields.device)[:, None, None]
    return fields[sample, rows[:, :, None], columns[:, None, :]]
