"""Volumes with little noise as a dataset for the denoiser of ``gan3d_sr_denoise``.

A denoiser learns from references; what noise they have it learns to keep. So the training takes
real volumes as they are only where their noise is low, all of them averaged over 2 x 2 x 2 voxels,
which leaves a third of the noise, and noise-free images made from anatomical label maps with random
contrasts and lesions, every other one averaged too. Folder, licences and the cutting of air are
those of :mod:`benchmarks.real_brains`.

Training and test share no person and no scanner but for the lifespan series, of which one person is
held out.

Run: ``python -m benchmarks.clean_brains --data FOLDER --output FOLDER [--largest N]``
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from benchmarks.real_brains import LICENCES, _manifest, main
from custom.data.datasets.dataset_kinds import VOLUMES, volume_pair
from custom.data.datasets.dataset_writer import DatasetWriter
from custom.data.preparation.cropping import crop_air, fit_int16
from custom.errors import InputError
from custom.transforms.contrast.tissue_contrast import tissue_image

Volume = NDArray[np.float32]

_LIFESPAN = "bids_lifespan/sub-{0}/ses-{1}/anat/sub-{0}_ses-{1}_T1w.nii.gz"
# The manifest describes the folder, and lists none of its files.
_LIFESPAN_ENTRY = {
    "what": "T1w brain, extracted, 0.8 mm, one of four people of different ages",
    "licence": "MIT",
    "source_repo": "DBC-Lab/Brain_MRI_Enhancement",
}
_MS = "human_multi/ms_patient{}_1mm_brain_MNI.nii.gz"
# Person, file, and whether it is also taken as it is. Left out is what is noisy even when averaged.
TRAINING = (
    ("colin27", "templates/colin27_ch2_T1_1mm.nii.gz", True),
    ("lifespan0001", _LIFESPAN.format("0001", "V01"), True),
    ("lifespan0002", _LIFESPAN.format("0002", "V01"), True),
    ("lifespan0003", _LIFESPAN.format("0003", "V01"), True),
    ("ms07", _MS.format("07_T1"), False),
    ("ms07", _MS.format("07_T1post"), False),
    ("ms07", _MS.format("07_T2"), False),
    ("ms07", _MS.format("07_FLAIR"), False),
    ("ms19", _MS.format("19_T1"), False),
    ("ms19", _MS.format("19_T2"), False),
    ("philips_a", "human_t1/philips3T_subA_T1w_1mm.nii.gz", False),
)
LABEL_MAPS = (
    *(f"labels/synthseg_seg_{number:02d}_1mm.nii.gz" for number in range(1, 13)),
    *(f"labels/synthsr_brain{number}_labels_1mm.nii.gz" for number in range(1, 6)),
)
_LESIONS = 12
HELD = (
    ("validation", "seg3d", "human_t1/seg3d_epilepsy_T1w_1mm.nii.gz"),
    ("test", "studyforrest02", "human_t1/studyforrest_sub02_T1w_0.67mm_defaced.nii.gz"),
    ("test", "stroke", "human_multi/stroke_T1_1mm_brain.nii.gz"),
    ("test", "stroke", "human_multi/stroke_T2_1mm_brain.nii.gz"),
    ("test", "stroke", "human_multi/stroke_FLAIR_1mm_brain.nii.gz"),
    ("test", "lifespan0004", _LIFESPAN.format("0004", "V01")),
)


def prepare(data: Path, output: Path, largest: int | None = None) -> list[dict[str, Any]]:
    """Write the dataset.

    Args:
        data: The data folder, with its ``manifest.json``.
        output: Where the dataset goes.
        largest: Voxels along an axis to which validation and test volumes are cut around their
            middle; None for whole heads.

    Returns:
        Split, subject, file, licence and origin of each volume.

    Raises:
        InputError: If a file or its entry in the manifest is missing, or its licence is not one of
            :data:`benchmarks.real_brains.LICENCES`.
    """
    entries = {entry["file"]: entry for entry in _manifest(data)}
    for _, _, file in (*HELD, *((0, one[0], one[1]) for one in TRAINING)):
        if file.startswith("bids_lifespan/"):
            entries.setdefault(file, _LIFESPAN_ENTRY)
    taken = []
    about = "Openly licensed volumes with little noise, and noise-free ones from label maps"
    with DatasetWriter(output, VOLUMES, "brains with little noise", about) as writer:
        for split, subject, file, scan, volume, affine in _volumes(data, largest):
            entry = entries.get(file)
            if entry is None or not entry["licence"].startswith(LICENCES):
                raise InputError(f"{file} has no licence in the manifest, or another: leave it out")
            fields = {"subject": subject, "licence": entry["licence"]}
            which = {"split": split, "scan": scan, "what": entry["what"]}
            writer.add(split, scan, volume_pair(fit_int16(volume)[0], affine), **fields)
            taken.append(
                {
                    **which,
                    **fields,
                    "shape": list(volume.shape),
                    "spacing_mm": np.linalg.norm(affine[:3, :3], axis=0).round(4).tolist(),
                    "origin": f"github.com/{entry['source_repo']}",
                }
            )
    return taken


def _volumes(
    data: Path, largest: int | None
) -> Iterator[tuple[str, str, str, str, Volume, NDArray[np.float64]]]:
    """Yield split, subject, file, scan, volume and affine."""
    for subject, file, as_it_is in TRAINING:
        volume, affine = crop_air(*_read(data / file), None)
        scan = Path(file).name.removesuffix(".nii.gz")
        if as_it_is:
            yield "training", subject, file, scan, volume, affine
        yield "training", subject, file, f"{scan}_averaged", *_averaged(volume, affine)
    rng = np.random.default_rng(0)
    for number, file in enumerate(LABEL_MAPS):
        labels, affine = _read(data / file)
        scan = Path(file).name.removesuffix(".nii.gz")
        made = crop_air(tissue_image(_with_lesions(labels.astype(int), rng), rng), affine, None)
        if number % 2:  # voxels of several tissues, structure as fine as the voxels
            made = _averaged(*made)
        yield "training", scan, file, scan, *made
    for split, subject, file in HELD:
        scan = Path(file).name.removesuffix(".nii.gz")
        volume, affine = crop_air(*_read(data / file), largest)
        if split == "validation":  # by its own noise the epoch would be chosen that denoises least
            volume, affine = _averaged(volume, affine)
        yield split, subject, file, scan, volume, affine


def _read(path: Path) -> tuple[Volume, NDArray[np.float64]]:
    """Return a volume and its affine."""
    if not path.is_file():
        raise InputError(f"{path} is missing")
    image = nib.load(path)
    return np.asarray(image.dataobj, np.float32).clip(min=0), image.affine


def _averaged(volume: Volume, affine: NDArray[np.float64]) -> tuple[Volume, NDArray[np.float64]]:
    """Return the means of 2 x 2 x 2 voxels, and their affine."""
    d, h, w = (length // 2 for length in volume.shape)
    blocks = volume[: 2 * d, : 2 * h, : 2 * w].reshape(d, 2, h, 2, w, 2)
    step = np.diag([2.0, 2.0, 2.0, 1.0])
    step[:3, 3] = 0.5
    return blocks.mean((1, 3, 5)), affine @ step


def _with_lesions(labels: NDArray[np.int_], rng: np.random.Generator) -> NDArray[np.int_]:
    """Return a label map with ellipsoids in it, each a label of its own."""
    inside, made = np.argwhere(labels > 0), labels.copy()
    for number, middle in enumerate(inside[rng.integers(len(inside), size=_LESIONS)], 1):
        reach = rng.integers(1, 7, 3)  # half axes in voxels
        box = tuple(slice(max(0, m - r), m + r + 1) for m, r in zip(middle, reach, strict=True))
        away = [
            (np.arange(part.start, min(part.stop, size)) - m) / (r + 0.5)
            for part, size, m, r in zip(box, labels.shape, middle, reach, strict=True)
        ]
        within = np.square(np.meshgrid(*away, indexing="ij")).sum(0) < 1
        made[box][within & (labels[box] > 0)] = labels.max() + number
    return made


if __name__ == "__main__":
    main(prepare, __doc__)
