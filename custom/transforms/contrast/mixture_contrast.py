"""Other contrasts of a pair of brains, by the mixture of their tissues."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import convert_to_dst_type

from custom.physics.intensity_mixture import WAYS, IntensityMixture, contrast_map, fit_mixture
from custom.setting_checks import check_choice, check_not_negative, check_share

__all__ = ["FitMixtured", "RandMixtureContrastd"]

_COMPONENTS = 3


class FitMixtured(MapTransform):
    """Fit a mixture of three tissues to each image, once, for :class:`RandMixtureContrastd`.

    Args:
        keys: Images.
        mask_key: The brain.

    Shape:
        Images: ``(1, *spatial)``. The mixture is stored under ``f"{key}_mixture"``: weights, means
        and deviations, ``(3, 3)``.
    """

    def __init__(self, keys: KeysCollection, mask_key: str = "mask") -> None:
        super().__init__(keys)
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Fit the mixtures."""
        result = dict(data)
        inside = np.asarray(data[self.mask_key]) > 0
        for key in self.key_iterator(result):
            found = fit_mixture(np.asarray(data[key])[inside], _COMPONENTS)
            parts = [found.weights, found.means, found.deviations]
            result[f"{key}_mixture"] = torch.from_numpy(np.stack(parts))
        return result


class RandMixtureContrastd(RandomizableTransform, MapTransform):
    """Move the tissues' means and deviations of images, all by one draw.

    Where an image is 0, outside the brain, it stays 0.

    Args:
        keys: Images with a mixture, see :class:`FitMixtured`.
        prob: Probability of a change.
        shift: Largest change of a mean.
        width: Largest change of a deviation.
        way: How intensities between the means move, one of
            :data:`~custom.physics.intensity_mixture.WAYS`.

    Shape:
        ``(C, *spatial)``, in the units in which the mixture was fitted.

    Raises:
        ValueError: If a number is out of its range, or the way is unknown.

    Source:
        docs/methods/brain_3t7t_sr.md, "Contrast augmentation".
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.5,
        shift: float = 0.06,
        width: float = 0.01,
        way: str = "transport",
    ) -> None:
        check_share("prob", prob)
        check_not_negative("shift", shift)
        check_not_negative("width", width)
        check_choice("way", way, WAYS)
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
        self.shift, self.width, self.way = shift, width, way

    def randomize(self, data: Any = None) -> None:
        """Draw whether there is a change, and which."""
        super().randomize(None)
        self.shifts = self.R.uniform(-self.shift, self.shift, _COMPONENTS)
        self.widths = self.R.uniform(-self.width, self.width, _COMPONENTS)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Change the images."""
        result = dict(data)
        self.randomize()
        if not self._do_transform:
            return result
        for key in self.key_iterator(result):
            mixture = IntensityMixture(*np.asarray(data[f"{key}_mixture"]))
            curve = contrast_map(mixture, self.shifts, self.widths, self.way)
            image = np.asarray(torch.as_tensor(data[key]))
            made = torch.from_numpy(curve(image) * (image != 0))
            result[key] = convert_to_dst_type(made, data[key])[0]
        return result
