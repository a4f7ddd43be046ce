"""Figures of a search, drawn by Optuna and made legible for many trials and parameters."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from custom.evaluation.drawing import COLOURS, INK, MEASURED, plain_axes
from custom.files.atomic import atomic_path

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

__all__ = ["draw_search", "parameter_importances", "write_plots"]

_CURVES = {
    "completed": (COLOURS[1], 1.0),
    "not completed": ("#b9bec6", 1.0),
    "best": (MEASURED, 2.4),
}
_SLICES = 6  # panels in a row that can still be read
# With fewer completed trials a split into good and other ones is meaningless.
_LEAST_FOR_IMPORTANCES = 6
_ENOUGH_GOOD = 5  # good trials that Optuna needs for a stable importance


def write_plots(study: Study, folder: str | Path, metric: str) -> list[Path]:
    """Write the figures of a search.

    Args:
        study: The Optuna study.
        folder: Folder of ``history.png`` and the others; older ones are replaced.
        metric: Name of the value on the axes.

    Returns:
        The files, in the order to read them.
    """
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
        ``slice`` (value by parameter) those that have data.
    """
    import optuna.visualization.matplotlib as drawn

    completed = _completed(study)
    importances = parameter_importances(study)
    figures: dict[str, Figure] = {}
    if completed:
        history = _draw(drawn.plot_optimization_history, study, target_name=metric)
        figures["history"] = _tidy_history(history, metric)
    # Optuna leaves the curves of failed trials out.
    drawable = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name != "FAIL"]
    if any(trial.intermediate_values for trial in drawable):
        curves = _draw(drawn.plot_intermediate_values, study)
        figures["intermediate"] = _tidy_curves(curves, study, metric)
    if importances:
        bars = _draw(
            drawn.plot_param_importances,
            study,
            evaluator=_evaluator(len(completed)),
            params=list(importances),
            target_name=metric,
        )
        figures["importances"] = _tidy_importances(bars, len(completed))
    shown = list(importances or dict.fromkeys(name for one in completed for name in one.params))
    if len(completed) > 1 and shown:
        panels = _draw(drawn.plot_slice, study, params=shown[:_SLICES], target_name=metric)
        figures["slice"] = _tidy_slices(panels)
    return figures


def parameter_importances(study: Study) -> dict[str, float]:
    """Return the importance of each parameter, largest first.

    Importances add up to one. By PED-ANOVA, which counts a conditional parameter in the trials that
    drew it. Good trials are the best tenth, at least five unless that is more than half.

    Returns:
        Nothing if fewer than six trials were completed, or all are equally good.
    """
    from optuna.importance import get_param_importances

    completed = _completed(study)
    values = {trial.value for trial in completed}
    drawn = {name for trial in completed for name in trial.params}
    if len(completed) < _LEAST_FOR_IMPORTANCES or len(values) < 2 or not drawn:
        return {}
    with _quiet():
        return dict(get_param_importances(study, evaluator=_evaluator(len(completed))))


def _evaluator(completed: int) -> Any:
    """Return Optuna's measure of importance, for this many completed trials."""
    from optuna.importance import PedAnovaImportanceEvaluator

    return PedAnovaImportanceEvaluator(target_quantile=min(0.5, max(0.1, _ENOUGH_GOOD / completed)))


def _completed(study: Study) -> list[FrozenTrial]:
    """Return the trials that ran to their end."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress warnings about experimental features, and advice on choices that are numbers."""
    advice = logging.getLogger("matplotlib.category")
    level = advice.level
    advice.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        advice.setLevel(level)


def _draw(plot: Callable[..., Any], study: Study, **options: Any) -> Figure:
    """Let Optuna draw, and restore pyplot's style, backend and open figures."""
    import matplotlib.pyplot as plt

    backend = mpl.get_backend(auto_select=False)
    # Optuna sets a style, which would stay for all figures to come.
    with mpl.rc_context(), _quiet():
        plt.switch_backend("agg")  # a figure on screen would need one
        try:
            axes = plot(study, **options)
            first: Any = axes if isinstance(axes, Axes) else axes.flat[0]
            figure: Figure = first.figure
            plt.close(figure)
        finally:
            if backend is not None:
                plt.switch_backend(backend)
    for ax in figure.axes:
        _tidy(ax)
    figure.set_facecolor("white")
    figure.set_layout_engine("constrained")
    return figure


def _tidy(ax: Axes) -> None:
    """Give a panel the style of the other figures of a report."""
    ax.set_facecolor("white")
    plain_axes(ax)
    ax.spines[["left", "bottom"]].set(visible=True, color=INK)
    ax.tick_params(colors=INK)
    for text in (ax.title, ax.xaxis.label, ax.yaxis.label):
        text.set(color=INK, fontsize=10)


def _logarithmic(axes: Sequence[Axes]) -> None:
    """Use logarithmic axes for positive values that span more than a factor of ten."""
    shown = [np.asarray(points.get_offsets()) for ax in axes for points in ax.collections]
    shown += [np.asarray(line.get_xydata()) for ax in axes for line in ax.lines]
    values = np.concatenate(shown)[:, 1].astype(float)
    values = values[np.isfinite(values)]
    wide = values.size and values.min() > 0 and values.max() / values.min() > 10
    for ax in axes:
        if wide:
            ax.set_yscale("log")
        else:
            ax.ticklabel_format(axis="y", useOffset=False)


def _tidy_history(figure: Figure, metric: str) -> Figure:
    """Adjust the plot of values by trial."""
    (ax,) = figure.axes
    figure.set_size_inches(7, 3.6)
    ax.set_title("Value of each completed trial, and the best so far")
    ax.set(xlabel="trial", ylabel=metric)
    # The best so far changes at a trial, not on the way to it.
    for line in ax.lines:
        line.set(drawstyle="steps-post", color=MEASURED, alpha=1)
    _logarithmic([ax])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.legend(["completed trial", "best so far"], fontsize=8, frameon=False)
    return figure


def _tidy_curves(figure: Figure, study: Study, metric: str) -> Figure:
    """Adjust the plot of values by epoch: colours by the state of the trial."""
    (ax,) = figure.axes
    figure.set_size_inches(7, 3.6)
    ax.set_title("Value by epoch")
    ax.set(xlabel="epoch", ylabel=metric)
    completed = _completed(study)
    kinds = {f"Trial{trial.number}": "completed" for trial in completed}
    if completed:
        kinds[f"Trial{study.best_trial.number}"] = "best"
    legend = {}
    for line in ax.lines:
        kind = kinds.get(str(line.get_label()), "not completed")
        colour, width = _CURVES[kind]
        line.set(color=colour, linewidth=width, alpha=1, zorder=3 if kind == "best" else 2)
        legend[kind] = Line2D([], [], color=colour, linewidth=width)
    _logarithmic([ax])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    ax.legend(legend.values(), legend.keys(), fontsize=8, frameon=False)
    return figure


def _tidy_importances(figure: Figure, completed: int) -> Figure:
    """Adjust the bars: names that fit, and the number of trials in the title."""
    (ax,) = figure.axes
    figure.set_size_inches(7, 1.2 + 0.3 * len(ax.patches))
    ax.set_title("", loc="left")
    ax.set_title(f"Importance of each parameter, from {completed} completed trials")
    ax.set(xlabel="part of what makes a trial good", ylabel="")
    legend = ax.get_legend()
    if legend is not None:
        legend.remove()
    return figure


def _tidy_slices(figure: Figure) -> Figure:
    """Adjust the panels of values by parameter; the last axes are the colour bar's."""
    *panels, bar = figure.axes
    figure.set_size_inches(1.2 + 2.2 * len(panels), 3.4)
    panels[0].set_title("")  # a single panel has Optuna's title there
    figure.suptitle("Value by parameter, completed trials", fontsize=10, color=INK)
    _logarithmic(panels)
    for ax in panels:
        ax.label_outer()
        if ax.get_xscale() == "log":
            ax.xaxis.set_minor_formatter(NullFormatter())
        else:  # long names of choices
            ax.tick_params(axis="x", rotation=30)
    bar.grid(visible=False)
    bar.set_ylabel("trial", fontsize=10)
    bar.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return figure
