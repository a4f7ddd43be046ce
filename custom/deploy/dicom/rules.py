"""Rules from a file that select the series of a DICOM study to restore."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydicom.dataset import Dataset

from custom.deploy.dicom.derived_maps import map_of
from custom.deploy.dicom.header_values import quiet_pydicom, texts, value_of
from custom.deploy.dicom.series import DicomSeries
from custom.deploy.dicom.writing.derivation import MAKER
from custom.errors import InputError, Refusal
from custom.files.map_names import DerivedMaps
from custom.files.text_files import read_unique

__all__ = ["SeriesRules", "WordRules", "load_rules", "select_series"]

Answer = Literal["refuse", "warn"]
_CHOICES = {
    "modality": ("MR",),
    "acquisition": ("2D", "3D"),
    "outside_training_range": get_args(Answer),
    "lossy_compression": get_args(Answer),
    "own_results": ("refuse", "allow"),
    "derived_maps": get_args(DerivedMaps),
}
_LISTED = 12  # most series that a message lists


@dataclass(frozen=True)
class WordRules:
    """Patterns that a text must, and must not, match.

    Attributes:
        include: One of them must match; empty: any text is accepted.
        exclude: None of them may match.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def fault(self, words: Sequence[str]) -> str | None:
        """Return the reason why a text (or a list of words) does not match; None if it does."""
        for pattern in self.exclude:
            if any(re.search(pattern, word, re.IGNORECASE) for word in words):
                return f"matches {pattern!r}"
        wanted = [p for p in self.include if any(re.search(p, w, re.IGNORECASE) for w in words)]
        return None if wanted or not self.include else f"matches none of {list(self.include)}"


@dataclass(frozen=True)
class SeriesRules:
    """Rules for the series to restore, and for doubtful ones.

    Attributes:
        modality: Modality (0008,0060) that it must have.
        description: Regular expressions, found anywhere in Series Description (0008,103E),
            without regard to case.
        image_type: The same for the values of Image Type (0008,0008).
        number: Series Number (0020,0011) that it must have; None: any.
        min_slices: The fewest images.
        acquisition: MR Acquisition Type (0018,0023) that it must have, ``2D`` or ``3D``; None: any.
        outside_training_range: Whether to refuse or to warn of a volume unlike the training data.
        lossy_compression: Whether to refuse or to warn of pixels that were compressed with loss.
        own_results: Whether to refuse or to allow what this application, or other research
            software, has made.
        derived_maps: Whether to refuse or to allow maps computed from images (ADC, FA, CBF, T2,
            projections, subtractions and the like).
    """

    modality: str = "MR"
    description: WordRules = field(default_factory=WordRules)
    image_type: WordRules = field(default_factory=lambda: WordRules(exclude=("^LOCALIZER$",)))
    number: int | None = None
    min_slices: int = 2
    acquisition: Literal["2D", "3D"] | None = None
    outside_training_range: Answer = "refuse"
    lossy_compression: Answer = "refuse"
    own_results: Literal["refuse", "allow"] = "refuse"
    derived_maps: DerivedMaps = "refuse"

    def fault(self, series: DicomSeries) -> str | None:
        """Return the reason why a series does not match; None if it does."""
        header = series.headers[0]
        if series.modality != self.modality:
            return f"not {self.modality}"
        if self.own_results == "refuse" and _is_result(header):
            return "a result of research software"
        if self.derived_maps == "refuse" and (how := map_of(header)):
            return f"a map computed from images ({how}); derived_maps: allow takes it"
        if self.number is not None and series.number != self.number:
            return f"not number {self.number}"
        if fault := self.description.fault([series.description]):
            return f"description {fault}"
        if fault := self.image_type.fault(texts(header, "ImageType")):
            return f"image type {fault}"
        acquisition = str(header.get("MRAcquisitionType") or "")
        if self.acquisition is not None and acquisition != self.acquisition:
            return f"acquisition {acquisition or 'unknown'}, not {self.acquisition}"
        if series.image_count < self.min_slices:
            return f"fewer than {self.min_slices} images"
        return None


def load_rules(path: Path | None) -> SeriesRules:
    """Read rules from a JSON or YAML file.

    Args:
        path: The file: any of the attributes of :class:`SeriesRules`, ``description`` and
            ``image_type`` as ``{include: [...], exclude: [...]}``. None: the defaults.

    Raises:
        InputError: If the file is missing or not readable, or a key or value is invalid.
    """
    if path is None:
        return SeriesRules()
    path = Path(path)
    if not path.is_file():
        raise InputError(f"series rules {path}: no such file: give a .json or .yaml file")
    try:
        content = read_unique(path)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        fault = " ".join(str(error).split())
        raise InputError(f"series rules {path}: cannot be read: {fault}") from error
    place = f"series rules {path}"
    values = _known({} if content is None else content, SeriesRules, place)
    return SeriesRules(
        **{key: _value(key, value, f"{place}: {key}") for key, value in values.items()}
    )


@quiet_pydicom()
def select_series(series: Sequence[DicomSeries], rules: SeriesRules) -> DicomSeries:
    """Return the one series that matches the rules.

    Raises:
        Refusal: ``no-series`` or ``several-series``; the message lists the series by modality,
            number, description and count.
    """
    faults = {one.uid: rules.fault(one) for one in series}
    wanted = [one for one in series if faults[one.uid] is None]
    if len(wanted) == 1:
        return wanted[0]
    if wanted:
        raise Refusal(
            "several-series",
            f"{len(wanted)} series match the rules, and one is needed: {_list(wanted)}: narrow the "
            "rules by description or number",
        )
    found = _list(series, {uid: f": {fault}" for uid, fault in faults.items()})
    raise Refusal("no-series", f"no series matches the rules; found {found}: change the rules")


def _list(series: Sequence[DicomSeries], why: Mapping[str, str] | None = None) -> str:
    """Return the series in words, with the reason why each was not selected."""
    named = [one.title + (why or {}).get(one.uid, "") for one in series[:_LISTED]]
    more = len(series) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more else "")


def _is_result(header: Dataset) -> bool:
    """Return True if an image was made by this application, or is derived and research-only."""
    equipment = value_of(header, "ContributingEquipmentSequence") or ()
    if any(str(value_of(item, "Manufacturer")) == MAKER for item in equipment):
        return True
    research = value_of(header, "ContentQualification") == "RESEARCH"
    return research and "DERIVED" in texts(header, "ImageType")


def _known(content: Any, kind: type[SeriesRules] | type[WordRules], place: str) -> dict[str, Any]:
    """Return a mapping of known keys only."""
    known = [one.name for one in fields(kind)]
    if not isinstance(content, Mapping):
        raise InputError(f"{place}: must be a mapping of {', '.join(known)}")
    for key in content:
        if key not in known:
            raise InputError(f"{place}: unknown key {key!r}: use {', '.join(known)}")
    return dict(content)


def _value(key: str, value: Any, place: str) -> Any:
    """Return a checked value of one rule."""
    if key in ("description", "image_type"):
        words = _known(value, WordRules, place)
        return WordRules(
            **{name: _patterns(some, f"{place}.{name}") for name, some in words.items()}
        )
    if value is None and key in ("number", "acquisition"):
        return None
    if key in _CHOICES:
        if value not in _CHOICES[key]:
            raise InputError(f"{place}: must be {' or '.join(_CHOICES[key])}, got {value!r}")
        return value
    lowest = 2 if key == "min_slices" else 0
    # A bool is an int in Python: `number: yes` would mean series 1.
    if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
        raise InputError(f"{place}: must be a whole number from {lowest}, got {value!r}")
    return value


def _patterns(value: Any, place: str) -> tuple[str, ...]:
    """Return regular expressions that compile."""
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"{place}: must be a list of regular expressions, got {value!r}")
    for word in words:
        try:
            re.compile(word)
        except re.error as error:
            raise InputError(f"{place}: {word!r} is no regular expression ({error})") from error
    return tuple(words)
