"""Split into training, validation and test by animal, from a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

from custom.data.datasets.dataset_writer import SPLITS
from custom.errors import InputError

__all__ = ["AnimalSplit"]


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
            content = json.loads(self.path.read_text(encoding="utf-8"))
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
