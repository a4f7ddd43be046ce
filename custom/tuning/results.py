"""Write the result of a search: the best configuration, all trials, figures and a page."""

from __future__ import annotations

import copy
import logging
import textwrap
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai.bundle import ConfigParser

from custom.files.atomic import atomic_path, write_json
from custom.files.csv_table import write_table
from custom.handlers.executed_config import config_yaml
from custom.report.html_report import write_report
from custom.tuning.plots import parameter_importances, write_plots
from custom.tuning.space import SearchSpace
from custom.tuning.trial_records import failure_reason, root_number

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

__all__ = ["BEST", "best_overlay", "trial_rows", "write_results"]

logger = logging.getLogger(__name__)

BEST = "best.yaml"
_COLUMNS = ("trial", "state", "value", "epochs", "seconds")


def write_results(
    study: Study,
    space: SearchSpace,
    config: Mapping[str, Any],
    output: str | Path,
    train_command: str = "",
) -> list[Path]:
    """Write the present result of a search; results of an earlier call are replaced.

    Args:
        study: The Optuna study.
        space: Its search space.
        config: Content of the merged configs of its trials, with the user's own overrides,
            unresolved.
        output: The search's folder.
        train_command: Command that trains with ``best.yaml``.

    Returns:
        ``best.yaml`` unless no trial was completed, ``trials.csv``, ``search.json``, the pictures
        in ``plots`` and ``report.html``.
    """
    folder = Path(output)
    files = []
    best = _best(study)
    if best is None:
        logger.warning("no trial was completed: %s says why", folder / "trials.csv")
        (folder / BEST).unlink(missing_ok=True)
    else:
        overlay = best_overlay(config, space, best.params)
        header = _header(study, space, best, train_command)
        with atomic_path(folder / BEST) as temporary:
            temporary.write_text(header + config_yaml(overlay), encoding="utf-8")
        files.append(folder / BEST)
    trials = sorted(study.get_trials(deepcopy=False), key=lambda trial: trial.number)
    rows = trial_rows(trials, space)
    files.append(write_table(folder / "trials.csv", [*_COLUMNS, *space.parameters, "notes"], rows))
    files.append(write_json(folder / "search.json", _summary(study, space, best, train_command)))
    plots = write_plots(study, folder / "plots", space.metric)
    return [*files, *plots, write_report(folder)]


def best_overlay(
    config: Mapping[str, Any], space: SearchSpace, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the top-level config ids that a trial sets, each of them whole.

    Whole, so that the overlay can follow any config of the bundle: it replaces the whole network of
    ``evaluate.yaml``, which may be another one.

    Args:
        config: Content of the merged configs.
        space: The search space.
        params: The trial's ``params``, as the Optuna study holds them.
    """
    parser = ConfigParser(copy.deepcopy(dict(config)))
    settings = space.overrides(space.values(params)).result
    for name, value in settings.items():
        parser[name] = copy.deepcopy(value)
    content: Any = parser.get()
    touched = {name.replace("#", "::").split("::")[0] for name in settings}
    return {name: value for name, value in content.items() if name in touched}


def trial_rows(trials: list[FrozenTrial], space: SearchSpace) -> list[dict[str, Any]]:
    """Return a row a trial: its state and its drawn values."""
    rows = []
    for trial in trials:
        drawn = space.values(trial.params)
        epochs = max(trial.intermediate_values, default=0)
        completed = trial.state.name == "COMPLETE"
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                # Of a pruned trial Optuna keeps its last epoch's, which is not comparable.
                "value": trial.value if completed else "",
                "epochs": epochs,
                "seconds": "" if trial.duration is None else round(trial.duration.total_seconds()),
                **{name: drawn.get(name, "") for name in space.parameters},
                "notes": _notes(trial),
            }
        )
    return rows


def _notes(trial: FrozenTrial) -> str:
    """Return the notes on a trial."""
    notes = []
    if root_number(trial) != trial.number:
        notes.append(f"repeats trial {root_number(trial)}")
    if trial.state.name == "FAIL":
        notes.append(failure_reason(trial))
    return "; ".join(notes)


def _best(study: Study) -> FrozenTrial | None:
    """Return the best trial, if any was completed."""
    from optuna.trial import TrialState

    completed = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return study.best_trial if completed else None


def _summary(
    study: Study, space: SearchSpace, best: FrozenTrial | None, train_command: str
) -> dict[str, Any]:
    """Return the content of the page besides the table."""
    trials = study.get_trials(deepcopy=False)
    completed = [trial for trial in trials if trial.state.name == "COMPLETE"]
    first = min(completed, key=lambda trial: trial.number, default=None)
    return {
        "study": study.study_name,
        "space": space.path.name,
        "metric": space.metric,
        "direction": space.direction,
        "sampler": space.sampler,
        "pruner": space.pruner,
        "trials": dict(sorted(Counter(trial.state.name.lower() for trial in trials).items())),
        "first": _shown(first, space),
        "best": _shown(best, space),
        "importances": parameter_importances(study),
        "train_command": train_command,
    }


def _shown(trial: FrozenTrial | None, space: SearchSpace) -> dict[str, Any] | None:
    """Return a trial's number, value and draw."""
    if trial is None:
        return None
    return {"trial": trial.number, "value": trial.value, "drawn": space.values(trial.params)}


def _header(study: Study, space: SearchSpace, best: FrozenTrial, train_command: str) -> str:
    """Return the comment above the overlay: its origin and its use."""
    states = Counter(trial.state.name.lower() for trial in study.get_trials(deepcopy=False))
    counts = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    drawn = ", ".join(f"{name} {value}" for name, value in space.values(best.params).items())
    lines = [
        f"Best setting of the search {study.study_name!r} over {space.path.name}:",
        f"trial {best.number}, {space.metric} {best.value:.6g} ({counts}).",
        *textwrap.wrap(f"Drawn: {drawn}.", 96, break_long_words=False, break_on_hyphens=False),
        "Put it after any other config of the bundle:",
        *(["", f"  {train_command}", ""] if train_command else []),
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)
