"""Classical denoising of a diffusion series: tensor fits, DIPY's methods, like neighbours."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from time import perf_counter
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type
from numpy.typing import NDArray
from torch import Tensor

from custom.physics.diffusion.neighbours import patch_widths, reduce_noise
from custom.physics.diffusion.noise import NoiseModel, move_floor
from custom.physics.diffusion.noise_estimate import ScaleRule
from custom.physics.diffusion.tensor import tensor_signal
from custom.physics.diffusion.tensor_fit import fit_log_linear, fit_non_linear
from custom.transforms.dwi_preparation import scale_map

__all__ = ["DwiBaselined", "NeighboursAveragedd", "patch_radii"]

_CHUNK = 16384  # signals at a time, which bounds the memory of the fits
_WEIGHTED = 1000.0  # s/mm², for DIPY, which only needs to know which volumes are weighted

# From a series (M, X, Y, Z), the mask (X, Y, Z) and the data to the restored series, with any
# values outside of the mask.
_Method = Callable[[Tensor, Tensor, Mapping[Hashable, Any]], Tensor]


class DwiBaselined(MapTransform):
    r"""Restore series by a classical method, and keep the seconds under ``<key>_seconds``.

    Voxels outside of ``image_mask`` stay as they are. Methods:

    - ``wls``, ``nlls``: the signals of each voxel's tensor, :math:`S_0 \exp(-b\,g^T D\,g)`, by
      weighted log-linear or by non-linear least squares; ``S_0`` is fitted, too.
    - ``patch2self``: each volume from all the others by a linear regression over voxels.
    - ``mppca``: without the components of local patches that random matrix theory attributes to
      noise.
    - ``localpca``: without the components of local patches below a multiple of the noise, as DIPY
      estimates it.

    Args:
        keys: Series to restore, in the order of ``b_rows`` and ``unweighted`` in the data.
        method: One of the methods above.

    Shape:
        Series: ``(M, X, Y, Z)``; mask: ``(1, X, Y, Z)``.

    Raises:
        ValueError: If ``method`` is unknown.

    Source:
        Patch2Self: S. Fadnavis, J. Batson, E. Garyfallidis, Advances in Neural Information
        Processing Systems 33 (2020), 16293-16303. MP-PCA: J. Veraart, E. Fieremans, D. S. Novikov,
        Magnetic Resonance in Medicine 76 (2016), 1582-1593. Local PCA: J. V. Manjon et al.,
        PLoS ONE 8 (2013), e73021. As in ``dipy.denoise``.
    """

    def __init__(self, keys: KeysCollection, method: str) -> None:
        super().__init__(keys)
        if method not in _METHODS:
            raise ValueError(f"method must be one of {tuple(_METHODS)}, got {method!r}")
        self.method = method

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Restore the series."""
        result = dict(data)
        for key in self.key_iterator(result):
            series = torch.as_tensor(data[key]).as_subclass(Tensor).float()
            mask = torch.as_tensor(data["image_mask"]).as_subclass(Tensor)[0] > 0
            start = perf_counter()
            found = _METHODS[self.method](series, mask, data)
            result[f"{key}_seconds"] = perf_counter() - start
            # DIPY leaves NaN where no patch fits in, at the edges of the volume.
            found = torch.where(mask & torch.isfinite(found), found, series)
            result[key] = convert_to_dst_type(found, data[key])[0]
        return result


class NeighboursAveragedd(MapTransform):
    """Average each voxel of a series with its like neighbours, and tell the noise that is left.

    Adds ``<key>_reduced``, the series with less noise, and ``<key>_reduced_scale`` and
    ``<key>_reduced_sigma``, as :class:`~custom.transforms.dwi_preparation.DwiPreparationd` makes
    them of the series itself. See :func:`custom.physics.diffusion.neighbours.reduce_noise`.

    Args:
        keys: The series, after ``DwiPreparationd``; one key.
        scale_rule: Unit of the model's signals, as there.
        noise: Model of the noise, whose floor is lowered to that of the remaining noise.
        enabled: Otherwise the three are those of the series itself: each voxel is restored alone.
        s0: The known S0, if any: the scale stays.

    Shape:
        Series: ``(M, X, Y, Z)``; maps: ``(1, X, Y, Z)``.
    """

    def __init__(
        self,
        keys: KeysCollection,
        scale_rule: ScaleRule,
        noise: NoiseModel,
        enabled: bool = True,
        s0: object = None,
    ) -> None:
        super().__init__(keys)
        self.scale_rule, self.noise, self.enabled, self.s0 = scale_rule, noise, enabled, s0

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Average, or hand the series on."""
        result = dict(data)
        for key in self.key_iterator(result):
            made: tuple[Tensor, ...] = data[key], data[f"{key}_scale"], data[f"{key}_sigma"]
            if self.enabled:
                meta = data[key].meta
                made = tuple(MetaTensor(values, meta=meta) for values in self._reduce(data, key))
            for name, values in zip(
                ("reduced", "reduced_scale", "reduced_sigma"), made, strict=True
            ):
                result[f"{key}_{name}"] = values
        return result

    def _reduce(self, data: Mapping[Hashable, Any], key: Hashable) -> tuple[Tensor, Tensor, Tensor]:
        """Return the series with less noise, its scale and its noise level."""
        image, mask, scale, sigma = (
            torch.as_tensor(data[name]).as_subclass(Tensor)
            for name in (key, *(f"{key}_{part}" for part in ("mask", "scale", "sigma")))
        )
        mask, scale, noise = mask[0] > 0, scale[0], (scale * sigma)[0]
        reduced, level = reduce_noise(image.float(), mask, noise, data["b_rows"])
        signals = reduced[:, mask].T
        floor = move_floor(self.noise, signals, noise[mask, None], level[mask, None])
        reduced[:, mask] = floor.T
        if self.s0 is None:
            found = scale_map(reduced, mask, data["b_rows"], data["unweighted"], self.scale_rule)
            scale = torch.where(torch.isfinite(found) & (found > 0), found, scale)
        return reduced, scale.unsqueeze(0), (level / scale).unsqueeze(0)


def _tensor_fit(fit: Callable[..., tuple[Tensor, Tensor]]) -> _Method:
    """Return the method that replaces signals by those of a fitted tensor."""

    def restore(series: Tensor, mask: Tensor, data: Mapping[Hashable, Any]) -> Tensor:
        rows = torch.as_tensor(data["b_rows"]).as_subclass(Tensor).float()
        found = series.movedim(0, -1).clone()
        signals = found[mask]
        # The floor of the logarithm is meant for signals in units of S_0.
        unweighted = torch.as_tensor(data["unweighted"]).cpu()
        unit = torch.maximum(signals[:, unweighted].mean(1), signals.mean(1)).unsqueeze(1)
        unit = unit.clamp_min(torch.finfo(torch.float32).tiny)
        parts = []
        for part in torch.split(signals / unit, _CHUNK):
            tensors, scale = fit(part, rows, scale_known=False)
            parts.append(scale.unsqueeze(1) * tensor_signal(tensors, rows))
        found[mask] = torch.cat(parts) * unit
        return found.movedim(-1, 0)

    return restore


def _patch2self(series: Tensor, _: Tensor, data: Mapping[Hashable, Any]) -> Tensor:
    """Restore a series by DIPY's Patch2Self.

    DIPY's first version, which regresses over all voxels: the third draws a random subset at each
    call, which would not be reproducible. Negative results are cut to 0.

    In DIPY 1.12 the regression centres its input in place and then predicts from the centred input,
    so that a volume is too dark by a constant. A regression with an intercept keeps the mean of a
    volume, which is restored here.
    """
    from dipy.denoise.patch2self import patch2self

    # Neither shifted nor cut by DIPY: first the mean is put right.
    found = patch2self(
        _volumes_last(series),
        _weighting(data),
        version=1,
        clip_negative_vals=False,
        shift_intensity=False,
    )
    restored = _volumes_first(found)
    lost = (series - restored).mean((1, 2, 3), keepdim=True)
    return (restored + lost).clamp_min(0.0)


def _mppca(series: Tensor, mask: Tensor, _: Mapping[Hashable, Any]) -> Tensor:
    """Restore a series by DIPY's MP-PCA."""
    from dipy.denoise.localpca import mppca

    return _by_patches(mppca, series, mask)


def _localpca(series: Tensor, mask: Tensor, data: Mapping[Hashable, Any]) -> Tensor:
    """Restore a series by DIPY's local PCA.

    Its noise estimate is not corrected for a Rician floor: the error on the demonstration set,
    whose noise is Gaussian, is smaller so.
    """
    from dipy.core.gradients import gradient_table
    from dipy.denoise.localpca import localpca

    bvals = _weighting(data)
    # Any unit vector will do: the method only asks which volumes are weighted.
    directions = np.where(bvals[:, None] > 0, [1.0, 0.0, 0.0], 0.0)
    gradients = gradient_table(bvals, bvecs=directions)
    return _by_patches(localpca, series, mask, gtab=gradients, correct_bias=False)


def _by_patches(
    method: Callable[..., NDArray[Any]], series: Tensor, mask: Tensor, **settings: Any
) -> Tensor:
    """Restore a series by a method of DIPY's that works on local patches."""
    with np.errstate(invalid="ignore"):  # 0 / 0 where there is no patch
        found = method(
            _volumes_last(series),
            mask=mask.numpy(),
            patch_radius=patch_radii(series.shape[1:], len(series)),
            suppress_warning=True,  # of patches that a thin volume leaves small
            **settings,
        )
    return _volumes_first(found)


_METHODS: dict[str, _Method] = {
    "wls": _tensor_fit(fit_log_linear),
    "nlls": _tensor_fit(fit_non_linear),
    "patch2self": _patch2self,
    "mppca": _mppca,
    "localpca": _localpca,
}


def patch_radii(shape: tuple[int, ...], measurements: int) -> NDArray[np.int64]:
    """Return half the width of a patch along each axis, as :func:`patch_widths` has it.

    Args:
        shape: Shape of the volume, three numbers.
        measurements: Number of volumes.

    Raises:
        ValueError: If no patch of more than one voxel fits in.

    Example:
        >>> patch_radii((20, 20, 4), 128).tolist()
        [3, 3, 1]
    """
    radii = np.array(patch_widths(shape, measurements), dtype=np.int64) // 2
    if not radii.any():
        raise ValueError(f"a volume of {tuple(shape)} voxels is too small for patches")
    return radii


def _weighting(data: Mapping[Hashable, Any]) -> NDArray[np.float64]:
    """Return nominal b-values: DIPY only needs to know which volumes are weighted."""
    return np.where(np.asarray(data["unweighted"], dtype=bool), 0.0, _WEIGHTED)


def _volumes_last(series: Tensor) -> NDArray[np.float32]:
    """Return a series as DIPY takes it, ``(X, Y, Z, M)``."""
    return np.ascontiguousarray(np.moveaxis(series.cpu().numpy(), 0, -1))


def _volumes_first(series: NDArray[np.float32]) -> Tensor:
    """Return a series of DIPY's as MONAI has it, ``(M, X, Y, Z)``."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(series, -1, 0)))
