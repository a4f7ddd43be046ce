"""Choose the slices on which an anchored path model is examined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from custom.data.datasets.exclusions import read_exclusions
from custom.errors import InputError
from custom.physics.image_moments import MomentsForm, image_moments, standardise

__all__ = ["PairedSlice", "choose_slices"]


@dataclass(frozen=True)
class PairedSlice:
    """A fast slice on the fine grid and its reference, in means of the fast slice.

    Args:
        scan: The scan's name.
        index: The slice in it, from 0.
        image: Fast slice.
        label: Reference.
        data_range: ``max - min`` of the scan's kept reference slices as acquired, in the units of
            this slice: the range that the evaluation takes.
        pixel_mm: Size of a pixel along ``X`` and ``Y``.

    Shape:
        ``image``, ``label``: ``(1, 1, X, Y)``.
    """

    scan: str
    index: int
    image: Tensor
    label: Tensor
    data_range: float
    pixel_mm: tuple[float, float]

    def standardised(self, form: MomentsForm = "centred") -> tuple[Tensor, Tensor]:
        """Return reference and fast slice, both by the moments of the fast slice.

        Args:
            form: The divisor, as in :func:`custom.physics.image_moments.image_moments`.
        """
        moments = image_moments(self.image[0], form)[None].to(self.image)
        return standardise(self.label, moments), standardise(self.image, moments)


def choose_slices(
    dataset: Sequence[Mapping[str, Any]],
    number: int,
    exclusions: str | Path | None = None,
) -> list[PairedSlice]:
    """Take slices spread evenly over the scans, and within a scan over its kept slices.

    Args:
        dataset: Whole scans after preprocessing: ``image`` and ``label`` ``(1, X, Y, S)`` in means
            of the fast slices, and the means ``(S,)`` under ``image_scale``. Only the scans that
            are needed are read.
        number: Slices to take, at least 1.
        exclusions: A list of bad slices; by default the dataset's own, if any.

    Raises:
        InputError: If no slice is left.
    """
    places = Counter(np.linspace(0, len(dataset) - 1, number).round().astype(int).tolist())
    chosen: list[PairedSlice] = []
    for place, count in places.items():
        data = dataset[place]
        bad = read_exclusions(exclusions or data.get("exclusions")).get(str(data["scan"]), set())
        kept = [index for index in range(data["label"].shape[-1]) if index not in bad]
        middles = [kept[(2 * i + 1) * len(kept) // (2 * count)] for i in range(count) if kept]
        chosen += [_slice(data, index, kept) for index in dict.fromkeys(middles)]
    if not chosen:
        raise InputError("no slice is left to examine: the exclusion list names all of them")
    return chosen


def _slice(data: Mapping[str, Any], index: int, kept: list[int]) -> PairedSlice:
    """Cut one slice out of a scan."""
    image, label, means = (
        torch.as_tensor(data[key]).as_subclass(Tensor).detach().float().cpu()
        for key in ("image", "label", "image_scale")
    )
    acquired = (label * means)[..., kept]
    affine = torch.as_tensor(getattr(data["label"], "affine", torch.eye(4))).double()
    width, height = torch.linalg.norm(affine[:3, :2], dim=0).tolist()
    return PairedSlice(
        scan=str(data["scan"]),
        index=index,
        image=image[None, ..., index],
        label=label[None, ..., index],
        data_range=float((acquired.max() - acquired.min()) / means[index]),
        pixel_mm=(width, height),
    )
