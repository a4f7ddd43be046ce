"""Text, YAML and JSON of a user: bounded before it is read, no key twice, none unknown."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import yaml

from custom.errors import InputError, did_you_mean

__all__ = ["check_keys", "parse_yaml", "read_json", "read_metadata", "read_text", "read_unique"]

_SWITCH = "MONAI_FAIL_ON_DUPLICATE_CONFIG"
_LONGEST = 64 * 2**20  # bytes; the list of a dataset of 100,000 scans has half of it
_LONGEST_YAML = 2**20  # PyYAML takes half a minute for it; the longest config has 20,000
_MOST_NODES = 100_000  # of a YAML text with its aliases written out
_ALIAS = re.compile(r"\*[^\s\[\]{},*]")


def read_text(path: str | Path, longest: int = _LONGEST) -> str:
    """Return the text of a file in UTF-8, without a byte order mark.

    Raises:
        InputError: If it is longer than ``longest`` bytes, or no UTF-8.
        OSError: If it cannot be read.
    """
    content = bytearray()
    with Path(path).open("rb") as file:  # its size is not asked for: that of a device is 0
        while len(content) <= longest and (piece := file.read(2**16)):
            content += piece
    if len(content) > longest:
        raise InputError(f"{path}: longer than {longest / 2**20:g} MB: is it the right file?")
    try:
        # Editors and spreadsheets of Windows put a byte order mark before the text.
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: byte {error.start} is no UTF-8 text: save it as UTF-8 (in a spreadsheet: "
            "'CSV UTF-8')"
        ) from error


def read_json(path: str | Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        InputError: As :func:`read_text`, or if it is nested too deeply.
        ValueError: If it is no JSON.
        OSError: If it cannot be read.
    """
    return _parse_json(read_text(path))


def read_metadata(path: Path, needed: str) -> dict[str, Any]:
    """Return the content of a bundle's ``metadata.json``.

    Raises:
        InputError: If it cannot be read, or lacks the key that is ``needed``.
    """
    try:
        content = dict(read_json(path))
        content[needed]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path}: no {needed} of a bundle to be read there") from error
    return content


def read_unique(path: Path) -> Any:
    """Return the content of a YAML or JSON file; the plain parsers keep the last of equal keys.

    Raises:
        InputError: As :func:`read_text`.
        ValueError: If a key is there twice, the suffix is neither of YAML nor of JSON, the text is
            not JSON (``json.JSONDecodeError``), or as :func:`parse_yaml`.
        yaml.YAMLError: If the text is not YAML.
        OSError: If the file cannot be read.
    """
    from monai.utils.misc import CheckKeyDuplicatesYamlLoader, check_key_duplicates

    suffix = path.suffix.lower()
    if suffix not in (".json", ".yaml", ".yml"):
        raise ValueError(f"{path}: neither a YAML nor a JSON file, by its name")
    text = read_text(path)
    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "1"  # else MONAI only warns
    try:
        if suffix == ".json":
            return _parse_json(text, check_key_duplicates)
        return parse_yaml(text, CheckKeyDuplicatesYamlLoader)
    finally:
        os.environ.pop(_SWITCH)
        if before is not None:
            os.environ[_SWITCH] = before


def check_keys(content: Iterable[Any], known: Collection[str]) -> None:
    """Refuse a mapping with a key that is unknown.

    Raises:
        ValueError: With the key and the known one that it resembles.
    """
    for key in content:
        if key not in known:
            hint = did_you_mean(key, known) or f": known are {', '.join(known)}"
            raise ValueError(f"unknown key {key!r}{hint}")


def _parse_json(text: str, pairs: Callable[[Any], Any] | None = None) -> Any:
    """Return the content of a JSON text; ``pairs`` makes a mapping of its keys and values.

    Raises:
        ValueError: If it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=pairs)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_yaml(text: str, loader: Any) -> Any:
    """Return the content of a YAML text.

    Raises:
        ValueError: If it is longer than 1 MB, nested too deeply, or its aliases stand for far more
            than is written.
        yaml.YAMLError: If it is no YAML.
    """
    if len(text) > _LONGEST_YAML:
        raise ValueError(f"longer than {_LONGEST_YAML / 2**20:g} MB")
    try:
        if _ALIAS.search(text) and _nodes(yaml.compose(text, Loader=yaml.SafeLoader)) > _MOST_NODES:
            raise ValueError(f"its aliases stand for more than {_MOST_NODES} entries")
        return yaml.load(text, loader)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _nodes(root: yaml.Node | None) -> float:
    """Return the number of nodes of a YAML text with its aliases written out."""
    known: dict[int, float] = {}

    def count(node: Any) -> float:
        if id(node) not in known:
            known[id(node)] = float("inf")  # of a node that holds itself
            parts = node.value if isinstance(node, yaml.CollectionNode) else ()
            inner = (one for part in parts for one in (part if isinstance(part, tuple) else [part]))
            known[id(node)] = 1 + sum(map(count, inner))
        return known[id(node)]

    return 0 if root is None else count(root)
