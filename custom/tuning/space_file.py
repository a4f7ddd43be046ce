"""Read the file of a search space; :mod:`custom.tuning.space` describes its form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from custom.bundle.config_ids import holds
from custom.errors import InputError
from custom.files.unique_keys import read_unique
from custom.tuning.parameter import Parameter, SpaceError, read_parameter
from custom.tuning.references import references

__all__ = ["read_space_file"]

_REQUIRED = ("metric", "direction", "parameters")
_OPTIONAL = ("sampler", "pruner", "fixed", "during_search")
_DIRECTIONS = ("minimize", "maximize")

# Required values, as text, of each parameter that must have been drawn.
Conditions = dict[str, set[str]]


def read_space_file(path: Path) -> tuple[dict[str, Any], dict[str, Parameter]]:
    """Return the content of the file, and its parameters in order.

    Raises:
        InputError: If the file is missing or invalid.
    """
    try:
        content = _load(path)
        _check_sections(content)
    except SpaceError as problem:
        raise InputError(f"{path}: {problem}") from problem
    parameters: dict[str, Parameter] = {}
    for name, entry in content["parameters"].items():
        try:
            parameters[name] = read_parameter(str(name), entry, parameters)
        except SpaceError as problem:
            raise InputError(f"{path}: parameter {name!r}: {problem}") from problem
    try:
        _check_references(content, parameters)
        _check_owners(content, parameters)
    except SpaceError as problem:
        raise InputError(f"{path}: {problem}") from problem
    return content, parameters


def _load(path: Path) -> dict[str, Any]:
    """Return the content of a YAML file without repeated keys."""
    try:
        content = read_unique(path)
    except OSError as error:
        raise SpaceError(f"no search space can be read there ({error.strerror})") from error
    except (yaml.YAMLError, ValueError) as error:
        raise SpaceError(f"is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise SpaceError(f"must be a mapping with {', '.join(_REQUIRED)}")
    return content


def _check_sections(content: Mapping[str, Any]) -> None:
    """Refuse unknown, missing and invalid entries at the top of the file."""
    unknown = sorted(map(str, set(content) - {*_REQUIRED, *_OPTIONAL, "local"}))
    if unknown:
        known = ", ".join((*_REQUIRED, *_OPTIONAL, "local"))
        raise SpaceError(f"unknown key {unknown[0]!r}: a search space has {known}")
    for key in _REQUIRED:
        if not content.get(key):
            raise SpaceError(f"{key!r} is missing")
    if content["direction"] not in _DIRECTIONS:
        raise SpaceError(
            f"direction must be {' or '.join(_DIRECTIONS)}, got {content['direction']!r}"
        )
    for key in ("parameters", *_OPTIONAL):
        if content.get(key) is not None and not isinstance(content[key], dict):
            raise SpaceError(f"{key} must be a mapping, got {content[key]!r}")
    if not isinstance(content.get("local") or [], list):
        raise SpaceError(f"local must be a list of config ids, got {content['local']!r}")
    for key in ("sampler", "pruner"):
        if content.get(key) and "name" not in content[key]:
            raise SpaceError(f"{key} must have a 'name'")


def _check_references(content: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> None:
    """Refuse a ``${name}`` that is not drawn whenever its value is set."""
    used: set[str] = set()
    for owner, value, held in _places(content, parameters):
        for name in sorted(references(value)):
            if name not in parameters:
                raise SpaceError(f"{owner} has ${{{name}}}, which is no parameter")
            for other, allowed in _conditions(name, parameters).items():
                if other not in held or not held[other] <= allowed:
                    raise SpaceError(
                        f"{owner} has ${{{name}}}, which is not always drawn then: it needs "
                        f"{other} in {sorted(allowed)}"
                    )
            used.add(name)
    needed = used | {name for parameter in parameters.values() for name in parameter.when}
    for name, parameter in parameters.items():
        if not (parameter.ids or parameter.sets or name in needed):
            raise SpaceError(
                f"parameter {name!r} sets nothing: give it id or set, or use ${{{name}}}"
            )


def _places(
    content: Mapping[str, Any], parameters: Mapping[str, Parameter]
) -> Iterator[tuple[str, Any, Conditions]]:
    """Yield the owner of each value that is set, the value, and the draws that it implies."""
    for section in ("fixed", "during_search"):
        yield section, content.get(section), {}
    for name, parameter in parameters.items():
        above = _conditions(name, parameters)
        if parameter.ids:
            yield f"parameter {name!r}", parameter.choices, above
        for choice, value in zip(parameter.choices, parameter.sets, strict=False):
            yield f"parameter {name!r}, choice {choice!r}", value, above | {name: {str(choice)}}


def _conditions(name: str, parameters: Mapping[str, Parameter]) -> Conditions:
    """Return the draws that are required for a parameter to be drawn."""
    needed: Conditions = {}
    for other, allowed in parameters[name].when.items():
        own = {other: {str(choice) for choice in allowed}}
        for key, values in (*_conditions(other, parameters).items(), *own.items()):
            needed[key] = needed.get(key, values) & values
    return needed


def _check_owners(content: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> None:
    """Refuse a config id that is set for all trials and also by a parameter."""
    for section in ("fixed", "during_search"):
        for config_id in content.get(section) or {}:
            for name, parameter in parameters.items():
                drawn = [own for setting in parameter.branches() for own in setting]
                if any(holds(own, config_id) for own in drawn):
                    raise SpaceError(f"{section} and parameter {name!r} both set {config_id!r}")
