"""Files of weights: written with a record beside them, and read only if they are whole."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from custom.errors import InputError
from custom.files.atomic import SHA256, atomic_path, set_aside, sha256_of, write_json
from custom.files.text_files import read_json

__all__ = [
    "check_trained_for",
    "read_checkpoint",
    "read_record",
    "record_of",
    "set_aside_checkpoint",
    "write_checkpoint",
]

logger = logging.getLogger(__name__)

# Of a record: hashes that the file may have, and settings that the weights were trained for.
_HASHES, _TRAINED_FOR = "sha256", "trained_for"


def record_of(path: str | Path) -> Path:
    """Return the path of the record beside weights: ``model.json`` of ``model.pt``."""
    return Path(path).with_suffix(".json")


def read_record(path: str | Path) -> Mapping[str, Any]:
    """Return the record beside weights, ``sha256`` and ``trained_for``; empty if there is none.

    Raises:
        InputError: If it is damaged.
    """
    return _mapping(record_of(path))


def write_checkpoint(
    content: Any, path: str | Path, trained_for: Mapping[str, Any] | None = None
) -> None:
    """Save weights whole or not at all, with a record of their hash beside them.

    A file that has the name of the record but is none is renamed.

    Args:
        content: What :func:`torch.save` takes.
        path: The file.
        trained_for: Settings by name, plain values, that whoever uses the weights must share.

    Raises:
        InputError: If the disk is full.
    """
    path = Path(path)
    # Through memory: when torch writes directly, it hides a full disk behind another error.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    digest = hashlib.sha256(buffer.getbuffer()).hexdigest()
    earlier = _known_hashes(path)
    if not earlier:
        set_aside(record_of(path))
    earlier = (earlier or [sha256_of(path)]) if path.is_file() else []
    record = {_HASHES: [digest, *earlier], _TRAINED_FOR: dict(trained_for or {})}
    # While the file changes it may be either: a kill in between makes no good file look damaged.
    write_json(record_of(path), record)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
    write_json(record_of(path), record | {_HASHES: [digest]})


def set_aside_checkpoint(path: str | Path) -> None:
    """Rename weights of an earlier training, and their record alike; no other file is lost.

    Raises:
        InputError: If they cannot be renamed.
    """
    moved = set_aside(path)
    if moved and record_of(path).is_file():
        set_aside(record_of(moved))
        record_of(path).replace(record_of(moved))


def read_checkpoint(
    path: str | Path,
    map_location: str | torch.device = "cpu",
    what: str = "checkpoint",
    remedy: str = "give another one",
    sha256: str | None = None,
) -> Any:
    """Read a file of weights, or the state of a training, if it is what was written.

    Only tensors and plain containers are read from it (``weights_only``), never code. The file must
    pass the checksums of its archive, which torch does not compare, and have the hash that stands
    in the record beside it and in the metadata of its bundle, where there are such.

    Args:
        path: The file.
        map_location: Device to load to.
        what: The user's name of the file, for the message.
        remedy: What mends it, for the message.
        sha256: Hash of the file, or its beginning, where the caller knows it.

    Raises:
        InputError: If the file is unreadable, damaged or replaced.
    """
    try:
        content = Path(path).read_bytes()
        _check_whole(content, Path(path), sha256)
        return torch.load(io.BytesIO(content), map_location=map_location, weights_only=True)
    except InputError as error:
        raise InputError(f"{what} {path} {error}: {remedy}") from error
    except Exception as error:  # zipfile and torch raise many kinds for a damaged file
        raise InputError(f"{what} {path} is damaged or not a file of weights: {remedy}") from error


def check_trained_for(path: str | Path, settings: Mapping[str, Any]) -> None:
    """Refuse weights that were trained for other settings; say it where nothing is known.

    Args:
        path: The file of weights.
        settings: Settings by name, as in :func:`write_checkpoint`.

    Raises:
        InputError: If a setting differs from that in the record beside the weights, or that holds
            no settings by name.
    """
    known = read_record(path).get(_TRAINED_FOR) or {}
    if not isinstance(known, Mapping):
        raise InputError(
            f"checkpoint {path} cannot be checked: {_TRAINED_FOR} in {record_of(path).name} holds "
            "no settings by name: mend it, or train again"
        )
    plain = json.loads(json.dumps(dict(settings)))  # as a record holds them
    odd = [name for name, value in plain.items() if name in known and known[name] != value]
    if odd:
        given = ", ".join(f"{name} {plain[name]}" for name in odd)
        trained = ", ".join(f"{name} {known[name]}" for name in odd)
        raise InputError(
            f"checkpoint {path} was trained for {trained}, not for {given}: leave the setting as "
            "it was trained for, or train and give weights for yours"
        )
    if unknown := [name for name in plain if name not in known]:
        logger.warning(
            "weights %s do not say what they were trained for: %s taken as given",
            path,
            ", ".join(f"{name} {plain[name]}" for name in unknown),
        )


def _check_whole(content: bytes, path: Path, sha256: str | None) -> None:
    """Raise unless a file has its recorded hashes and its archive's checksums hold."""
    digest = hashlib.sha256(content).hexdigest()
    known = list(_recorded_hashes(path))
    for place, hashes, remedy in known:
        if digest not in hashes:
            raise InputError(
                f"is damaged, or not the file whose SHA-256 stands in {place} (if it was replaced "
                f"on purpose, {remedy})"
            )
    if sha256 and not digest.startswith(sha256):
        raise InputError("is damaged, or not the file whose SHA-256 stands in its name")
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if archive.testzip() is not None:
                raise InputError("is damaged: its checksums do not hold")
    elif not (known or sha256):  # torch's form of before 2020
        raise InputError(
            "is damaged or not a file of weights: it has no checksums (if torch before 1.6 saved "
            "it, load it and save it again with torch.save)"
        )


def _recorded_hashes(path: Path) -> Iterator[tuple[str, list[str], str]]:
    """Yield each place that states the hash of a file, the hashes there, and a user's way round."""
    root = path.absolute().parents[1]
    metadata = _mapping(root / "configs" / "metadata.json")
    for holder in (metadata, *metadata.get("variants", {}).values()):
        about = holder.get("weights", {})
        stated = {about.get("file"): about.get("sha256"), **about.get("beside", {})}
        if recorded := stated.get(f"{path.parent.name}/{path.name}"):
            place = "the bundle's metadata"
            yield place, _hashes(recorded, place), "give yours under another path"
    record = read_record(path)
    if _HASHES in record:
        place = record_of(path).name
        yield (
            place,
            _hashes(record[_HASHES], place),
            f"remove {place}; its {_TRAINED_FOR} goes with it",
        )


def _known_hashes(path: Path) -> list[str]:
    """Return the hashes in the record beside weights; none if what is there is no record."""
    try:
        return _hashes(read_record(path).get(_HASHES), record_of(path).name)
    except InputError:
        return []


def _hashes(stated: Any, place: str) -> list[str]:
    """Return hashes that stand alone or in a list; refuse what any file, or none, would have."""
    hashes = [stated] if isinstance(stated, str) else stated
    found = [str(each).lower() for each in hashes] if isinstance(hashes, list) else []
    if not found or not all(map(SHA256.fullmatch, found)):
        raise InputError(
            f"cannot be checked, the sha256 in {place} is not 64 hexadecimal digits (mend "
            f"{place}, or move it away if it does not belong to these weights)"
        )
    return found


def _mapping(path: Path) -> Mapping[str, Any]:
    """Read a JSON file, empty if there is none."""
    if not path.is_file():
        return {}
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be checked, {path} is damaged") from error
    return content if isinstance(content, Mapping) else {}
