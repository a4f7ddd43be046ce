"""Read a dataset's list of scans and spread it into single slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from custom.data.datasets.datalist_checks import HEAD_KEYS, check_apart, check_item, name_of
from custom.data.datasets.dataset_writer import DATALIST, SPLITS
from custom.data.datasets.exclusions import check_exclusions, read_exclusions
from custom.errors import InputError
from custom.files.text_files import check_keys, read_unique
from custom.files.zarr_slices import number_of_slices

__all__ = ["Demonstration", "load_datalist", "slice_items", "split_items"]

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
    exclusions: str | Path | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Read ``datalist.json`` of a dataset, with absolute paths.

    The demonstration set is made on first use, but only in its own folder: a mistyped
    ``dataset_dir`` never trains on demonstration data.

    Args:
        dataset_dir: The dataset's folder.
        demo: The bundle's demonstration set, if it has one.
        needed: Required keys of every item.
        paths: Keys of files in the folder; an item need not have all.
        exclusions: A list of bad slices; by default the one in the dataset's folder, if any.

    Returns:
        The items of ``training``, ``validation`` and ``test``, without the fields that are null.
        Each also carries ``exclusions``, the path of the list of bad slices, when there is one.

    Raises:
        InputError: If the folder or its list is missing or invalid, or has an unknown key; if an
            item lacks a required key or a file that it names; if a scan, a file or a subject stands
            in two splits, or a scan twice in one; or if a scan or slice to exclude does not exist.
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
        content = read_unique(file)
        check_keys(content, HEAD_KEYS)
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
    listed = folder / EXCLUSIONS
    used = exclusions or (listed if listed.is_file() else None)
    for item in chain(*splits.values()):
        check_item(item, needed, paths, file)
        _make_absolute(item, folder, file, paths)
        if used is not None:
            item["exclusions"] = str(used)
    check_apart(splits, file)
    _check_slices(splits, used, file)
    return splits


def _make_absolute(item: dict[str, Any], folder: Path, file: Path, paths: Sequence[str]) -> None:
    """Make the paths of an item absolute and check that they exist."""
    for key in paths:
        if key in item:
            path = folder / item[key]
            if not path.exists():
                raise InputError(f"{file}: {key} of {name_of(item)} is missing: {path}")
            item[key] = str(path)


def _check_slices(
    splits: Mapping[str, Sequence[Mapping[str, Any]]], exclusions: Any, file: Path
) -> None:
    """Refuse numbers of slices that a store does not have, and exclusions of what is not there."""
    stacks = [item for item in chain(*splits.values()) if "store" in item]
    for item in stacks:
        for key in ("image", "label"):
            stored = number_of_slices(Path(item["store"]) / key)
            if type(item["num_slices"]) is not int or item["num_slices"] != stored:
                raise InputError(
                    f"{file}: num_slices of {name_of(item)} is {item['num_slices']!r}, its store "
                    f"holds {stored}: prepare the dataset again"
                )
    if stacks:
        known = {item["scan"]: item["num_slices"] for item in stacks}
        check_exclusions(read_exclusions(exclusions), known, exclusions)


def slice_items(
    datalist: Mapping[str, Sequence[dict[str, Any]]], split: str
) -> list[dict[str, Any]]:
    """Spread the scans of a split into one item a slice, without the excluded slices.

    Args:
        datalist: Lists of scans with a ``store``, as :func:`load_datalist` gives them.
        split: ``training``, ``validation`` or ``test``.

    Returns:
        Items whose ``image`` and ``label`` name single slices of the store, with ``scan``,
        ``slice`` (from 0) and the other entries of the scan's item except its files.

    Raises:
        InputError: If the split holds no scan, an item has no store, or no slice is left.
    """
    spread: list[dict[str, Any]] = []
    for item in split_items(datalist, split):
        if "store" not in item:
            raise InputError(f"{item['scan']} has no Zarr store: prepare the dataset again")
        excluded = read_exclusions(item.get("exclusions")).get(item["scan"], set())
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
        raise InputError(f"no slice of split {split!r} is left: the exclusion list names all")
    return spread


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
        raise InputError(
            f"split {split!r} of the dataset holds no scan: there are some in {', '.join(filled)}: "
            "prepare it by --shares, or choose another split"
        )
    return items
