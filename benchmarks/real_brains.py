"""Real brains (T1, T2, FLAIR) as a dataset for ``gan3d_sr_denoise``, with their licences.

Beside them the training holds images of anatomical label maps with random contrasts, so that a
network does not learn that only T1-weighted brains exist.

Needs a folder with open data that this repository does not hold, and its ``manifest.json``, which
names each file's licence and origin. Only what may be used and passed on freely is taken: never
GPL, never without a licence. Air around each head is cut off.

Training and test share no person and no scanner. The test volumes are the one with the smallest
voxels and those of a person with a stroke, which must not be smoothed away. Validation holds
another head, and a person whom the training does not hold, of a scanner that it does.

Run: ``python -m benchmarks.real_brains --data FOLDER --output FOLDER [--largest N] [--all-maps]
[--as-labels] [--without SUBJECT ...]``
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from custom.data.datasets.dataset_kinds import VOLUMES, volume_pair
from custom.data.datasets.dataset_writer import DatasetWriter
from custom.data.preparation.cropping import crop_air, fit_int16
from custom.errors import InputError
from custom.transforms.contrast.tissue_contrast import tissue_image

LICENCES = ("BSD", "MIT", "PDDL", "CC-BY", "Apache")


@dataclass(frozen=True)
class Source:
    """One volume of the data folder.

    Args:
        file: Its path there.
        split: Where it goes.
        subject: Who it shows; one name is one person.
        scanner: What it was measured with, or who did, as far as that is known.
    """

    file: str
    split: str
    subject: str
    scanner: str


def _sources(split: str, subject: str, scanner: str, *files: str) -> tuple[Source, ...]:
    """Return the volumes of a person."""
    return tuple(Source(file, split, subject, scanner) for file in files)


_LIFESPAN = "bids_lifespan/sub-{0}/ses-V{1}/anat/sub-{0}_ses-V{1}_T1w.nii.gz"
# The manifest describes the folder, and lists none of its files.
_LIFESPAN_ENTRY = {
    "what": "T1w brain, extracted, 0.8 mm, one of four people of different ages",
    "licence": "MIT",
    "licence_quote": "MIT License",
    "source_repo": "DBC-Lab/Brain_MRI_Enhancement",
    "source_path": "test_BIDS",
    "source_commit": "b47e31f",
}
LABEL_MAPS = (
    *(f"labels/synthseg_seg_{number:02d}_1mm.nii.gz" for number in range(1, 4)),
    *(f"labels/synthsr_brain{number}_labels_1mm.nii.gz" for number in range(1, 6)),
)
FURTHER_MAPS = tuple(f"labels/synthseg_seg_{number:02d}_1mm.nii.gz" for number in range(4, 13))


def _maps(files: tuple[str, ...]) -> tuple[Source, ...]:
    """Return label maps, of which images are made."""
    return tuple(
        Source(file, "training", Path(file).name[:-7], "no scanner: label map") for file in files
    )


SOURCES = (
    *_maps(LABEL_MAPS),
    *_sources(
        "training", "philips_a", "Philips Elition X", "human_t1/philips3T_subA_T1w_1mm.nii.gz"
    ),
    *_sources(
        "training", "colin27", "MNI (mean of 27 scans)", "templates/colin27_ch2_T1_1mm.nii.gz"
    ),
    *(
        source
        for subject, contrasts in (
            ("07", ("T1", "T1post", "T2", "FLAIR")),
            ("19", ("T1", "T2", "FLAIR")),
        )
        for source in _sources(
            "training",
            f"ms{subject}",
            "Ljubljana, 3 T",
            *(f"human_multi/ms_patient{subject}_{name}_1mm_brain_MNI.nii.gz" for name in contrasts),
        )
    ),
    *(
        source
        for subject, visits in (("0001", ("01", "02")), ("0002", ("01",)), ("0003", ("01",)))
        for source in _sources(
            "training",
            f"lifespan{subject}",
            "lifespan, Siemens 3 T",
            *(_LIFESPAN.format(subject, visit) for visit in visits),
        )
    ),
    *_sources("validation", "seg3d", "clinical, Utah", "human_t1/seg3d_epilepsy_T1w_1mm.nii.gz"),
    *_sources(
        "validation", "lifespan0004", "lifespan, Siemens 3 T", _LIFESPAN.format("0004", "01")
    ),
    *_sources(
        "test",
        "studyforrest02",
        "studyforrest, 3 T",
        "human_t1/studyforrest_sub02_T1w_0.67mm_defaced.nii.gz",
    ),
    *_sources(
        "test",
        "stroke",
        "C-STAR, 3 T",
        *(f"human_multi/stroke_{name}_1mm_brain.nii.gz" for name in ("T1", "T2", "FLAIR")),
    ),
)

ALL_MAPS = (*SOURCES, *_maps(FURTHER_MAPS))


def prepare(
    data: Path,
    output: Path,
    sources: tuple[Source, ...] = SOURCES,
    largest: int | None = None,
    as_labels: bool = False,
) -> list[dict[str, Any]]:
    """Write the dataset.

    Args:
        data: The data folder, with its ``manifest.json``.
        output: Where the dataset goes.
        sources: What to take.
        largest: Voxels along an axis to which validation and test volumes are cut around their
            middle; None for whole heads.
        as_labels: Label maps are written as they are, for a training that draws contrasts itself.

    Returns:
        What was taken: scan, split, file, licence, quote, origin, shape and spacing of each.

    Raises:
        InputError: If a file or its entry in the manifest is missing, a licence is not one of
            ``LICENCES``, or a person or scanner of the training is also tested.
    """
    _check_apart(sources)
    entries = {entry["file"]: entry for entry in _manifest(data)}
    for source in sources:
        if source.file.startswith("bids_lifespan/"):
            entries.setdefault(source.file, _LIFESPAN_ENTRY)
    taken = []
    rng = np.random.default_rng(0)
    about = "Openly licensed T1w, T2w and FLAIR volumes; air cut off"
    if largest is not None:
        about += f"; of validation and test the middle {largest} voxels of each axis"
    with DatasetWriter(output, VOLUMES, "real brains", about) as writer:
        for source in sources:
            entry = entries.get(source.file)
            if entry is None or not (data / source.file).is_file():
                raise InputError(f"{data / source.file} or its entry in the manifest is missing")
            if not entry["licence"].startswith(LICENCES):
                raise InputError(f"{source.file} is under {entry['licence']}: leave it out")
            image = nib.load(data / source.file)
            cut = None if source.split == "training" else largest
            values = np.asarray(image.dataobj, np.float32)
            if source.file.startswith("labels/"):
                values = values if as_labels else tissue_image(values.astype(int), rng)
            label, affine = crop_air(values, image.affine, cut)
            scan = Path(source.file).name.removesuffix(".nii.gz")
            fields = {"subject": source.subject, "scanner": source.scanner}
            fields["licence"] = entry["licence"]
            if as_labels and source.file.startswith("labels/"):
                fields["label_map"] = True
            writer.add(source.split, scan, volume_pair(fit_int16(label)[0], affine), **fields)
            taken.append(_record(scan, source, entry, label, affine))
    (output / "sources.json").write_text(json.dumps(taken, indent=1) + "\n", encoding="utf-8")
    return taken


def _check_apart(sources: tuple[Source, ...]) -> None:
    """Refuse to test on people or scanners of the training."""
    for name in ("subject", "scanner"):
        trained = {getattr(part, name) for part in sources if part.split == "training"}
        shared = trained & {getattr(part, name) for part in sources if part.split == "test"}
        if shared:
            raise InputError(f"{name} {sorted(shared)} is in training and test: choose one")


def _manifest(data: Path) -> list[dict[str, Any]]:
    """Read the entries of the manifest."""
    file = data / "manifest.json"
    if not file.is_file():
        raise InputError(f"{file} is missing: --data takes the folder that holds it")
    entries: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["entries"]
    return entries


def _record(
    scan: str,
    source: Source,
    entry: dict[str, Any],
    label: NDArray[Any],
    affine: NDArray[np.float64],
) -> dict[str, Any]:
    """Return what the model card says about a volume."""
    return {
        "scan": scan,
        "split": source.split,
        "subject": source.subject,
        "scanner": source.scanner,
        "what": entry["what"],
        "licence": entry["licence"],
        "licence_quote": entry["licence_quote"],
        "origin": f"github.com/{entry['source_repo']} {entry['source_path']}",
        "commit": entry["source_commit"],
        "shape": list(label.shape),
        "spacing_mm": np.linalg.norm(affine[:3, :3], axis=0).round(4).tolist(),
    }


def table(taken: list[dict[str, Any]]) -> str:
    """Return the records as a Markdown table."""
    lines = ["| Split | Scan | What | Voxels | mm | Licence | From |", "|" + "---|" * 7]
    for part in taken:
        voxels, spacing = (" x ".join(map(str, part[key])) for key in ("shape", "spacing_mm"))
        cells = (part["split"], part["scan"], part["what"], voxels, spacing, part["licence"])
        lines.append("| " + " | ".join((*cells, part["origin"].split()[0])) + " |")
    return "\n".join(lines)


def main(make: Callable[..., list[dict[str, Any]]] | None = None, about: str = __doc__) -> None:
    """Make a dataset and say what is in it."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the open data")
    parser.add_argument("--output", type=Path, required=True, help="where the dataset goes")
    parser.add_argument("--largest", type=int, help="cut validation and test to so many voxels")
    if make is None:
        parser.add_argument("--all-maps", action="store_true", help="17 label maps, not 8")
        parser.add_argument("--as-labels", action="store_true", help="label maps as they are")
        parser.add_argument("--without", nargs="*", default=[], help="subjects to leave out")
    given = vars(parser.parse_args())
    if make is None:
        taken = ALL_MAPS if given.pop("all_maps") else SOURCES
        left_out = given.pop("without")
        given["sources"] = tuple(part for part in taken if part.subject not in left_out)
    print(table((make or prepare)(**given)))


if __name__ == "__main__":
    main()
