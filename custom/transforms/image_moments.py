"""Store the moments of whole images."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, get_args

from monai.config import KeysCollection
from monai.transforms import MapTransform

from custom.physics.image_moments import MomentsForm, image_moments
from custom.setting_checks import check_choice

__all__ = ["ImageMomentsd"]


class ImageMomentsd(MapTransform):
    """Store the moments of whole images, before they are cropped; the images do not change.

    Args:
        keys: Images; the moments of each go under ``f"{key}_moments"``. Of a pair, ``image`` alone
            lets both be standardised by the low-resolution image, which is known at inference,
            too; ``[image, label]`` standardises each by its own moments, as in the paper.
        form: See :func:`custom.physics.image_moments.image_moments`.

    Shape:
        Images: ``(C, *spatial)``; moments ``(2,)``.

    Raises:
        ValueError: If ``form`` is unknown.
    """

    def __init__(
        self,
        keys: KeysCollection,
        form: MomentsForm = "tissue",
    ) -> None:
        super().__init__(keys)
        check_choice("form", form, get_args(MomentsForm))
        self.form = form

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Store the moments."""
        result = dict(data)
        for key in self.key_iterator(result):
            result[f"{key}_moments"] = image_moments(data[key], self.form)
        return result
