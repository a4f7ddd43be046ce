"""Prepare a paired micro-MRI dataset from scanner folders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from custom.data.datasets.datalist import EXCLUSIONS
from custom.data.datasets.dataset_kinds import PAIRED_STACKS
from custom.data.datasets.dataset_writer import DATALIST, SPLITS, DatasetWriter
from custom.data.datasets.exclusions import EXCLUSION_COLUMNS, check_exclusions, read_exclusions
from custom.data.preparation.dataset_publishing import (
    PREPARATION,
    check_output_dir,
    published_dataset,
)
from custom.data.preparation.pair_loading import PairLoader
from custom.data.preparation.scans.scan_description import LeftOut, ScanDescription
from custom.data.preparation.scans.scan_finder import ScanFinder
from custom.data.preparation.scans.scan_pairing import ScanPair
from custom.data.preparation.splits import AnimalSplit, SubjectSplit
from custom.errors import InputError
from custom.files.atomic import write_json
from custom.files.csv_table import write_table
from custom.versions import package_versions

__all__ = ["MicroMriPreparation"]

logger = logging.getLogger(__name__)

_PACKAGES = ("mri-restoration-bundles", "brukerapi", "nibabel", "numpy", "scipy", "zarr")

Pairing = Callable[[list[ScanDescription]], tuple[list[ScanPair], list[LeftOut]]]


class MicroMriPreparation:
    """Pair fast and default scans, and write them as a dataset.

    Every scan that is in no pair is logged with the reason and listed in ``preparation.json``,
    beside the files, hashes and acquisition parameters of each pair. Names of operators and dates
    are not kept.

    Args:
        find: Finds and describes the scans.
        pair: Makes pairs of them, as :func:`custom.data.preparation.scans.scan_pairing.pair_scans`.
        load: Reads the pixels of a pair.
        split: Gives the animal of a scan, and the split of an animal.
        output_dir: Folder of the dataset.
        exclusions: List of bad slices (CSV or JSON) that becomes the dataset's own.
        overwrite: Whether to replace a dataset in ``output_dir``; its ``exclusions.csv`` stays
            unless ``exclusions`` gives another.

    Raises:
        InputError: If ``output_dir`` is missing or in use, or ``exclusions`` is invalid.
    """

    def __init__(
        self,
        find: ScanFinder,
        pair: Pairing,
        load: PairLoader,
        split: AnimalSplit | SubjectSplit,
        output_dir: str | Path | None,
        exclusions: str | Path | None = None,
        overwrite: bool = False,
    ) -> None:
        self.find = find
        self.pair = pair
        self.load = load
        self.split = split
        if output_dir is None:
            raise InputError("output_dir is missing: give the folder of the dataset")
        self.output_dir = Path(output_dir).expanduser().resolve()
        self.given = exclusions is not None
        kept = self.output_dir / EXCLUSIONS
        self.listed = exclusions or (kept if kept.is_file() else None)
        self.excluded = read_exclusions(self.listed)
        check_output_dir(self.output_dir, overwrite, frozenset({EXCLUSIONS}))

    def run(self) -> Path:
        """Write the dataset.

        Returns:
            The path of its ``datalist.json``.

        Raises:
            InputError: If there is nothing to read, no pair, or a scan or slice to exclude does not
                exist; if the split of an animal is in doubt, or two pairs hold the same image.
        """
        scans, left_out = self.find()
        pairs, unpaired = self.pair(scans)
        left_out = [*left_out, *unpaired]
        slices = {pair.scan_id: pair.fast.size[2] for pair in pairs}
        check_exclusions(self.excluded, slices, self.listed)
        animals = [(Path(pair.fast.animal), pair.fast.animal) for pair in pairs]
        subjects = self.split.subjects_of(animals)
        splits = self.split(subjects)
        placed = [(pair, one, splits.get(one)) for pair, one in zip(pairs, subjects, strict=True)]
        about = "mouse micro-MRI", "fast and default scans, paired"
        with published_dataset(self.output_dir, PAIRED_STACKS, *about) as writer:
            records = self._write_pairs(writer, placed, left_out)
            for item in left_out:
                logger.warning("not paired: %s: %s", item.source, item.reason)
            if not records:
                reason = f"{left_out[0].source}: {left_out[0].reason}" if left_out else "none read"
                raise InputError(
                    f"no pair of scans in {self.find}: {len(left_out)} scans left out, such as "
                    f"{reason}"
                )
            self._write_exclusions(writer.folder)
            write_json(writer.folder / PREPARATION, self._report(records, left_out))
        counts = ", ".join(f"{len(writer.items[split])} {split}" for split in SPLITS)
        empty = [split for split in SPLITS if not writer.items[split]]
        if empty:
            logger.warning(
                "no pair for %s: a training needs training and validation, an evaluation test; "
                "split the animals that there are by --shares::training 0.7",
                " and ".join(empty),
            )
        logger.info(
            "%d pairs (%s) written to %s; %d scans not paired",
            len(records),
            counts,
            self.output_dir,
            len(left_out),
        )
        return self.output_dir / DATALIST

    def _write_pairs(
        self,
        writer: DatasetWriter,
        pairs: Sequence[tuple[ScanPair, str, str | None]],
        left_out: list[LeftOut],
    ) -> list[dict[str, Any]]:
        """Write all pairs that can be read; the scans of the others are added to ``left_out``."""
        records: list[dict[str, Any]] = []
        for pair, subject, split in tqdm(pairs, "Preparing pairs", disable=None):
            try:
                if split is None:
                    raise InputError(
                        f"animal {subject} is not in the split_file: add it there, or split by "
                        "--shares"
                    )
                images, record = self.load(pair)
            except InputError as error:
                reason = f"{pair.scan_id}: {error}"
                left_out += [LeftOut(scan.source, reason) for scan in (pair.fast, pair.default)]
                continue
            for scan in (pair.fast, pair.default):
                for remark in scan.remarks:
                    logger.warning("doubtful: %s: %s", scan.source, remark)
            writer.add(
                split,
                pair.scan_id,
                images,
                animal=pair.fast.animal,
                subject=subject,
                plane=pair.fast.plane,
                region=pair.fast.region,
                phase_axis=pair.fast.parameters.get("phase_axis"),
            )
            excluded = sorted(self.excluded.get(pair.scan_id, ()))
            head = {"scan": pair.scan_id, "split": split, "excluded_slices": excluded}
            records.append(head | record)
        return records

    def _write_exclusions(self, folder: Path) -> None:
        """Write the list of bad slices that was given, if one was."""
        if not self.given:
            return
        rows = [
            {"scan": scan, "slice": index, "exclude": "yes", "reason": "given to prepare"}
            for scan, indices in sorted(self.excluded.items())
            for index in sorted(indices)
        ]
        write_table(folder / EXCLUSIONS, EXCLUSION_COLUMNS, rows)

    def _report(self, records: Sequence[Any], left_out: Sequence[LeftOut]) -> dict[str, Any]:
        """Return the content of ``preparation.json``."""
        return {
            "versions": package_versions(_PACKAGES),
            "settings": {
                "method": self.find.method,
                "reconstruction": self.find.reconstruction,
                "region_patterns": self.find.region_patterns,
                **self.split.settings,
                **vars(self.load),
            },
            "pairs": list(records),
            "not_paired": [vars(item) for item in left_out],
        }
