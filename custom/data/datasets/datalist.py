"""Read a dataset's list of scans and spread it into single slices."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from custom.data.datasets.dataset_writer import DATALIST, SPLITS
from custom.data.datasets.exclusions import read_exclusions
from custom.errors import InputError

__all__ = ["Demonstration", "load_datalist", "slice_items", "split_items"]

logger = logging.getLogger(__name__)


PATHS = ("image", "label", "mask", "store")
EXCLUSIONS = "exclusions.csv"


class Demonstration(Protocol):
    """A bundle's demonstration set."""

    folder: Path

    def ensure(self) -> Path:
        """Make the set in ``folder`` unless it exists, and return the folder."""
        ...


def load_datalist(
    dataset_dir: str | Path,
    demo: Demonstration | None = None,
    needed: Sequence[str] = ("scan", "image", "label"),
    paths: Sequence[str] = PATHS,
) -> dict[str, list[dict[str, Any]]]:
    """Read ``datalist.json`` of a dataset, with absolute paths.

    The demonstration set is made on first use, but only in its own folder: a mistyped
    ``dataset_dir`` never trains on demonstration data.

    Args:
        dataset_dir: The dataset's folder.
        demo: The bundle's demonstration set, if it has one.
        needed: Required keys of every item.
        paths: Keys of files in the folder; an item need not have all.

    Returns:
        The items of ``training``, ``validation`` and ``test``, without the fields that are null.
        Each also carries ``exclusions``, the path of the dataset's list of bad slices, when there
        is one.

    Raises:
        InputError: If the folder or its list is missing or invalid, or an item lacks a required key
            or a file that it names.
    """
    folder = Path(dataset_dir).resolve()
    if demo is not None and folder == Path(demo.folder).resolve():
        demo.ensure()
    file = folder / DATALIST
    if not folder.is_dir():
        raise InputError(
            f"dataset_dir {folder} does not exist: give the folder that holds {DATALIST}"
        )
    if not file.is_file():
        raise InputError(f"{folder} holds no {DATALIST}: make it with 'mri-bundles prepare'")
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        # Null means unknown, and cannot be collated into a batch.
        splits = {
            split: [
                {key: value for key, value in item.items() if value is not None}
                for item in content[split]
            ]
            for split in SPLITS
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file} is broken ({type(error).__name__}: {error}): it needs the lists {SPLITS}"
        ) from error
    for items in splits.values():
        for item in items:
            _check_needed(item, needed, file)
            _make_absolute(item, folder, file, paths)
    return splits


def _name_of(item: Mapping[str, Any]) -> str:
    """Return the name of an item, or the file that identifies it."""
    return next(
        (str(item[key]) for key in ("scan", "image", "label") if key in item), "without a name"
    )


def _check_needed(item: Mapping[str, Any], needed: Sequence[str], file: Path) -> None:
    """Raise if an item lacks a required key."""
    wanted = (*needed, *(("num_slices",) if "store" in item else ()))
    missing = [key for key in wanted if key not in item]
    if missing:
        raise InputError(
            f"{file}: item {_name_of(item)} lacks {missing}: prepare the dataset again"
        )


def _make_absolute(item: dict[str, Any], folder: Path, file: Path, paths: Sequence[str]) -> None:
    """Make the paths of an item absolute and check that they exist."""
    name = _name_of(item)
    for key in paths:
        if key in item:
            path = folder / item[key]
            if not path.exists():
                raise InputError(f"{file}: {key} of {name} is missing: {path}")
            item[key] = str(path)
    if (folder / EXCLUSIONS).is_file():
        item["exclusions"] = str(folder / EXCLUSIONS)


def slice_items(
    items: Iterable[Mapping[str, Any]], exclusions: str | Path | None = None
) -> list[dict[str, Any]]:
    """Spread scans into one item a slice, without the excluded slices.

    Args:
        items: Items of :func:`load_datalist` with a ``store``.
        exclusions: A list of bad slices; by default the one in the dataset's folder, if any. A
            slice that a scan does not have is logged.

    Returns:
        Items whose ``image`` and ``label`` name single slices of the store, with ``scan``,
        ``slice`` (from 0) and the other entries of the scan's item except its files.

    Raises:
        InputError: If an item has no store, or no slice is left.
    """
    spread: list[dict[str, Any]] = []
    lists: dict[str | Path | None, dict[str, set[int]]] = {}
    for item in items:
        if "store" not in item:
            raise InputError(f"{item['scan']} has no Zarr store: prepare the dataset again")
        source = exclusions or item.get("exclusions")
        if source not in lists:
            lists[source] = read_exclusions(source)
        excluded = lists[source].get(item["scan"], set())
        _warn_of_strangers(item, excluded, source)
        fields = {key: value for key, value in item.items() if key not in (*PATHS, "exclusions")}
        spread += [
            {
                "image": f"{item['store']}/image#{index}",
                "label": f"{item['store']}/label#{index}",
                **fields,
                "slice": index,
            }
            for index in range(item["num_slices"])
            if index not in excluded
        ]
    if not spread:
        raise InputError("no slice is left: the list of scans is empty or all slices are excluded")
    return spread


def _warn_of_strangers(item: Mapping[str, Any], excluded: set[int], source: object) -> None:
    """Log the excluded slices that a scan does not have."""
    strangers = sorted(index for index in excluded if index >= item["num_slices"])
    if strangers:
        logger.warning(
            "%s: %s has %d slices, counted from 0: there are no slices %s to exclude",
            source,
            item["scan"],
            item["num_slices"],
            strangers,
        )


def split_items(
    datalist: Mapping[str, Sequence[dict[str, Any]]], split: str
) -> list[dict[str, Any]]:
    """Return the scans of a split.

    Args:
        datalist: Lists of scans, as ``custom.data.datasets.datalist.load_datalist`` gives them.
        split: ``training``, ``validation`` or ``test``.

    Raises:
        InputError: If there is no such split, or it holds no scan.
    """
    if split not in datalist:
        raise InputError(f"split {split!r} is unknown: choose one of {', '.join(datalist)}")
    items = list(datalist[split])
    if not items:
        filled = [name for name, scans in datalist.items() if scans]
        raise InputError(f"split {split!r} holds no scan: choose one of {', '.join(filled)}")
    return items
