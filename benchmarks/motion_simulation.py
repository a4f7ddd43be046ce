"""Simulation of motion, ours against TorchIO: a slice, a training crop and a volume.

TorchIO makes a volume in three poses. Ours is timed in as many, and in the eight that
``RandRigidMotiond`` allows; the time of ours goes with the number of rotations, not of moves.

Run: ``OMP_NUM_THREADS=1 python -m benchmarks.motion_simulation``
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import Timing, repeat, save
from custom.physics.motion.rigid_motion import moved_kspace, to_image
from custom.transforms.motion.torchio_motion import TorchIOMotiond

SLICE = (1, 112, 96)  # that of the prototype
CROP = (5, 224, 192)  # of a training on slices with their neighbours
VOLUME = (96, 112, 96)
MOVES = 3


def run() -> dict[str, Any]:
    """Time them in turn."""
    random = torch.Generator().manual_seed(0)
    slices, crop, volume = (torch.rand(s, generator=random) for s in (SLICE, CROP, VOLUME))
    torchio, item = TorchIOMotiond("image", num_transforms=MOVES - 1), {"image": volume[None]}
    figures: dict[str, Any] = {
        "slice_1": repeat(lambda: moved(slices, 2, 1)),
        "slice_8": repeat(lambda: moved(slices, 2, 8)),
        "crop_8": repeat(lambda: moved(crop, 2, 8)),
        "volume_plane_3": repeat(lambda: moved(volume, 2, MOVES)),
        "volume_plane_8": repeat(lambda: moved(volume, 2, 8)),
        "volume_space_3": repeat(lambda: moved(volume, 3, MOVES)),
        "volume_space_8": repeat(lambda: moved(volume, 3, 8)),
        "torchio": repeat(lambda: torchio(item)),
    }
    save("motion_simulation", figures)
    return figures


def moved(image: Tensor, dims: int, states: int) -> Tensor:
    """Return images whose lines are read in so many rotations, and shifted each."""
    lines = image.shape[-1]
    step = torch.arange(lines) * states // lines
    angles, shifts = (step - step[lines // 2]).float(), torch.linspace(-3, 3, lines)
    poses = torch.cat([angles.expand(2 * dims - 3, -1), shifts.expand(dims, -1)])
    return to_image(moved_kspace(image, poses, dims - 1, (1.0,) * dims), dims).abs()


def table(figures: dict[str, Any]) -> str:
    """Return the rows."""
    sizes = {"slice": SLICE[1:], "crop": CROP, "volume": VOLUME, "torchio": VOLUME}
    motion = {"plane": "in the plane ", "space": "in space "}
    lines = ["| simulation | image | ms, median (range) | over TorchIO |", "|---|---|---|---|"]
    for name, value in figures.items():
        if name == "environment":
            continue
        time = value if isinstance(value, Timing) else Timing(**value)
        kind, *how = name.split("_")
        text = "".join(motion.get(part, part) for part in how)
        title = f"TorchIO, poses: {MOVES}" if kind == "torchio" else f"ours, rotations: {text}"
        other = figures["torchio"]
        rival = other.median if isinstance(other, Timing) else other["median"]
        ratio = f"{time.median / rival:.2f}" if sizes[kind] == VOLUME else ""
        span = f"{1e3 * time.median:.1f} ({1e3 * time.lowest:.1f} to {1e3 * time.highest:.1f})"
        lines.append(f"| {title} | {' x '.join(map(str, sizes[kind]))} | {span} | {ratio} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(run()))
