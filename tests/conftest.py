"""What all tests share: a YAML text is parsed once a process.

PyYAML parses in Python, 0.1 to 0.3 s a config, and tests read the same few configs some hundred
times. Each reader still gets a copy of its own, and its own error.
"""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import pytest
import yaml

_load = yaml.load
_parsed = functools.lru_cache(maxsize=None)(_load)
yaml.compose = functools.lru_cache(maxsize=None)(yaml.compose)


def load(stream: Any, Loader: Any) -> Any:  # noqa: N803  (PyYAML's name)
    """Parse as ``yaml.load`` does."""
    text = stream if isinstance(stream, str) else stream.read()
    try:
        return copy.deepcopy(_parsed(text, Loader))
    except yaml.YAMLError:
        if not isinstance(stream, str):
            stream.seek(0)  # its message names the file
        return _load(stream, Loader)


yaml.load = load


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow store to be copied: making one takes seconds."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file
