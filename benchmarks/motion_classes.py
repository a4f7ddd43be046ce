"""What motion does to slices of real heads, by class of severity and by kind of path.

Needs a folder with open data that this repository does not hold. Slices of 3 mm of three people;
``docs/methods/motion_cdm.md`` shows the table.

Run: ``OMP_NUM_THREADS=1 python -m benchmarks.motion_classes --data FOLDER``
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from monai.transforms import (
    Compose,
    GaussianSmooth,
    LoadImage,
    Orientation,
    ResizeWithPadOrCrop,
    ScaleIntensityRangePercentiles,
    Spacing,
)
from scipy.stats import spearmanr

from custom.physics.motion.severity import CLASSES
from custom.transforms.motion.rigid_motion import RandRigidMotiond

FILES = (
    "human_t1/seg3d_epilepsy_T1w_1mm.nii.gz",
    "human_t1/studyforrest_sub02_T1w_0.67mm_defaced.nii.gz",
    "human_multi/stroke_T1_1mm_brain.nii.gz",
)
SLICES, REPEATS = 12, 12  # of each head


def main() -> None:
    """Simulate, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    folder = parser.parse_args().data
    motion = RandRigidMotiond("image", "3d", prob_still=0.0)
    motion.set_random_state(0)
    found = []
    for image in [image for name in FILES for image in slices_of(folder / name)] * REPEATS:
        item = motion({"image": image})
        error = float((item["image"] - image).square().mean())
        item["psnr"] = -10 * np.log10(error) if error else np.inf
        found.append(item)
    print_table("class", "severity_class", tuple(CLASSES), found)
    print_table("kind", "motion_kind", motion.kinds, found)
    quality = [item["psnr"] for item in found]
    for name in ("severity", "rms_displacement"):
        rank = spearmanr(quality, [item[name] for item in found]).statistic
        print(f"Spearman's rank correlation of PSNR and {name}: {rank:.2f}")


def slices_of(file: Path) -> list[torch.Tensor]:
    """Return axial slices of the upper half of a head, in [0, 1]."""
    prepare = Compose(
        [
            LoadImage(ensure_channel_first=True, image_only=True),
            Orientation("RAS", labels=None),
            GaussianSmooth(1.2),
            Spacing((3.0, 3.0, 3.0)),
            ScaleIntensityRangePercentiles(0, 99.9, 0, 1, clip=True),
            ResizeWithPadOrCrop((64, 72, -1)),
        ]
    )
    volume = prepare(file)
    planes = np.linspace(0.45 * volume.shape[-1], 0.8 * volume.shape[-1], SLICES).astype(int)
    return [volume[..., plane : plane + 1] for plane in planes.tolist()]


def print_table(
    title: str, key: str, groups: tuple[str, ...], found: list[dict[str, object]]
) -> None:
    """Print the number of slices and their mean PSNR and severity, by group."""
    print(f"| {title} | slices | PSNR | severity | displacement, mm |\n|---|---|---|---|---|")
    for group in groups:
        part = [item for item in found if item[key] == group]
        means = [
            np.mean([float(str(item[name])) for item in part])
            for name in ("psnr", "severity", "rms_displacement")
        ]
        print(f"| {group} | {len(part)} | {means[0]:.1f} | {means[1]:.3f} | {means[2]:.1f} |")


if __name__ == "__main__":
    main()
