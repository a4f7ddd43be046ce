"""Read YAML and JSON files in which no mapping has a key twice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

__all__ = ["read_unique"]

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

    before = os.environ.get(_SWITCH)
    os.environ[_SWITCH] = "1"  # else MONAI only warns
    try:
        return ConfigParser.load_config_file(path)
    finally:
        os.environ.pop(_SWITCH)
        if before is not None:
            os.environ[_SWITCH] = before
