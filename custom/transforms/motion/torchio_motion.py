"""TorchIO's random motion, as the thesis simulates it."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable
from monai.utils import convert_to_dst_type
from torch import Tensor

from custom.errors import InputError
from custom.physics.motion.severity import kspace_nrmse, slice_nrmse
from custom.transforms.motion.rigid_motion import item_random, severities

__all__ = ["TorchIOMotiond", "centred_affine"]


class TorchIOMotiond(Randomizable, MapTransform):
    """Add the random motion of TorchIO 1.x, negative values cut to 0.

    TorchIO rotates about the origin of the world, so the affine is centred first; and it returns
    the real part of the image, not the magnitude. The largest value is that of the still volume, so
    that volumes in [0, 1] stay there. The item gets ``severity``, ``severity_class`` and
    ``motion_kind``. TorchIO draws alike of each axis, in the world's directions; its phase-encode
    axis is the last. For rigid motion take
    :class:`~custom.transforms.motion.rigid_motion.RandRigidMotiond`.

    Args:
        keys: Volume; one key.
        degrees: Largest rotation.
        translation: Largest translation in millimetres.
        num_transforms: Number of moves.
        fixed_by: Keys of the item that name it, for a draw that is the same each time.
        seed: Of fixed draws.

    Shape:
        ``(1, X, Y, Z)``; output the same.

    Raises:
        InputError: If TorchIO is not installed.

    Source:
        docs/methods/motion_cdm.md, "Motion".
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        degrees: float = 10.0,
        translation: float = 10.0,
        num_transforms: int = 2,
        fixed_by: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(keys)
        self.torchio = _torchio()
        self.motion = self.torchio.RandomMotion(degrees, translation, num_transforms)
        self.fixed_by, self.seed = fixed_by, seed

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Move the volume."""
        result = dict(data)
        for key in self.key_iterator(result):
            volume = data[key]
            still = torch.as_tensor(volume).as_subclass(Tensor).float().cpu()
            affine = volume.affine.cpu() if isinstance(volume, MetaTensor) else torch.eye(4)
            image = self.torchio.ScalarImage(
                tensor=still, affine=centred_affine(affine, still.shape[1:])
            )
            # TorchIO draws from torch's own stream.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(item_random(self, data).randint(2**31 - 1))
                moved: Tensor = self.motion(image).data
            by_slice = slice_nrmse(*(image[0].movedim(2, 0) for image in (moved, still)))
            result |= severities(kspace_nrmse(moved, still), by_slice)
            result["motion_kind"] = "torchio"
            moved = moved.clamp_min(0)
            moved = moved * (still.max() / moved.max().clamp_min(torch.finfo(moved.dtype).tiny))
            result[key] = convert_to_dst_type(moved, volume, dtype=torch.float32)[0]
        return result


def centred_affine(affine: Tensor, shape: Sequence[int]) -> Tensor:
    """Return an affine with the centre of the grid at the origin of the world."""
    result = affine.double().clone()
    middle = (torch.tensor(shape, dtype=torch.float64) - 1) / 2
    result[:3, 3] = -result[:3, :3] @ middle
    return result


def _torchio() -> Any:
    """Import TorchIO."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the packages that it imports
            import torchio
    except ImportError as error:
        raise InputError(
            "TorchIO's motion needs the package torchio: "
            "pip install 'mri-restoration-bundles[motion]'"
        ) from error
    return torchio
