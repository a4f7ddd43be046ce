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
from custom.tuning.storage import failure_reason, root_number

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

__all__ = ["best_overlay", "write_results"]

logger = logging.getLogger(__name__)

_BEST = "best.yaml"
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
    trials = sorted(study.get_trials(deepcopy=False), key=lambda trial: trial.number)
    completed = [trial for trial in trials if trial.state.name == "COMPLETE"]
    best = study.best_trial if completed else None
    summary = {
        "study": study.study_name,
        "space": space.path.name,
        "metric": space.metric,
        "direction": space.direction,
        "sampler": space.sampler,
        "pruner": space.pruner,
        "trials": dict(sorted(Counter(trial.state.name.lower() for trial in trials).items())),
        "first": _shown(completed[0], space) if completed else None,
        "best": _shown(best, space) if best else None,
        "importances": parameter_importances(study),
        "train_command": train_command,
    }
    files = []
    if best is None:
        logger.warning("no trial was completed: %s says why", folder / "trials.csv")
        (folder / _BEST).unlink(missing_ok=True)
    else:
        overlay = config_yaml(best_overlay(config, space, best.params))
        with atomic_path(folder / _BEST) as temporary:
            temporary.write_text(_header(summary) + overlay, encoding="utf-8")
        files.append(folder / _BEST)
    rows = [_row(trial, space) for trial in trials]
    files.append(write_table(folder / "trials.csv", [*_COLUMNS, *space.parameters, "notes"], rows))
    files.append(write_json(folder / "search.json", summary))
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


def _row(trial: FrozenTrial, space: SearchSpace) -> dict[str, Any]:
    """Return the row of a trial: its state and its drawn values."""
    notes = []
    if root_number(trial) != trial.number:
        notes.append(f"repeats trial {root_number(trial)}")
    if trial.state.name == "FAIL":
        notes.append(failure_reason(trial))
    return {
        "trial": trial.number,
        "state": trial.state.name.lower(),
        # Of a pruned trial Optuna keeps its last epoch's, which is not comparable.
        "value": trial.value if trial.state.name == "COMPLETE" else "",
        "epochs": max(trial.intermediate_values, default=0),
        "seconds": "" if trial.duration is None else round(trial.duration.total_seconds()),
        **dict.fromkeys(space.parameters, ""),
        **space.values(trial.params),
        "notes": "; ".join(notes),
    }


def _shown(trial: FrozenTrial, space: SearchSpace) -> dict[str, Any]:
    """Return a trial's number, value and draw."""
    return {"trial": trial.number, "value": trial.value, "drawn": space.values(trial.params)}


def _header(summary: Mapping[str, Any]) -> str:
    """Return the comment above the overlay: its origin and its use."""
    best, command = summary["best"], summary["train_command"]
    counts = ", ".join(f"{number} {state}" for state, number in summary["trials"].items())
    drawn = ", ".join(f"{name} {value}" for name, value in best["drawn"].items())
    lines = [
        f"Best setting of the search {summary['study']!r} over {summary['space']}:",
        f"trial {best['trial']}, {summary['metric']} {best['value']:.6g} ({counts}).",
        *textwrap.wrap(f"Drawn: {drawn}.", 96, break_long_words=False, break_on_hyphens=False),
        "Put it after any other config of the bundle:",
        *(["", f"  {command}", ""] if command else []),
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)
