"""One parameter of a search space: its values, its condition, the config ids that it sets."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["Parameter", "SpaceError", "read_parameter"]

_KEYS = {
    "categorical": {"choices", "set"},
    "float": {"low", "high", "log", "step"},
    "int": {"low", "high", "log", "step"},
}
_COMMON = {"type", "when", "id"}
_COLUMNS = {"trial", "state", "value", "epochs", "seconds", "notes"}  # of the table of all trials


class SpaceError(ValueError):
    """A fault in a part of a search space; the message is without the name of the file."""


@dataclass(frozen=True)
class Parameter:
    """A parameter as :func:`read_parameter` checked it.

    Attributes:
        name: Its name in the Optuna study.
        kind: ``categorical``, ``float`` or ``int``.
        choices: The values of a categorical parameter.
        low: Smallest value of a number.
        high: Largest value of a number.
        log: Whether the logarithm is uniform.
        step: Distance of the values, ``None`` for any.
        when: Values of earlier parameters for which it is drawn; empty for always.
        ids: Config ids that take its value.
        sets: For each choice, by its position, config ids and their values.
    """

    name: str
    kind: str
    choices: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    ids: tuple[str, ...] = ()
    sets: tuple[Mapping[str, Any], ...] = ()

    def suggest(self, trial: BaseTrial) -> Any:
        """Draw a value, or return the one that the trial already has."""
        if self.kind == "categorical":
            return self.value(trial.suggest_categorical(self.name, self._labels()))
        if self.kind == "int":
            step = 1 if self.step is None else int(self.step)
            low, high = int(self.low), int(self.high)
            return trial.suggest_int(self.name, low, high, step=step, log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, step=self.step, log=self.log)

    def value(self, stored: Any) -> Any:
        """Return the value that Optuna's storage holds as ``stored``."""
        if self.kind != "categorical":
            return stored
        return self.choices[self._labels().index(stored)]

    def overrides(self, value: Any) -> dict[str, Any]:
        """Return the config ids that this value sets; references are left in place."""
        chosen = self.sets[self.choices.index(value)] if self.sets else {}
        return dict.fromkeys(self.ids, value) | dict(chosen)

    def branches(self) -> list[dict[str, Any]]:
        """Return all config ids that the parameter can set; a number's value is ``None``."""
        if self.kind != "categorical":
            return [dict.fromkeys(self.ids)]
        return [self.overrides(choice) for choice in self.choices]

    def _labels(self) -> list[Any]:
        """Return the choices in a form that a storage can hold: lists and mappings as text."""
        return [
            json.dumps(choice) if isinstance(choice, (list, dict)) else choice
            for choice in self.choices
        ]


def read_parameter(name: str, entry: Any, earlier: Mapping[str, Parameter]) -> Parameter:
    """Check one entry of ``parameters`` in a search space.

    Args:
        name: Its name.
        entry: The entry of the file.
        earlier: The parameters above it, which its ``when`` may name.

    Raises:
        SpaceError: If the entry cannot be used.
    """
    if not name.isidentifier():
        raise SpaceError("its name must be one word of letters, digits and _")
    if name in _COLUMNS:
        raise SpaceError("its name is that of a column of trials.csv: take another")
    if not isinstance(entry, Mapping):
        raise SpaceError(f"must be a mapping with 'type', got {entry!r}")
    kind = entry.get("type")
    if kind not in _KEYS:
        raise SpaceError(f"type must be one of {', '.join(_KEYS)}, got {kind!r}")
    unknown = sorted(map(str, set(entry) - _KEYS[kind] - _COMMON))
    if unknown:
        known = ", ".join(sorted(_KEYS[kind] | _COMMON))
        raise SpaceError(f"unknown key {unknown[0]!r}: a {kind} parameter has {known}")
    ids = entry.get("id", [])
    return Parameter(
        name=name,
        kind=kind,
        when=_conditions(entry.get("when", {}), earlier),
        ids=tuple(str(part) for part in (ids if isinstance(ids, list) else [ids])),
        **(_choices(entry) if kind == "categorical" else _range(entry, whole=kind == "int")),
    )


def _choices(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the choices and the config ids that each one sets."""
    choices = entry.get("choices")
    if not isinstance(choices, list) or not choices:
        raise SpaceError(f"choices must be a list with at least one value, got {choices!r}")
    if any(choices.index(choice) != position for position, choice in enumerate(choices)):
        raise SpaceError(f"choices must differ from each other, got {choices}")
    sets = entry.get("set")
    if sets is None:
        return {"choices": tuple(choices)}
    if not isinstance(sets, Mapping) or not all(isinstance(v, Mapping) for v in sets.values()):
        raise SpaceError("set must give for each choice a mapping of config ids to values")
    for choice in sets:
        if choice not in choices:
            raise SpaceError(f"set names {choice!r}, which is none of the choices {choices}")
    missing = [choice for choice in choices if _key(choice) not in sets]
    if missing:
        raise SpaceError(
            f"set has nothing for choice {missing[0]!r}: write {{}} if it sets nothing"
        )
    return {"choices": tuple(choices), "sets": tuple(sets[choice] for choice in choices)}


def _key(choice: Any) -> Any:
    """Return a choice as a key of a mapping; a list cannot be one."""
    return None if isinstance(choice, (list, dict)) else choice


def _range(entry: Mapping[str, Any], whole: bool) -> dict[str, Any]:
    """Return the range of a number."""
    low, high = (_number(entry, key, whole) for key in ("low", "high"))
    step = _number(entry, "step", whole) if entry.get("step") is not None else None
    log = entry.get("log", False)
    rules: list[tuple[bool, Callable[[], str]]] = [
        (isinstance(log, bool), lambda: f"log must be true or false, got {log!r}"),
        (low < high, lambda: f"low must be below high, got {low} and {high}"),
        (not log or low > 0, lambda: f"low must be above 0 with log true, got {low}"),
        (not log or step is None, lambda: "step cannot be given with log true"),
        (
            step is None or 0 < step <= high - low,
            lambda: f"step must be above 0 and at most high - low, got {step}",
        ),
    ]
    for kept, message in rules:
        if not kept:
            raise SpaceError(message())
    return {"low": low, "high": high, "log": log, "step": step}


def _number(entry: Mapping[str, Any], key: str, whole: bool) -> float:
    """Return a finite number, an integer if ``whole``."""
    value = entry.get(key)
    kinds = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        hint = " (YAML reads 1e-4 as text: write 1.0e-4)" if isinstance(value, str) else ""
        wanted = "an integer" if whole else "a number"
        raise SpaceError(f"{key} must be {wanted}, got {value!r}{hint}")
    return value


def _conditions(when: Any, earlier: Mapping[str, Parameter]) -> dict[str, tuple[Any, ...]]:
    """Return the required values of each parameter in ``when``."""
    if not isinstance(when, Mapping):
        raise SpaceError(f"when must be a mapping of a parameter to its values, got {when!r}")
    conditions = {}
    for name, values in when.items():
        if name not in earlier:
            known = ", ".join(earlier) or "none"
            raise SpaceError(f"when names {name!r}, which is not a parameter above it ({known})")
        if earlier[name].kind != "categorical":
            raise SpaceError(f"when names {name!r}, which is not categorical")
        allowed = tuple(values) if isinstance(values, list) else (values,)
        wrong = [value for value in allowed if value not in earlier[name].choices]
        if wrong or not allowed:
            raise SpaceError(
                f"when {name}: {wrong[0] if wrong else allowed!r} is none of its choices "
                f"{list(earlier[name].choices)}"
            )
        conditions[name] = allowed
    return conditions
