"""Split into training, validation and test: by animal from a file, or by subject at random."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from custom.data.datasets.dataset_writer import SPLITS
from custom.errors import InputError
from custom.setting_checks import check_not_negative, check_whole

__all__ = ["AnimalSplit", "SubjectSplit"]

_BIDS = r"(?:^|[/_])(sub-[A-Za-z0-9]+)"


class AnimalSplit:
    """Split by animal, so that no animal is both trained on and tested on.

    An animal is looked up by its name, without regard to case; else by the number at the end of its
    name, so that ``m7`` and ``Study-007`` are found under ``mouse07`` or ``7``.

    Args:
        path: A JSON file ``{"training": ["mouse01", ...], "validation": [...], "test": [...]}``.

    Raises:
        InputError: If the file is missing, broken, or names an animal twice.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        form = '{"training": ["mouse01", ...], "validation": [...], "test": [...]}'
        if not self.path.is_file():
            raise InputError(f"split_file {path} does not exist: give a JSON file {form}")
        try:
            content = json.loads(self.path.read_text(encoding="utf-8-sig"))
            lists = {split: [str(name) for name in content[split]] for split in SPLITS}
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"split_file {path} is not of the form {form}: {error}") from error
        self._by_name: dict[str, str] = {}
        self._by_number: dict[int, set[str]] = {}
        for split, names in lists.items():
            for name in names:
                if self._by_name.setdefault(name.casefold(), split) != split:
                    raise InputError(f"split_file {path} has {name} in two splits: keep one")
                number = _number(name)
                if number is not None:
                    self._by_number.setdefault(number, set()).add(split)

    def split_of(self, animal: str) -> str:
        """Return the split of an animal.

        Raises:
            InputError: If the file does not name it, or its number occurs in several splits.
        """
        if animal.casefold() in self._by_name:
            return self._by_name[animal.casefold()]
        number = _number(animal)
        splits = self._by_number.get(number, set()) if number is not None else set()
        if len(splits) == 1:
            return next(iter(splits))
        if splits:
            raise InputError(
                f"animal {animal} could be several of split_file {self.path.name}: name it there"
            )
        raise InputError(f"animal {animal} is not in split_file {self.path.name}: add it there")


def _number(name: str) -> int | None:
    """Return the number at the end of a name, if it has one."""
    match = re.search(r"(\d+)\D*$", name)
    return int(match.group(1)) if match else None


class SubjectSplit:
    """Split by subject, so that no subject is both trained on and tested on.

    Args:
        shares: A mapping from ``training``, ``validation`` and ``test`` to their shares of the
            subjects, in any unit. A share above 0 gets at least one subject, a share of 0 none.
        seed: Random seed; one seed and the same subjects give the same split.
        pattern: Regular expression for the subject in a file's path, its first group if it has
            one; by default the label of BIDS, ``sub-01``. The last place in the path counts.

    Raises:
        InputError: If an argument is out of range, or ``pattern`` no regular expression.
    """

    def __init__(self, shares: Any, seed: int = 0, pattern: str | None = None) -> None:
        if not isinstance(shares, Mapping) or set(shares) != set(SPLITS):
            raise InputError(f"shares must give a number for each of {', '.join(SPLITS)}")
        for split, share in shares.items():
            check_not_negative(f"shares::{split}", share)
        if not any(shares.values()):
            raise InputError("shares must not all be 0")
        check_whole("seed", seed, 0)
        try:
            self.pattern = re.compile(_BIDS if pattern is None else str(pattern))
        except re.error as error:
            raise InputError(f"subject_pattern {pattern!r} is no pattern: {error}") from error
        self.shares = {split: float(shares[split]) for split in SPLITS}
        self.seed = seed

    def subject_of(self, path: Path, name: str) -> str:
        """Return the subject in a path, or ``name`` if there is none."""
        found = list(self.pattern.finditer(path.as_posix()))
        if not found:
            return name
        return found[-1].group(1 if self.pattern.groups else 0) or name

    def __call__(self, subjects: Iterable[str]) -> dict[str, str]:
        """Return the split of each subject.

        Raises:
            InputError: If there are fewer subjects than splits with a share.
        """
        # Sorted: the split must not depend on the order in which files are found.
        names = sorted(set(subjects))
        wanted = [split for split in SPLITS if self.shares[split] > 0]
        if len(names) < len(wanted):
            raise InputError(
                f"{len(names)} subjects ({', '.join(names)}) cannot fill {', '.join(wanted)}: "
                "give more, another subject_pattern, or a share of 0 (--shares::test 0)"
            )
        order = np.random.default_rng(self.seed).permutation(len(names))
        splits = [split for split, count in self._counts(len(names)).items() for _ in range(count)]
        return {names[index]: split for index, split in zip(order, splits, strict=True)}

    def _counts(self, number: int) -> dict[str, int]:
        """Return the size of each split: one subject each, the others by the largest remainder."""
        total = sum(self.shares.values())
        counts = {split: int(share > 0) for split, share in self.shares.items()}
        while sum(counts.values()) < number:
            lack = {split: self.shares[split] / total * number - counts[split] for split in counts}
            counts[max(lack, key=lack.__getitem__)] += 1
        return counts
