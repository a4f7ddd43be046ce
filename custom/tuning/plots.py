"""Figures of a search: history, curves by epoch, importances, value by parameter."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import TrialState

from custom.evaluation.drawing import COLOURS, MEASURED, empty_figure, legend_below, plain_axes
from custom.files.atomic import atomic_path

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

__all__ = ["draw_search", "parameter_importances", "write_plots"]

_POINTS = COLOURS[1]
_CURVES: dict[str, dict[str, Any]] = {
    "completed": {"color": _POINTS, "linewidth": 1.0},
    "not completed": {"color": "#b9bec6", "linewidth": 1.0},
    "best": {"color": MEASURED, "linewidth": 2.4, "zorder": 3},
}
_SLICES = 6  # panels in a row that can still be read
# With fewer completed trials a split into good and other ones is meaningless.
_LEAST_FOR_IMPORTANCES = 6
_ENOUGH_GOOD = 5  # good trials that Optuna needs for a stable importance


def write_plots(study: Study, folder: str | Path, metric: str) -> list[Path]:
    """Write the figures of :func:`draw_search` as ``history.png`` and so on; replace older ones."""
    files = []
    for name, figure in draw_search(study, metric).items():
        with atomic_path(Path(folder) / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=110)
        files.append(Path(folder) / f"{name}.png")
    return files


def draw_search(study: Study, metric: str) -> dict[str, Figure]:
    """Draw the finished trials of a search.

    Args:
        study: The Optuna study, with one objective.
        metric: Name of the value on the axes.

    Returns:
        Of ``history`` (value by trial), ``intermediate`` (value by epoch), ``importances`` and
        ``slice`` (value by parameter) those that have data, in the order to read them.
    """
    completed = _completed(study)
    importances = parameter_importances(study)
    shown = list(importances or dict.fromkeys(name for one in completed for name in one.params))
    curves = [
        trial
        for trial in study.get_trials(deepcopy=False)
        if trial.intermediate_values and trial.state != TrialState.FAIL
    ]
    figures: dict[str, Figure] = {}
    if completed:
        figures["history"] = _history(completed, metric, study.direction)
    if curves:
        best = study.best_trial.number if completed else -1
        figures["intermediate"] = _intermediate(curves, metric, best)
    if importances:
        figures["importances"] = _importances(importances, len(completed))
    if len(completed) > 1 and shown:
        figures["slice"] = _slices(completed, metric, shown[:_SLICES])
    return figures


def parameter_importances(study: Study) -> dict[str, float]:
    """Return the importance of each parameter, largest first.

    Importances add up to one. By PED-ANOVA, which counts a conditional parameter in the trials that
    drew it. Good trials are the best tenth, at least five unless that is more than half.

    Returns:
        Nothing if fewer than six trials were completed, if all are equally good, or if they differ
        in one parameter alone.
    """
    completed = _completed(study)
    names = dict.fromkeys(name for trial in completed for name in trial.params)
    # One that had the same value in all trials has no importance, and one alone has all of it.
    varied = [n for n in names if len({str(trial.params.get(n)) for trial in completed}) > 1]
    equal = len({trial.value for trial in completed}) < 2
    if len(completed) < _LEAST_FOR_IMPORTANCES or equal or len(varied) < 2:
        return {}
    good = min(0.5, max(0.1, _ENOUGH_GOOD / len(completed)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls it experimental
        evaluator = PedAnovaImportanceEvaluator(target_quantile=good)
        return get_param_importances(study, evaluator=evaluator, params=varied)


def _completed(study: Study) -> list[FrozenTrial]:
    """Return the trials that ran to their end."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _panel(size: tuple[float, float], title: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """Return a figure, its size in inches, and its only panel."""
    figure = empty_figure(*size)
    ax = figure.subplots()
    plain_axes(ax)
    ax.set_title(title, fontsize=10)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    return figure, ax


def _whole() -> MaxNLocator:
    """Return ticks at whole numbers."""
    return MaxNLocator(integer=True, min_n_ticks=1)


def _scale(ax: Axes, values: Iterable[float]) -> None:
    """Use a logarithmic axis for positive values that span more than a factor of ten."""
    finite = [value for value in values if np.isfinite(value)]
    if finite and 0 < 10 * min(finite) < max(finite):
        ax.set_yscale("log")
    else:
        ax.ticklabel_format(axis="y", useOffset=False)


def _history(trials: Sequence[FrozenTrial], metric: str, direction: StudyDirection) -> Figure:
    """Draw the value of each trial, and the best so far."""
    title = "Value of each completed trial, and the best so far"
    figure, ax = _panel((7, 3.6), title, "trial", metric)
    numbers, values = np.array([(trial.number, trial.value) for trial in trials], float).T
    best = (np.minimum if direction == StudyDirection.MINIMIZE else np.maximum).accumulate(values)
    ax.scatter(numbers, values, color=_POINTS, label="completed trial")
    # The best so far changes at a trial, not on the way to it.
    ax.step(numbers, best, where="post", color=MEASURED, label="best so far")
    ax.xaxis.set_major_locator(_whole())
    _scale(ax, values)
    ax.legend(fontsize=8, frameon=False)
    return figure


def _intermediate(trials: Sequence[FrozenTrial], metric: str, best: int) -> Figure:
    """Draw the values by epoch, in colours by the state of the trial."""
    figure, ax = _panel((7, 4), "Value by epoch", "epoch", metric)
    for trial in trials:
        kind = "completed" if trial.state == TrialState.COMPLETE else "not completed"
        kind = "best" if trial.number == best else kind
        epochs, values = zip(*sorted(trial.intermediate_values.items()), strict=True)
        ax.plot(epochs, values, ".-", markersize=4, label=kind, **_CURVES[kind])
    ax.xaxis.set_major_locator(_whole())
    _scale(ax, [value for one in trials for value in one.intermediate_values.values()])
    legend_below(figure, [ax])
    return figure


def _importances(importances: Mapping[str, float], completed: int) -> Figure:
    """Draw the importance of each parameter as a bar, the largest on top."""
    size = (7, 1.2 + 0.3 * len(importances))
    title = f"Importance of each parameter, from {completed} completed trials"
    figure, ax = _panel(size, title, "part of what makes a trial good", "")
    bars = ax.barh(list(importances), list(importances.values()), color=_POINTS)
    ax.bar_label(bars, fmt="%.2f", padding=2, fontsize=8)
    ax.invert_yaxis()
    return figure


def _slices(completed: Sequence[FrozenTrial], metric: str, names: Sequence[str]) -> Figure:
    """Draw the value by parameter, darker for later trials."""
    figure = empty_figure(1.2 + 2.2 * len(names), 3.4)
    figure.suptitle("Value by parameter, completed trials", fontsize=10)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    panels[0].set_ylabel(metric)
    # From -1, so that trial 0 is not white on white.
    colours = {"cmap": "Blues", "vmin": -1, "vmax": completed[-1].number, "edgecolors": _POINTS}
    for ax, name in zip(panels, names, strict=True):
        plain_axes(ax)
        ax.set_xlabel(name)
        rows = [(t.params[name], t.value, t.number) for t in completed if name in t.params]
        drawn, values, numbers = zip(*rows, strict=True)
        distribution: Any = next(t.distributions[name] for t in completed if name in t.params)
        if hasattr(distribution, "choices"):
            # By position: choices may be numbers, names and None together.
            drawn = tuple(map(distribution.to_internal_repr, drawn))
            labels = [str(choice) for choice in distribution.choices]
            ax.set_xticks(range(len(labels)), labels, rotation=30)
        elif distribution.log:
            ax.set_xscale("log")
        points = ax.scatter(drawn, values, c=numbers, linewidths=0.5, **colours)
    _scale(panels[0], [float(trial.value or 0) for trial in completed])
    figure.colorbar(points, ax=panels, label="trial", ticks=_whole())
    return figure
