"""Read YAML and JSON files: no key twice, none that is unknown."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from custom.errors import did_you_mean

__all__ = ["check_keys", "read_unique"]

_SWITCH = "MONAI_FAIL_ON_DUPLICATE_CONFIG"


def read_unique(path: Path) -> Any:
    """Return the content of a YAML or JSON file; the plain parsers keep the last of equal keys.

    Raises:
        ValueError: If a key is there twice, the suffix is neither of YAML nor of JSON, or the text
            is not JSON (``json.JSONDecodeError``) or not UTF-8 (``UnicodeDecodeError``).
        yaml.YAMLError: If the text is not YAML.
        OSError: If the file cannot be read.
    """
    from monai.bundle import ConfigParser
    from monai.utils.misc import check_key_duplicates

    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "1"  # else MONAI only warns
    try:
        if path.suffix.lower() == ".json":
            # Editors of Windows put a byte order mark before the text, which MONAI does not take.
            text = path.read_text(encoding="utf-8-sig")
            return json.loads(text, object_pairs_hook=check_key_duplicates)
        return ConfigParser.load_config_file(path)
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
