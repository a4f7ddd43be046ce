"""Checks of the text of a bundle's configs, before anything is built from them."""

from __future__ import annotations

import ast
import json
import re

import yaml

from custom.bundle.config_ids import walk
from custom.bundle.verification.bundle_folder import METADATA, BundleFolder
from custom.bundle.verification.outcome import CheckFailed
from custom.files.unique_keys import read_unique

__all__ = ["no_absolute_paths", "no_duplicate_keys", "numbers"]

# Numbers that YAML 1.1 reads as text: no dot, or no sign of the exponent.
_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")
_ABSOLUTE = re.compile(r"(/[A-Za-z]|~/|[A-Za-z]:[\\/])")
# In prose: an absolute path of two parts or more, or a home folder; /path/to is a placeholder.
_ABSOLUTE_IN_PROSE = re.compile(
    r"(?<![\w.:/)\]}>@$*\"'+-])(~/[\w.-]+|/(?!path/to\b)[A-Za-z][\w.-]*/[\w./-]+)|\b[A-Z]:\\\w+"
)
_REFERENCE = re.compile(r"[@%][\w:#]+")


def no_duplicate_keys(bundle: BundleFolder) -> None:
    """No mapping has a key twice: YAML and JSON would silently take the last one."""
    for path in (*bundle.config_files, bundle.root / METADATA):
        try:
            read_unique(path)
        except (yaml.YAMLError, json.JSONDecodeError):
            continue  # config.parse and meta.schema report the fault
        except ValueError as error:
            raise CheckFailed(f"{path.relative_to(bundle.root).as_posix()}: {error}") from error


def numbers(bundle: BundleFolder) -> None:
    """No number is written in a form that YAML reads as text."""
    for name, config in bundle.configs.items():
        for place, value in walk(config):
            if isinstance(value, str) and _EXPONENT.fullmatch(value.strip()):
                raise CheckFailed(
                    f"configs/{name}: {place} is the text {value!r}: write a dot and a signed "
                    "exponent, as 1.0e-4"
                )


def no_absolute_paths(bundle: BundleFolder) -> None:
    """Nothing contains an absolute path."""
    for name, config in (*bundle.configs.items(), (METADATA.stem, bundle.metadata)):
        for place, value in walk(config):
            for text in _literals(value) if isinstance(value, str) else ():
                if _ABSOLUTE.match(text):
                    raise CheckFailed(f"configs/{name}: {place} has the absolute path {text!r}")
    for path in (*bundle.config_files, *bundle.files):
        if path.suffix in (".yaml", ".yml", ".json", ".md", ".txt", ".conf"):
            name = path.relative_to(bundle.root).as_posix()
            for number, line in enumerate(bundle.read_text(name).splitlines(), 1):
                if found := _ABSOLUTE_IN_PROSE.search(line):
                    raise CheckFailed(f"{name} line {number} has the absolute path {found[0]!r}")


def _literals(value: str) -> list[str]:
    """Return a plain value, or the texts in an expression that do not continue another text."""
    if not value.startswith("$"):
        return [value]
    try:
        tree = ast.parse(_REFERENCE.sub("_reference", value[1:].strip()))
    except SyntaxError:
        return []
    continued: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp):
            continued.add(node.right)
        elif isinstance(node, ast.JoinedStr):
            continued.update(node.values[1:])
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in continued
    ]
