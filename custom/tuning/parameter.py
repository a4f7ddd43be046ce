"""One parameter of a search space: its values, its condition, the config ids that it sets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

from custom.bundle.config_ids import walk

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["Parameter", "SpaceError", "fill", "read_parameter", "references"]

_COLUMNS = {"trial", "state", "value", "epochs", "seconds", "notes"}  # of the table of all trials
_OWN_KEYS = {"type", "when", "id", "set"}  # the others are Optuna's
_REFERENCE = re.compile(r"\$\{([^{}]*)\}")


class SpaceError(ValueError):
    """A fault in a part of a search space; the message is without the name of the file."""


@dataclass(frozen=True)
class Parameter:
    """A parameter as :func:`read_parameter` checked it.

    Attributes:
        name: Its name in the Optuna study.
        kind: ``categorical``, ``float`` or ``int``.
        options: Arguments of Optuna's ``suggest_categorical`` and so on. A storage holds no lists
            and mappings: among the choices they are text.
        choices: The values of a categorical parameter.
        when: Values of earlier parameters for which it is drawn; empty for always.
        ids: Config ids that take its value.
        sets: For each choice, by its position, config ids and their values.
    """

    name: str
    kind: str
    options: Mapping[str, Any]
    choices: tuple[Any, ...] = ()
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    sets: tuple[Mapping[str, Any], ...] = ()

    def suggest(self, trial: BaseTrial) -> Any:
        """Draw a value, or return the one that the trial already has."""
        return self.value(getattr(trial, f"suggest_{self.kind}")(self.name, **self.options))

    def value(self, stored: Any) -> Any:
        """Return the value that Optuna's storage holds as ``stored``."""
        return self.choices[self.options["choices"].index(stored)] if self.choices else stored

    def overrides(self, value: Any) -> dict[str, Any]:
        """Return the config ids that this value sets; references are left in place."""
        chosen = self.sets[self.choices.index(value)] if self.sets else {}
        return dict.fromkeys(self.ids, value) | dict(chosen)

    def branches(self) -> list[dict[str, Any]]:
        """Return all config ids that the parameter can set; a number's value is ``None``."""
        return [self.overrides(choice) for choice in self.choices or (None,)]


def read_parameter(
    name: str, entry: Mapping[str, Any], earlier: Mapping[str, Parameter]
) -> Parameter:
    """Return a parameter by its entry in the file, whose form was checked.

    Args:
        name: Its name.
        entry: The entry.
        earlier: The parameters above it, which its ``when`` may name.

    Raises:
        SpaceError: If the entry cannot be used.
    """
    if not name.isidentifier():
        raise SpaceError("its name must be one word of letters, digits and _")
    if name in _COLUMNS:
        raise SpaceError("its name is that of a column of trials.csv: take another")
    options = {key: value for key, value in entry.items() if key not in _OWN_KEYS}
    choices = entry.get("choices", ())
    if choices:
        _check_choices(choices, entry.get("set"))
        texts = [json.dumps(one) if isinstance(one, (list, dict)) else one for one in choices]
        options["choices"] = texts
    else:
        _check_range(**options)
    ids = entry.get("id", [])
    return Parameter(
        name=name,
        kind=entry["type"],
        options=options,
        choices=tuple(choices),
        when=_conditions(entry.get("when", {}), earlier),
        ids=tuple(map(str, ids if isinstance(ids, list) else [ids])),
        sets=tuple(entry["set"][choice] for choice in choices) if "set" in entry else (),
    )


def _check_choices(choices: list[Any], sets: Mapping[Any, Any] | None) -> None:
    """Refuse a choice that is listed twice, and settings that are not one a choice."""
    # Not by a set: choices may be lists.
    if any(choices.index(choice) != position for position, choice in enumerate(choices)):
        raise SpaceError(f"choices must differ from each other, got {choices}")
    if sets is None:
        return
    keys = list(sets)
    for choice in keys:
        if choice not in choices:
            raise SpaceError(f"set names {choice!r}, which is none of the choices {choices}")
    for choice in choices:
        if choice not in keys:
            raise SpaceError(
                f"set has nothing for choice {choice!r}: write {{}} if it sets nothing"
            )


def _check_range(low: float, high: float, log: bool = False, step: float | None = None) -> None:
    """Refuse a range that has not at least two values."""
    # Written so that NaN, which compares false, is refused as well.
    if not -inf < low < high < inf:
        raise SpaceError(f"low must be below high, got {low} and {high}")
    if log and low <= 0:
        raise SpaceError(f"low must be above 0 with log true, got {low}")
    if log and step is not None:
        raise SpaceError("step cannot be given with log true")
    if step is not None and not 0 < step <= high - low:
        raise SpaceError(f"step must be above 0 and at most high - low, got {step}")


def _conditions(when: Mapping[str, Any], earlier: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return the required values of each parameter in ``when``."""
    conditions = {}
    for name, values in when.items():
        if name not in earlier or not earlier[name].choices:
            known = ", ".join(other for other in earlier if earlier[other].choices) or "none"
            raise SpaceError(f"when names {name!r}, which is no categorical one above it ({known})")
        choices = earlier[name].choices
        allowed = tuple(values) if isinstance(values, list) else (values,)
        wrong = [value for value in allowed if value not in choices]
        if wrong or not allowed:
            shown = wrong[0] if wrong else []
            raise SpaceError(f"when {name}: {shown!r} is none of its choices {list(choices)}")
        conditions[name] = allowed
    return conditions


def references(value: Any) -> set[str]:
    """Return the names that occur as ``${name}`` in a value and its content.

    >>> sorted(references({"gamma": "${decay}", "betas": ["${beta}", 0.99]}))
    ['beta', 'decay']
    """
    texts = [part for _, part in walk(value) if isinstance(part, str)]
    return {name for text in texts for name in _REFERENCE.findall(text)}


def fill(value: Any, drawn: Mapping[str, Any]) -> Any:
    """Return a value with its references replaced by drawn values.

    A reference that is the whole text keeps the drawn value's type; within a text it becomes text.

    >>> fill({"_target_": "torch.optim.${name}", "lr": "${rate}"}, {"name": "SGD", "rate": 0.1})
    {'_target_': 'torch.optim.SGD', 'lr': 0.1}

    Raises:
        KeyError: If a name was not drawn.
    """
    if isinstance(value, str):
        whole = _REFERENCE.fullmatch(value)
        if whole:
            return drawn[whole[1]]
        return _REFERENCE.sub(lambda match: str(drawn[match[1]]), value)
    if isinstance(value, Mapping):
        return {key: fill(part, drawn) for key, part in value.items()}
    return [fill(part, drawn) for part in value] if isinstance(value, list) else value
