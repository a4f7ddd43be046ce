"""The search space of an Optuna study as data, drawn define-by-run.

docs/tuning.md describes the form of its file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from custom.bundle.config_ids import has_value, id_parts, known_ids, value_at
from custom.errors import InputError
from custom.tuning.parameter import Parameter, fill

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["SearchSpace", "TrialOverrides"]


class TrialOverrides(NamedTuple):
    """The config ids that a trial sets, by their origin.

    Attributes:
        fixed: The same in every trial, and part of the result.
        drawn: Ids set by the drawn parameters, in the order of the file.
        during_search: The same in every trial, and no part of the result.
    """

    fixed: Mapping[str, Any]
    drawn: Mapping[str, Any]
    during_search: Mapping[str, Any]

    @property
    def result(self) -> dict[str, Any]:
        """The ids of a training with this trial's configuration."""
        return {**self.fixed, **self.drawn}


@dataclass(frozen=True)
class SearchSpace:
    """A search space, as :func:`custom.tuning.space_file.load_space` reads and checks it.

    Attributes:
        path: The file.
        content: Its content, as plain values; the other attributes are the parts of it.
        parameters: The parameters in order, by name.
    """

    path: Path
    content: Mapping[str, Any]
    parameters: Mapping[str, Parameter]
    metric: str
    direction: Literal["minimize", "maximize"]
    sampler: Mapping[str, Any] = field(default_factory=lambda: {"name": "tpe"})
    pruner: Mapping[str, Any] = field(default_factory=lambda: {"name": "none"})
    fixed: Mapping[str, Any] = field(default_factory=dict)
    during_search: Mapping[str, Any] = field(default_factory=dict)
    local: Sequence[str] = ()

    def draw(self, trial: BaseTrial) -> dict[str, Any]:
        """Return the drawn values of a trial; parameters whose ``when`` fails are left out."""
        drawn: dict[str, Any] = {}
        for parameter in self.parameters.values():
            # A parameter that `when` names may itself not have been drawn.
            if all(
                name in drawn and drawn[name] in allowed for name, allowed in parameter.when.items()
            ):
                drawn[parameter.name] = parameter.suggest(trial)
        return drawn

    def values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a finished trial, by its ``params`` in which lists are text."""
        return {
            name: parameter.value(params[name])
            for name, parameter in self.parameters.items()
            if name in params
        }

    def overrides(self, drawn: Mapping[str, Any]) -> TrialOverrides:
        """Return all config ids of a trial, by the values of :meth:`draw` or :meth:`values`."""
        set_by_draw: dict[str, Any] = {}
        for name, value in drawn.items():
            set_by_draw |= fill(self.parameters[name].overrides(value), drawn)
        return TrialOverrides(
            fixed=fill(self.fixed, drawn),
            drawn=set_by_draw,
            during_search=fill(self.during_search, drawn),
        )

    def check_ids(self, config: Mapping[str, Any]) -> None:
        """Refuse a space with an id that the configs do not have, in any of its branches.

        Args:
            config: Content of the merged config files.

        Raises:
            InputError: If a config id or the metric is unknown.
        """
        written = list(self._settings())
        # An id may also lie in a block that the space itself sets.
        blocks = [((), config), *((id_parts(name), value) for _, name, value in written)]
        for owner, name, _ in written:
            parts = id_parts(name)
            if not any(
                len(place) < len(parts)
                and parts[: len(place)] == place
                and has_value(block, "::".join(parts[len(place) :]))
                for place, block in blocks
            ):
                raise InputError(
                    f"{self.path}: {owner} sets the unknown config id {name!r}: "
                    f"{known_ids(config, name)}"
                )
        known = [
            name
            for key in ("key_metric", "additional_metrics")
            for name in _block(config, f"validate::{key}")
        ]
        if self.metric not in known:
            raise InputError(
                f"{self.path}: metric {self.metric!r} is none of the validation's: "
                f"{', '.join(known) or 'the config has no validate::key_metric'}"
            )

    def owners(self) -> dict[str, str]:
        """Return the section or parameter that sets each config id of the space."""
        return {name: owner for owner, name, _ in self._settings()}

    def _settings(self) -> Iterator[tuple[str, str, Any]]:
        """Yield owner, id and value of everything that can be set."""
        for section, settings in (("fixed", self.fixed), ("during_search", self.during_search)):
            for name, value in settings.items():
                yield section, name, value
        for parameter in self.parameters.values():
            for setting in parameter.branches():
                for name, value in setting.items():
                    yield f"parameter {parameter.name!r}", name, value


def _block(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a block of a config, also one that is a reference to another; empty if not there."""
    value: Any = f"@{name}"
    try:
        while isinstance(value, str) and value.startswith("@"):
            value = value_at(config, value[1:])
    except LookupError:
        return {}
    return value if isinstance(value, Mapping) else {}
