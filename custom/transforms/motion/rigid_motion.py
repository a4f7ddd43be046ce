"""Simulated rigid motion for training and evaluation: draws that can be kept and replayed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import affine_to_spacing
from monai.transforms import MapTransform, RandomizableTransform
from monai.utils import convert_to_dst_type
from torch import Tensor

from custom.physics.motion.moved_volume import MotionDraw, Moved, with_motion
from custom.physics.motion.rigid_motion import Fill, acquired_lines
from custom.physics.motion.severity import severity_class
from custom.physics.motion.trajectories import Kind, Order, trajectory
from custom.setting_checks import check_choice, check_share, check_whole
from custom.transforms.volume_resolution import text_seed

__all__ = ["Acquisition", "RandRigidMotiond", "item_random", "severities"]

Acquisition = Literal["2d", "3d", "full_3d"]

_TIMES = 512  # of a path: more than the lines of a scan, of which each takes the nearest


class RandRigidMotiond(RandomizableTransform, MapTransform):
    """Give a still volume the artefacts of a head that moves during the scan.

    The item gets ``severity`` (NRMSE of k-space), ``rms_displacement`` in millimetres,
    ``severity_class``, ``motion_kind`` and ``phase_axis``, and lists of ``slice_severities`` and
    ``slice_classes``. :attr:`draw` is the last draw, which
    :func:`~custom.physics.motion.moved_volume.with_motion` applies to another image.

    Args:
        keys: Magnitude volume; one key.
        acquisition: ``2d``: slices are read one package after the other, each in its own part of
            the path. ``3d``: all slices share the poses of lines, in the plane. ``full_3d``: a
            volume with rotations about, and shifts along, all axes; a plane of k-space a pose.
        kinds: Kinds of the path.
        weights: Their relative probabilities; None: alike.
        translation_mm: Smallest and largest amplitude of the shifts.
        rotation_deg: Smallest and largest amplitude of the rotations.
        prob_still: Share of volumes that do not move; they have noise and missing lines too.
        noise: Smallest and largest deviation of the noise of a channel, in the unit of the image.
        partial_fourier: Smallest and largest share of the lines that is read.
        fill: What stands for the other lines: ``zero`` or ``conjugate``.
        orders: Orders of lines, drawn alike.
        shots: Smallest and largest number of shots of a segmented order.
        packages: Packages of ``2d``: as scanners do, slice ``s`` is in package ``s % packages``.
        phase_axis: 0 or 1 of the plane, or ``random``.
        slice_dim: Spatial axis that counts slices.
        states: Largest number of distinct rotations of a path; time goes with it.
        fixed_by: Keys of the item that name it, such as ``[scan, slice]``: it has the same draw
            each time, as a validation needs. None: each draw is new.
        seed: Of fixed draws.

    Shape:
        ``(1, X, Y, Z)``; output the same.

    Raises:
        ValueError: If a setting is out of range, or, at the call, if voxels are negative.

    Source:
        docs/methods/motion_cdm.md, "Motion".
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        acquisition: Acquisition = "2d",
        kinds: Sequence[Kind] = get_args(Kind),
        weights: Sequence[float] | None = None,
        translation_mm: Sequence[float] = (0.0, 10.0),
        rotation_deg: Sequence[float] = (0.0, 8.0),
        prob_still: float = 0.15,
        noise: Sequence[float] = (0.0, 0.0),
        partial_fourier: Sequence[float] = (1.0, 1.0),
        fill: Fill = "zero",
        orders: Sequence[Order] = ("sequential", "interleaved", "segmented"),
        shots: Sequence[int] = (4, 16),
        packages: int = 2,
        phase_axis: int | Literal["random"] = "random",
        slice_dim: int = 2,
        states: int = 8,
        fixed_by: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        MapTransform.__init__(self, keys)
        check_share("prob_still", prob_still)
        RandomizableTransform.__init__(self, 1 - prob_still)
        check_choice("acquisition", acquisition, get_args(Acquisition))
        check_choice("phase_axis", phase_axis, (0, 1, "random"))
        check_choice("slice_dim", slice_dim, (0, 1, 2))
        check_choice("fill", fill, get_args(Fill))
        for kind in kinds:
            check_choice("kinds", kind, get_args(Kind))
        for order in orders:
            check_choice("orders", order, get_args(Order))
        for name, value in {"packages": packages, "states": states, "shots": shots[0]}.items():
            check_whole(name, value, 1)
        ranges = {"translation_mm": translation_mm, "rotation_deg": rotation_deg, "noise": noise}
        for name, pair in {**ranges, "partial_fourier": partial_fourier, "shots": shots}.items():
            if len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
                raise ValueError(f"{name} must be two numbers of 0 or more in order, got {pair}")
        for share in partial_fourier:
            acquired_lines(2, share)
        if weights is not None and (len(weights) != len(kinds) or not min(weights) >= 0):
            raise ValueError(f"weights must be one a kind, of 0 or more, got {weights}")
        self.acquisition, self.packages, self.phase_axis = acquisition, packages, phase_axis
        self.kinds, self.weights = tuple(kinds), weights
        self.translation_mm, self.rotation_deg, self.noise = translation_mm, rotation_deg, noise
        self.partial_fourier, self.fill = partial_fourier, fill
        self.orders, self.shots = tuple(orders), shots
        self.slice_dim, self.states, self.fixed_by, self.seed = slice_dim, states, fixed_by, seed
        self.draw: MotionDraw | None = None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Draw a motion and apply it."""
        result = dict(data)
        for key in self.key_iterator(result):
            volume = data[key]
            plain = torch.as_tensor(volume).as_subclass(Tensor).float().cpu()
            if plain.min() < 0:
                raise ValueError(f"{key} must be a magnitude image, got values below 0")
            draw = self.randomize(data)
            spacing = (1.0, 1.0, 1.0)
            if isinstance(volume, MetaTensor):
                spacing = tuple(affine_to_spacing(volume.affine.cpu(), 3).tolist())
            moved = Moved(plain, 0.0, 0.0, torch.zeros(plain.shape[self.slice_dim + 1]))
            if draw.kind != "still" or draw.noise_std > 0 or draw.fraction < 1:
                moved = with_motion(plain, draw, spacing, self.slice_dim, self.states)
            result[key] = convert_to_dst_type(moved.image, volume, dtype=torch.float32)[0]
            result |= severities(moved.severity, moved.slice_severities)
            result["rms_displacement"] = moved.displacement
            result["motion_kind"], result["phase_axis"] = draw.kind, draw.phase_axis
        return result

    def randomize(self, data: Mapping[Hashable, Any]) -> MotionDraw:  # type: ignore[override]
        """Draw the motion of an item, which is kept as :attr:`draw`."""
        random = item_random(self, data)
        moves = random.uniform() < self.prob
        kind = str(random.choice(self.kinds, p=self._shares()))
        angle, shift = (_between(random, pair) for pair in (self.rotation_deg, self.translation_mm))
        axis = int(random.randint(2)) if self.phase_axis == "random" else self.phase_axis
        packages = self.packages if self.acquisition == "2d" else 1
        size = 3 if self.acquisition == "full_3d" else 1
        amplitude = torch.tensor([angle] * size + [shift] * max(size, 2))
        generator = torch.Generator().manual_seed(int(random.randint(2**31 - 1)))
        path = trajectory(kind, amplitude, _TIMES * packages, generator)  # type: ignore[arg-type]
        self.draw = MotionDraw(
            kind=kind if moves else "still",  # type: ignore[arg-type]
            paths=path.reshape(-1, packages, _TIMES).movedim(1, 0) * moves,
            phase_axis=axis,
            order=self.orders[random.randint(len(self.orders))],
            shots=int(random.randint(self.shots[0], self.shots[1] + 1)),
            fraction=_between(random, self.partial_fourier),
            fill=self.fill,
            noise_std=_between(random, self.noise),
            seed=int(random.randint(2**31 - 1)),
        )
        return self.draw

    def _shares(self) -> Any:
        """Return the probability of each kind."""
        weights = np.ones(len(self.kinds)) if self.weights is None else np.asarray(self.weights)
        return weights / weights.sum()


def severities(whole: float, slices: Tensor) -> dict[Hashable, Any]:
    """Return what an item says of the severity of its motion, of all slices and of each."""
    return {
        "severity": whole,
        "severity_class": severity_class(whole),
        "slice_severities": slices.tolist(),
        "slice_classes": [severity_class(severity) for severity in slices.tolist()],
    }


def item_random(transform: Any, data: Mapping[Hashable, Any]) -> np.random.RandomState:
    """Return a transform's source of draws, or that of an item if its draws are fixed."""
    if transform.fixed_by is None:
        return transform.R  # type: ignore[no-any-return]
    return np.random.RandomState(
        text_seed([transform.seed, *(str(data[key]) for key in transform.fixed_by)])
    )


def _between(random: np.random.RandomState, pair: Sequence[float]) -> float:
    """Draw a number between two."""
    return float(random.uniform(pair[0], pair[1]))
