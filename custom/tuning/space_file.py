"""Read and check the file of a search space; docs/tuning.md describes its form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from custom.bundle.config_ids import holds
from custom.errors import InputError, did_you_mean
from custom.files.text_files import read_unique
from custom.tuning.parameter import Parameter, SpaceError, read_parameter, references
from custom.tuning.space import SearchSpace

__all__ = ["load_space"]


def _parameter(kind: str, required: list[str], **keys: Any) -> dict[str, Any]:
    """Return the JSON schema of a kind of parameter, which has these keys besides common ones."""
    keys |= {"type": {}, "when": {"type": "object"}, "id": {"type": ["string", "array"]}}
    form = {"properties": keys, "required": required, "additionalProperties": False}
    return {"if": {"properties": {"type": {"const": kind}}}, "then": form}


def _number(kind: str, number: dict[str, str]) -> dict[str, Any]:
    """Return the JSON schema of a parameter that is a number."""
    keys = {"low": number, "high": number, "step": number, "log": {"type": "boolean"}}
    return _parameter(kind, ["low", "high"], **keys)


_MAPPING = {"type": ["object", "null"]}
_STRATEGY = {**_MAPPING, "required": ["name"]}
_CHOICES = {"type": "array", "minItems": 1}
_SETTINGS = {"type": "object", "additionalProperties": {"type": "object"}}
_SCHEMA = {
    "type": "object",
    "required": ["metric", "direction", "parameters"],
    "additionalProperties": False,
    "properties": {
        "metric": {"type": "string", "minLength": 1},
        "direction": {"enum": ["minimize", "maximize"]},
        "sampler": _STRATEGY,
        "pruner": _STRATEGY,
        "fixed": _MAPPING,
        "during_search": _MAPPING,
        "local": {"type": ["array", "null"]},
        "parameters": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "type": "object",
                "required": ["type"],
                "properties": {"type": {"enum": ["categorical", "float", "int"]}},
                "allOf": [
                    _parameter("categorical", ["choices"], choices=_CHOICES, set=_SETTINGS),
                    _number("float", {"type": "number"}),
                    _number("int", {"type": "integer"}),
                ],
            },
        },
    },
}

# Required values, as text, of each parameter that must have been drawn.
Conditions = dict[str, set[str]]


def load_space(path: str | Path) -> SearchSpace:
    """Read a search space and check it as far as possible without the configs.

    Raises:
        InputError: If the file is missing or invalid.
    """
    parameters: dict[str, Parameter] = {}
    try:
        content = read_unique(Path(path))
        _check_form(content)
        for name, entry in content["parameters"].items():
            try:
                parameters[name] = read_parameter(str(name), entry, parameters)
            except SpaceError as problem:
                raise SpaceError(f"parameter {name!r}: {problem}") from problem
        # A section left empty, which YAML reads as null, has its default.
        parts = {key: value for key, value in content.items() if value}
        space = SearchSpace(Path(path), content, **{**parts, "parameters": parameters})
        _check_references(space)
        _check_owners(space)
    except OSError as error:
        raise InputError(f"{path}: no search space can be read there ({error.strerror})") from error
    except SpaceError as problem:
        raise InputError(f"{path}: {problem}") from problem
    # After SpaceError, which is a ValueError too.
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from error
    return space


def _check_form(content: Any) -> None:
    """Refuse unknown, missing and invalid entries, with their place in the file."""
    validator = jsonschema.Draft201909Validator(_SCHEMA)
    error = jsonschema.exceptions.best_match(validator.iter_errors(content))
    if error is None:
        return
    wants_number = error.validator == "type" and error.validator_value in ("number", "integer")
    as_text = wants_number and isinstance(error.instance, str)
    hint = " (YAML reads 1e-4 as text: write 1.0e-4)" if as_text else ""
    if error.validator in ("additionalProperties", "required"):
        known = error.schema.get("properties", {})
        unknown = (key for key in error.instance if key not in known)
        hint = next(filter(None, (did_you_mean(key, known) for key in unknown)), "")
    place = "".join(f"{part}: " for part in error.absolute_path)
    raise SpaceError(f"{place}{error.message}{hint}")


def _check_references(space: SearchSpace) -> None:
    """Refuse a ``${name}`` that is not drawn whenever its value is set."""
    parameters = space.parameters
    used: set[str] = set()
    for owner, value, held in _places(space):
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


def _places(space: SearchSpace) -> Iterator[tuple[str, Any, Conditions]]:
    """Yield the owner of each value that is set, the value, and the draws that it implies."""
    yield "fixed", space.fixed, {}
    yield "during_search", space.during_search, {}
    for name, parameter in space.parameters.items():
        above = _conditions(name, space.parameters)
        if parameter.ids:
            yield f"parameter {name!r}", list(parameter.choices), above
        for choice, value in zip(parameter.choices, parameter.sets, strict=False):
            yield f"parameter {name!r}, choice {choice!r}", value, above | {name: {str(choice)}}


def _conditions(name: str, parameters: Mapping[str, Parameter]) -> Conditions:
    """Return the draws that are required for a parameter to be drawn."""
    needed: Conditions = {}
    for other, allowed in parameters[name].when.items():
        # As text: choices may be lists, which no set can hold.
        own = {other: {str(choice) for choice in allowed}}
        for key, values in (*_conditions(other, parameters).items(), *own.items()):
            needed[key] = needed.get(key, values) & values
    return needed


def _check_owners(space: SearchSpace) -> None:
    """Refuse a config id that is set for all trials and also by a parameter."""
    for section, settings in (("fixed", space.fixed), ("during_search", space.during_search)):
        for config_id in settings:
            for name, parameter in space.parameters.items():
                drawn = [own for setting in parameter.branches() for own in setting]
                if any(holds(own, config_id) for own in drawn):
                    raise SpaceError(f"{section} and parameter {name!r} both set {config_id!r}")
