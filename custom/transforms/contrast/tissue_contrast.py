"""Images of label maps, with another contrast at each draw."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import convert_to_dst_type
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["RandTissueContrastd", "tissue_image"]


class RandTissueContrastd(RandomizableTransform, MapTransform):
    """Make an image of a label map: a random signal a label, texture, blurred borders.

    Items that are images are left alone, so that a training can hold both.

    Args:
        keys: Label maps; each value that occurs is a tissue, 0 is air.
        flag_key: Key of an item that is true where its images are label maps.

    Shape:
        ``(1, *spatial)``; the mean of what is not air becomes 1.

    Source:
        B. Billot et al., "SynthSeg: Segmentation of brain MRI scans of any contrast and resolution
        without retraining", Med Image Anal 86 (2023), 102789: random contrasts of label maps.
    """

    def __init__(self, keys: KeysCollection, flag_key: str = "label_map") -> None:
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, 1.0)
        self.flag_key = flag_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make the images."""
        result = dict(data)
        if not result.get(self.flag_key):
            return result
        for key in self.key_iterator(result):
            labels = np.asarray(torch.as_tensor(data[key]))[0]
            made = tissue_image(labels, np.random.default_rng(self.R.randint(2**31)))
            inside = labels != 0
            made /= made[inside].mean() if inside.any() else 1
            result[key] = convert_to_dst_type(torch.from_numpy(made[None]), data[key])[0]
        return result


def tissue_image(labels: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return an image of a label map: a random signal a label, texture, blurred borders.

    Args:
        labels: Values that tell tissues apart; 0 is air.
        rng: Draws the contrast.

    Returns:
        Signals between 50 and 1500, of the shape of the map.
    """
    names, places = np.unique(labels, return_inverse=True)
    signal = rng.uniform(50, 1500, len(names)).astype(np.float32)
    signal[names == 0] = 0
    mean = signal[places.reshape(labels.shape)]
    texture = ndimage.gaussian_filter(
        rng.standard_normal(labels.shape, dtype=np.float32), rng.uniform(0.7, 1.5)
    )
    made = mean * (1 + rng.uniform(0, 0.08) * texture / texture.std())
    return np.asarray(ndimage.gaussian_filter(made, rng.uniform(0.4, 0.8)).clip(min=0))
