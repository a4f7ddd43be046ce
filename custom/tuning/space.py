"""The search space of an Optuna study as data, drawn define-by-run.

A space is a YAML file beside the configs::

    metric: val_mse # of the validation; the best epoch counts
    direction: minimize
    sampler: {name: tpe, n_startup_trials: 10} # options as Optuna's class takes them
    pruner: {name: median, n_warmup_steps: 3} # steps are epochs, the first is 1
    fixed: # config ids that every trial sets; they belong to the result
      min_epochs: 10
    during_search: # config ids set only while searching, to save time; not in the result
      max_epochs: 30
    local: [cache_slices] # config ids that workers of one search may set each in its own way
    parameters: # drawn in this order
      down: # sets one config id, or a list of ids
        type: categorical
        choices: [max, mean, strided]
        id: network_def::down
      learning_rate:
        type: float # or int
        low: 1.0e-6
        high: 1.0e-2
        log: true # or step: 0.1
        id: learning_rate
      loss: # each choice sets config ids of its own
        type: categorical
        choices: [mse, hybrid]
        set:
          mse:
            loss: {_target_: torch.nn.MSELoss}
          hybrid:
            loss: {_target_: custom.losses.mse_ssim.MseSsimLoss, alpha: '${alpha}'}
      alpha: # drawn only for some choices of a parameter above
        type: float
        low: 0.0
        high: 1.0
        when: {loss: hybrid} # or a list of choices

``${name}`` in a value stands for a drawn parameter. Where it is the whole text the type is kept;
inside a text, as in ``torch.optim.${optimizer}``, it becomes text. Choices may be lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom.bundle.config_ids import has_value, id_parts, known_ids
from custom.errors import InputError
from custom.tuning.parameter import Parameter
from custom.tuning.references import fill
from custom.tuning.space_file import read_space_file

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

__all__ = ["SearchSpace", "TrialOverrides", "load_space"]


@dataclass(frozen=True)
class TrialOverrides:
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
    """A search space that was read and checked; :func:`load_space` makes one.

    Attributes:
        path: The file.
        content: Content of the file, as plain values.
        parameters: The parameters in order, by name.
    """

    path: Path
    content: Mapping[str, Any]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """Name of the validation's metric."""
        return str(self.content["metric"])

    @property
    def direction(self) -> str:
        """``minimize`` or ``maximize``."""
        return str(self.content["direction"])

    @property
    def sampler(self) -> dict[str, Any]:
        """Name and options of the sampler."""
        return dict(self.content.get("sampler") or {"name": "tpe"})

    @property
    def pruner(self) -> dict[str, Any]:
        """Name and options of the pruner."""
        return dict(self.content.get("pruner") or {"name": "none"})

    @property
    def local(self) -> set[str]:
        """Config ids that may differ between the workers of a search."""
        return set(map(str, self.content.get("local") or ()))

    def better(self, value: float, than: float) -> bool:
        """Return True if a value of the metric is better than another."""
        return value < than if self.direction == "minimize" else value > than

    def draw(self, trial: BaseTrial) -> dict[str, Any]:
        """Draw the parameters of a trial, in order; those whose ``when`` fails are left out.

        Args:
            trial: Optuna's trial, which keeps the drawn values.

        Returns:
            Values by name.
        """
        drawn: dict[str, Any] = {}
        for parameter in self.parameters.values():
            if all(
                name in drawn and drawn[name] in allowed for name, allowed in parameter.when.items()
            ):
                drawn[parameter.name] = parameter.suggest(trial)
        return drawn

    def values(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values that a finished trial drew.

        Args:
            params: The trial's ``params``, in which lists are text.
        """
        return {
            name: parameter.value(params[name])
            for name, parameter in self.parameters.items()
            if name in params
        }

    def overrides(self, drawn: Mapping[str, Any]) -> TrialOverrides:
        """Return all config ids that a trial sets.

        Args:
            drawn: Values by name, as of :meth:`draw` or :meth:`values`.
        """
        set_by_draw: dict[str, Any] = {}
        for name, value in drawn.items():
            set_by_draw |= fill(self.parameters[name].overrides(value), drawn)
        return TrialOverrides(
            fixed=fill(self.content.get("fixed") or {}, drawn),
            drawn=set_by_draw,
            during_search=fill(self.content.get("during_search") or {}, drawn),
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
                and has_value(block, parts[len(place) :])
                for place, block in blocks
            ):
                raise InputError(
                    f"{self.path}: {owner} sets the unknown config id {name!r}: "
                    f"{known_ids(config, name)}"
                )
        self._check_metric(config)

    def owners(self) -> dict[str, str]:
        """Return the section or parameter that sets each config id of the space."""
        return {name: owner for owner, name, _ in self._settings()}

    def _check_metric(self, config: Mapping[str, Any]) -> None:
        """Refuse a metric that the validation does not measure."""
        validate = config.get("validate", {})
        known = [
            name for key in ("key_metric", "additional_metrics") for name in validate.get(key) or {}
        ]
        if self.metric not in known:
            raise InputError(
                f"{self.path}: metric {self.metric!r} is none of the validation's: "
                f"{', '.join(known) or 'the config has no validate::key_metric'}"
            )

    def _settings(self) -> Iterator[tuple[str, str, Any]]:
        """Yield owner, id and value of everything that can be set."""
        for section in ("fixed", "during_search"):
            for name, value in (self.content.get(section) or {}).items():
                yield section, name, value
        for parameter in self.parameters.values():
            for setting in parameter.branches():
                for name, value in setting.items():
                    yield f"parameter {parameter.name!r}", name, value


def load_space(path: str | Path) -> SearchSpace:
    """Read a search space and check it as far as possible without the configs.

    Args:
        path: The YAML file, in the form that this module describes.

    Raises:
        InputError: If the file is missing or invalid.
    """
    content, parameters = read_space_file(Path(path))
    return SearchSpace(Path(path), content, parameters)
