"""Super-resolution of a volume: the model's input by mode, and what follows the model."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Literal, get_args

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type
from torch import Tensor
from torch.nn.functional import pad

from custom.errors import InputError
from custom.physics.acquisition import axis_scales
from custom.physics.data_consistency import check_consistency, data_consistency
from custom.physics.downsampling import Degradation, Scale, downsample, high_affine, low_affine
from custom.physics.intensity_statistics import outlier_limit
from custom.setting_checks import check_choice

__all__ = [
    "DataConsistencyd",
    "DifferenceMapd",
    "ModelInputd",
    "OutputGridd",
    "RestorationMode",
    "check_mode",
]

RestorationMode = Literal["super_resolve", "halve", "denoise"]

_HOT = 4.0  # times the limit of an outlier, itself five times the tissue
ORIGINAL = "original"  # key of the volume that the model's input is made from


def check_mode(mode: str, scale: Scale) -> None:
    """Refuse an unknown mode, by an error that the user reads.

    Raises:
        ValueError: If ``mode`` is unknown; ``denoise`` with a model of another scale than 1; or
            ``halve`` with another scale an axis.
    """
    check_choice("mode", mode, get_args(RestorationMode))
    if mode == "halve" and not isinstance(scale, int):
        raise ValueError(f"mode halve takes one scale for all axes, got {scale}")
    if mode == "denoise" and scale != 1:
        raise ValueError(
            "mode denoise is of a model of its own: use --config denoise (--mode halve is the "
            "source's way, which blurs: downsample, then restore)"
        )


class ModelInputd(MapTransform):
    """Make the low-resolution volume that the model restores.

    ``super_resolve`` and ``denoise`` take the volume unchanged. ``halve`` downsamples it, so that
    the restored volume lies on the volume's own grid; odd sizes are first padded to multiples of
    the scale by repeating the last plane. The volume itself is then kept as ``original``.

    Args:
        keys: Volume; one key.
        mode: ``super_resolve``, ``halve``, or ``denoise`` for a model of scale 1.
        degradation: That of the model.
        scale: That of the model.

    Shape:
        ``(C, D, H, W)``; output the same, or ``ceil`` of each axis divided by ``scale``.

    Raises:
        ValueError: If ``mode`` is unknown, or not for ``scale``.
        ValueError: If ``keys`` are several.

    Source:
        docs/methods/gan3d_sr_denoise.md, "Task": the model denoises without having been trained to.
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        mode: RestorationMode = "super_resolve",
        degradation: Degradation = "linear",
        scale: Scale = 2,
    ) -> None:
        super().__init__(keys)
        check_mode(mode, scale)
        if len(self.keys) != 1:
            raise ValueError(f"keys must be one key, since there is one original, got {self.keys}")
        self.mode = mode
        self.degradation: Degradation = degradation
        self.scale = scale

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the volume to restore."""
        result = dict(data)
        if self.mode != "halve":
            return result
        volume = data[self.keys[0]]
        plain = torch.as_tensor(volume).as_subclass(Tensor).float()
        # Backwards: pad() takes the last axis first.
        factor = axis_scales(self.scale)[0]
        missing = [-length % factor for length in plain.shape[:0:-1]]
        padded = pad(plain[None], [part for end in missing for part in (0, end)], "replicate")
        low = downsample(padded, self.degradation, self.scale)[0]
        if isinstance(volume, MetaTensor):
            low = MetaTensor(low, meta=volume.meta)
            low.affine = low_affine(volume.affine, self.degradation, self.scale)
        result[self.keys[0]], result[ORIGINAL] = low, volume
        return result


class OutputGridd(MapTransform):
    """Set the affine of a restored volume, and crop the padding of its input.

    The grid is that of ``original``, or without it the finer grid of the reference.

    Args:
        keys: Restored volumes.
        reference_key: The volume that they were restored from, on the acquired grid.
        degradation: See :class:`ModelInputd`.
        scale: See :class:`ModelInputd`.

    Shape:
        ``(C, scale D, scale H, scale W)``; output the same, or as the original.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        reference_key: str = "image",
        degradation: Degradation = "linear",
        scale: Scale = 2,
    ) -> None:
        super().__init__(keys)
        self.reference_key = reference_key
        self.degradation: Degradation = degradation
        self.scale = scale

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the data with the volumes on their grid."""
        result = dict(data)
        original = data.get(ORIGINAL)
        reference = data[self.reference_key]
        for key in self.key_iterator(result):
            volume = data[key]
            if original is not None:
                volume = volume[(slice(None), *(slice(length) for length in original.shape[1:]))]
            if isinstance(volume, MetaTensor):
                # Of a plain tensor MONAI copies the meta data: the data keep their affine.
                volume = MetaTensor(volume.as_subclass(Tensor), meta=volume.meta)
                volume.affine = (
                    high_affine(reference.affine, self.degradation, self.scale)
                    if original is None
                    else original.affine
                )
            result[key] = volume
        return result


class DifferenceMapd(MapTransform):
    """Make the map of the difference between a restored volume and its input.

    On the input's grid: the restored volume degraded again minus the input; where there is an
    ``original``, on whose grid the restored volume lies, the restored volume minus the original.

    Args:
        keys: Restored volume; one key.
        reference_key: The low-resolution volume, in the same unit.
        name: Key of the map.
        degradation: See :class:`ModelInputd`.
        scale: See :class:`ModelInputd`.
        write: Whether to make it.

    Shape:
        ``(C, D, H, W)``, as the input.

    Raises:
        ValueError: If ``keys`` are several.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        reference_key: str = "image",
        name: str = "difference",
        degradation: Degradation = "linear",
        scale: Scale = 2,
        write: bool = True,
    ) -> None:
        super().__init__(keys)
        if len(self.keys) != 1:
            raise ValueError(f"keys must be one key, since name is one, got {self.keys}")
        self.reference_key = reference_key
        self.name = name
        self.degradation: Degradation = degradation
        self.scale = scale
        self.write = write

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the map."""
        result = dict(data)
        if not self.write:
            return result
        restored = torch.as_tensor(data[self.keys[0]]).as_subclass(Tensor)
        original = data.get(ORIGINAL)
        given = data[self.reference_key] if original is None else original
        if original is None:
            restored = downsample(restored[None], self.degradation, self.scale)[0]
        plain = torch.as_tensor(given).as_subclass(Tensor).to(restored)
        result[self.name] = convert_to_dst_type(restored - plain, given, device=restored.device)[0]
        return result


class DataConsistencyd(MapTransform):
    """Apply :func:`custom.physics.data_consistency.data_consistency` to restored volumes.

    Args:
        keys: Restored volumes.
        measured_key: The volume that they were restored from, in the same unit.
        strength: 0 to 1; 0 leaves them as they are.
        degradation: See :func:`custom.physics.data_consistency.data_consistency`.
        scale: See :func:`custom.physics.data_consistency.data_consistency`.
        max_gain: See :func:`custom.physics.data_consistency.data_consistency`.

    Shape:
        Restored: ``(C, scale D, scale H, scale W)``; measured: ``(C, D, H, W)``.

    Raises:
        InputError: At the call, for a volume with voxels of 20 times the tissue.
        ValueError: If ``strength`` is not between 0 and 1, or is above 0 at scale 1; or
            ``max_gain`` is not positive.
    """

    def __init__(
        self,
        keys: KeysCollection,
        measured_key: str = "image",
        strength: float = 0.0,
        degradation: Degradation = "linear",
        scale: Scale = 2,
        max_gain: float = 10.0,
    ) -> None:
        super().__init__(keys)
        check_consistency(strength, max_gain)
        if strength > 0 and max(axis_scales(scale)) == 1:
            raise ValueError(
                "data_consistency needs a model that changes the resolution: leave "
                "--data_consistency out with --config denoise"
            )
        self.measured_key = measured_key
        self.strength = strength
        self.degradation: Degradation = degradation
        self.scale = scale
        self.max_gain = max_gain

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Correct the volumes towards the measured ones."""
        result = dict(data)
        if self.strength == 0:
            return result
        measured = torch.as_tensor(data[self.measured_key]).as_subclass(Tensor)
        hot = int((measured.abs() > _HOT * outlier_limit(measured)).sum())
        if hot:
            raise InputError(
                f"{hot} voxels are more than 20 times as bright as the tissue: data_consistency "
                "would ring from them through the whole volume; mask them, or give "
                "--data_consistency 0"
            )
        for key in self.key_iterator(result):
            restored = data[key]
            plain = torch.as_tensor(restored).as_subclass(Tensor)
            held = data_consistency(
                plain[None],
                measured[None],
                self.strength,
                self.degradation,
                self.scale,
                self.max_gain,
            )
            result[key] = convert_to_dst_type(held[0], restored)[0]
        return result
