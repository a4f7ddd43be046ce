"""Crops that begin at a voxel of the coarse grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.config.type_definitions import NdarrayOrTensor
from monai.transforms import RandWeightedCropd

from custom.setting_checks import check_whole

__all__ = ["AlignedWeightedCropd"]


class AlignedWeightedCropd(RandWeightedCropd):
    """MONAI's weighted crop, moved by less than ``step`` so that it begins at a multiple of it.

    Args:
        keys: As in the base.
        w_key: As in the base.
        spatial_size: As in the base; along an axis where it is not positive nothing is cut.
        num_samples: As in the base.
        step: Voxels of the fine grid for one of the coarse one.

    Raises:
        ValueError: If ``step`` is no whole number of at least 1.
    """

    def __init__(
        self,
        keys: KeysCollection,
        w_key: str,
        spatial_size: Any,
        num_samples: int = 1,
        step: int = 2,
    ) -> None:
        super().__init__(keys, w_key, spatial_size, num_samples)
        check_whole("step", step, 1)
        self.step = step

    def randomize(self, weight_map: NdarrayOrTensor) -> None:
        """Draw the crops."""
        super().randomize(weight_map)
        half = [max(0, size) // 2 for size in self.cropper.spatial_size]
        self.cropper.centers = [
            np.array([at - (at - side) % self.step for at, side in zip(centre, half, strict=True)])
            for centre in self.cropper.centers
        ]
