"""Split into training, validation and test: by animal from a file, or by subject at random."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from custom.data.datasets.dataset_writer import SPLITS
from custom.data.datasets.subject_names import (
    comparison_of,
    groups_of,
    has_session,
    numbers_in,
    pattern_of,
    stem_of,
    subject_key,
    without_session,
)
from custom.errors import InputError
from custom.files.text_files import check_keys, read_unique
from custom.setting_checks import check_not_negative, check_whole

__all__ = ["AnimalSplit", "SubjectSplit", "animal_split"]

logger = logging.getLogger(__name__)

_BIDS = r"(?:^|[/_])(sub-[A-Za-z0-9]+)"
_FORM = '{"training": ["mouse01", ...], "validation": [...], "test": [...]}'


class _Split:
    """Names of the subjects in the paths of their files.

    Args:
        pattern: Regular expression for the subject in a file's path, its first group if it has
            one; by default the label of BIDS, ``sub-01``. The last place in the path counts.

    Raises:
        InputError: If ``pattern`` is no regular expression.
    """

    def __init__(self, pattern: str | None) -> None:
        self.named = pattern is not None
        try:
            self.pattern = re.compile(_BIDS if pattern is None else str(pattern))
        except re.error as error:
            raise InputError(f"subject_pattern {pattern!r} is no pattern: {error}") from error

    def subjects_of(self, files: Sequence[tuple[Path, str]]) -> list[str]:
        """Return the subject in each file's path, or the file's name if there is none."""
        return [self._found(path) or name for path, name in files]

    def _found(self, path: Path) -> str | None:
        """Return the subject in a path, if there is one."""
        found = list(self.pattern.finditer(path.as_posix()))
        return found[-1].group(1 if self.pattern.groups else 0) or None if found else None


def _check_apart(groups: Sequence[Sequence[str]], key: Callable[[str], str]) -> None:
    """Refuse groups of names that may each be one subject's, as ``key`` tells."""
    if groups:
        raise InputError(
            "these may be scans of one subject, which belong in one split: "
            f"{'; '.join(', '.join(group) for group in groups)}: tell the subject's part of a "
            f"name, {_remedy(groups, key)}, or that each name is another subject, "
            "--subject_pattern '.+'"
        )


def _remedy(groups: Sequence[Sequence[str]], key: Callable[[str], str]) -> str:
    """Return the option that tells whose the names in groups are."""
    return f"--subject_pattern '{pattern_of(groups, key) or 'REGULAR EXPRESSION'}'"


class AnimalSplit(_Split):
    """Split by animal from a file, so that no animal is both trained on and tested on.

    An animal is looked up by its name, without regard to case and separators; else by its number,
    if its name holds exactly one, so that ``m7`` and ``Study-007`` are found under ``mouse07``.

    Args:
        path: A JSON file ``{"training": ["mouse01", ...], "validation": [...], "test": [...]}``,
            with a ``description`` if its animals are those of a publication.
        pattern: Regular expression for the animal in a scan's name, ``KO-12`` in ``KO-12-d7``.

    Raises:
        InputError: If the file is missing, broken, or names an animal twice.
    """

    def __init__(self, path: str | Path, pattern: str | None = None) -> None:
        super().__init__(pattern)
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"split_file {path} does not exist: give a JSON file {_FORM}")
        try:
            content = read_unique(self.path)
            check_keys(content, (*SPLITS, "description"))
            lists = {split: [str(name) for name in content[split]] for split in SPLITS}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"split_file {path} is not of the form {_FORM}: {error}") from error
        self.description = str(content.get("description", ""))
        self._listed: dict[str, tuple[str, str]] = {}
        for split, names in lists.items():
            for name in names:
                entry = self._listed.setdefault(subject_key(name), (name, split))
                if entry[1] != split:
                    raise InputError(f"split_file {path} has {name} in two splits: keep one")

    @property
    def settings(self) -> dict[str, Any]:
        """What determines the split."""
        return {"split_file": self.path.name, "subject_pattern": self.pattern.pattern}

    def __call__(self, subjects: Iterable[str]) -> dict[str, str]:
        """Return the split of each animal that the file names.

        Raises:
            InputError: If a name could be that of several animals of the file, or sessions of one
                animal are in several splits.
        """
        candidates = {name: self._candidates(name) for name in sorted(set(subjects))}
        found = {name: known[0] for name, known in candidates.items() if known}
        doubtful = [name for name in found if not self._is_certain(name, candidates[name])]
        if doubtful:
            told = (
                f"{name} ({' or '.join(listed for listed, _ in candidates[name])})"
                for name in doubtful
            )
            remedy = _remedy([[name] for name in doubtful], stem_of)
            raise InputError(
                f"split_file {self.path.name} does not tell the split of {', '.join(told)}: name "
                f"the animal itself, {remedy}, give another --split_file, or split by --shares"
            )
        splits = {name: split for name, (_, split) in found.items()}
        groups = [] if self.named else groups_of(splits, without_session)
        apart = [group for group in groups if len({splits[name] for name in group}) > 1]
        _check_apart(apart, without_session)
        self._tell(found)
        return splits

    def _candidates(self, animal: str) -> list[tuple[str, str]]:
        """Return the animals of the file that a name may mean, each with its split."""
        if subject_key(animal) in self._listed:
            return [self._listed[subject_key(animal)]]
        numbers = numbers_in(animal)
        return [
            (name, split)
            for name, split in self._listed.values()
            if len(own := numbers_in(name)) == 1 and own[0] in numbers
        ]

    def _is_certain(self, animal: str, known: Sequence[tuple[str, str]]) -> bool:
        """Return True if a name is in the file, or its number can be nothing but the animal's."""
        lone = len(numbers_in(animal)) == 1 and not has_session(animal)
        return subject_key(animal) in self._listed or (lone and len({one for _, one in known}) == 1)

    def _tell(self, found: Mapping[str, tuple[str, str]]) -> None:
        """Log which animals are taken for those of the file, and which of a user's file are not."""
        absent = {name for name, _ in self._listed.values()} - {name for name, _ in found.values()}
        if absent and not self.description:
            text = ", ".join(sorted(absent))
            logger.warning("split_file %s names animals without a scan: %s", self.path.name, text)
        renamed = any(subject_key(name) != subject_key(known) for name, (known, _) in found.items())
        if renamed or (found and self.description):
            origin = f" ({self.description})" if self.description else ""
            taken = ", ".join(
                f"{name} as {known} ({split})" for name, (known, split) in found.items()
            )
            logger.warning(
                "split_file %s%s is applied to your animals: %s; if they are others, give "
                "--split_file or --shares",
                *(self.path.name, origin, taken),
            )


class SubjectSplit(_Split):
    """Split by subject, so that no subject is both trained on and tested on.

    Args:
        shares: A mapping from ``training``, ``validation`` and ``test`` to their shares of the
            subjects, in any unit. A share above 0 gets at least one subject, a share of 0 none.
        seed: Random seed; one seed and the same subjects give the same split.
        pattern: Regular expression for the subject in a file's path, its first group if it has
            one; by default the label of BIDS, ``sub-01``. Where it does not occur, the name of the
            file or animal is the subject.

    Raises:
        InputError: If an argument is out of range, or ``pattern`` no regular expression.
    """

    def __init__(self, shares: Any, seed: int = 0, pattern: str | None = None) -> None:
        super().__init__(pattern)
        if not isinstance(shares, Mapping) or set(shares) != set(SPLITS):
            raise InputError(f"shares must give a number for each of {', '.join(SPLITS)}")
        for split, share in shares.items():
            check_not_negative(f"shares::{split}", share)
        if not any(shares.values()):
            raise InputError("shares must not all be 0")
        check_whole("seed", seed, 0)
        self.shares = {split: float(shares[split]) for split in SPLITS}
        self.seed = seed

    @property
    def settings(self) -> dict[str, Any]:
        """What determines the split."""
        return {
            "shares": self.shares,
            "seed": self.seed,
            "subject_pattern": self.pattern.pattern,
        }

    def subjects_of(self, files: Sequence[tuple[Path, str]]) -> list[str]:
        """Return the subject of each file, by its path and name.

        Raises:
            InputError: If names that stand for their subjects may be those of one.
        """
        names = sorted({name for path, name in files if not self._found(path)})
        key = comparison_of(names)
        _check_apart(groups_of(names, key), key)
        return super().subjects_of(files)

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
                "give more, another --subject_pattern, or a share of 0 (--shares::test 0)"
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


def animal_split(
    split_file: str | Path | None,
    published: str | Path,
    shares: Mapping[str, Any],
    seed: int = 0,
    pattern: str | None = None,
) -> AnimalSplit | SubjectSplit:
    """Return the split of a file, or by shares if there are any; by default the published one.

    Args:
        split_file: See :class:`AnimalSplit`.
        published: The file that is used if neither ``split_file`` nor a share is given.
        shares: See :class:`SubjectSplit`; all None if they are not used.
        seed: See there.
        pattern: See there.

    Raises:
        InputError: If both are given.
    """
    given = any(share is not None for share in dict(shares).values())
    if given and split_file is not None:
        raise InputError("--split_file and --shares exclude each other: give one")
    if given:
        return SubjectSplit(shares, seed, pattern)
    return AnimalSplit(published if split_file is None else split_file, pattern)
