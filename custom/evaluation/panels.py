"""Keep some slices of an evaluation, chosen by rule, and draw them at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ignite.engine import Engine
from matplotlib.figure import Figure

from custom.evaluation.diagnostics_folder import write_figures
from custom.evaluation.measure import best_method, format_value, higher_is_better, title
from custom.evaluation.measure_figures import draw_distributions
from custom.evaluation.panel_figure import draw_rows
from custom.evaluation.panel_rows import REFERENCE, Row, View, slice_view
from custom.evaluation.table import ItemHandler, QualityTable
from custom.setting_checks import check_whole

__all__ = ["FIGURE_COLUMNS", "Choice", "Panels"]

FIGURE_COLUMNS = ("file", "scan", "caption")
Measures = Mapping[str, Mapping[str, Any]]
"""Method to its row of the table."""


@dataclass(frozen=True)
class Choice:
    """A rule that chooses the slices to show, so that nobody picks them by eye.

    Attributes:
        first: Number of scans, in the dataset's order, whose middle slice is shown; None for all.
        worst: The measure by which the model's worst slice is shown too; None for none.
        by: Column of the table; the rule then applies to each of its values.
        where: Column to value, to which the rule is restricted.
        reason: Reason that captions give for the first.
    """

    first: int | None = None
    worst: str | None = None
    by: str | None = None
    where: Mapping[str, Any] = field(default_factory=dict)
    reason: str = "middle slice"

    def __post_init__(self) -> None:
        """Raise if ``first`` is negative."""
        if self.first is not None:
            check_whole("first", self.first, 0)

    def group_of(self, row: Mapping[str, Any]) -> tuple[Any, ...] | None:
        """Return the group in which a slice is ranked, or None if the rule does not apply to it."""
        if any(not _equal(row[column], value) for column, value in self.where.items()):
            return None
        return (row[self.by] if self.by else "",)


@dataclass(frozen=True)
class Panel:
    """One slice with the content of its figure; ``place`` identifies it, ``named`` in words."""

    place: dict[str, Any]
    named: str
    chosen: str
    rows: list[Row]
    measures: Measures


@dataclass(eq=False)
class Panels(ItemHandler):
    """Draw chosen slices of an evaluation: rows of images, a column for each method.

    Writes ``figures/<scan>_slice<k>.png`` and ``figures/figures.csv`` (``file, scan, caption``, the
    columns that identify the slice, ``chosen``) when the evaluator has completed.

    Args:
        table: Measures of the same evaluator; it must stand before this handler.
        rows: Rows from the top: functions of a
            :class:`~custom.evaluation.panel_rows.View`.
        choices: Rules that choose the slices.
        view: Takes an item, methods and their keys, and the index of a slice or None; gives a view.
        columns: Fields that identify a slice (of the table or of the view), each with its format
            in the heading, as ``"noise {:g}"``; with ``""`` the heading leaves it out.
        measures: Measures in the titles; the best method by the first has a bold title.
        names: Names of methods.
        inches: Width of a panel.
        distributions: Whether to add a last figure with every measure of every slice.
    """

    table: QualityTable
    rows: Sequence[Callable[[View], Row]]
    choices: Sequence[Choice] = (Choice(),)
    view: Callable[[Mapping[str, Any], Mapping[str, str], int | None], View] = slice_view
    columns: Mapping[str, str] = field(default_factory=lambda: {"slice": "slice {}"})
    measures: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    inches: float = 1.75
    distributions: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Start without slices."""
        self.about = {measure.name: measure.about() for measure in self.table.measures}
        for name in (*self.measures, *(c.worst for c in self.choices if c.worst)):
            if name not in self.about:
                raise ValueError(
                    f"the table has no measure {name!r}: it has {', '.join(self.about)}"
                )
        self.start()

    def start(self) -> None:
        """Discard the slices of an earlier run."""
        self.seen = 0
        self.first: dict[tuple[Any, ...], list[Panel]] = {}
        self.worst: dict[tuple[Any, ...], Panel] = {}

    def collect(self, engine: Engine) -> None:
        """Choose among the items of the last batch, whose rows are the last of the table."""
        super().collect(engine)
        self.seen = len(self.table.rows)

    def keep(self, item: dict[str, Any]) -> None:
        """Keep slices of an item, if they are to be shown."""
        slices: dict[int | None, dict[str, Mapping[str, Any]]] = {}
        for row in self.table.rows[self.seen :]:
            # A batch may hold several scans.
            if row["scan"] == str(item.get("scan", "")):
                slices.setdefault(row.get("slice"), {})[row["method"]] = row
        for number, choice in enumerate(self.choices if slices else ()):
            group = choice.group_of(next(iter(slices.values()))["model"])
            if group is not None:
                self._choose(choice, (number, *group), item, slices)

    def write(self) -> None:
        """Draw the chosen slices."""
        columns = (*FIGURE_COLUMNS, *self.columns, "chosen")
        table = self.table.output_dir / "figures" / "figures.csv"
        write_figures(table, columns, self._figures())

    def _figures(self) -> Iterator[tuple[dict[str, Any], Figure]]:
        """Draw one figure after the other."""
        chosen: dict[tuple[Any, ...], Panel] = {}
        for group, first in self.first.items():
            for panel in (*first, *([self.worst[group]] if group in self.worst else [])):
                # Several rules may choose one slice: it is shown once, with the first reason.
                chosen.setdefault(tuple(panel.place.values()), panel)
        count: Counter[str] = Counter()
        for panel in chosen.values():
            name = f"{panel.place['scan']}_slice{panel.place['slice']}"
            # One slice may be shown at several levels of a column, as of noise.
            count[name] += 1
            texts = "; ".join(row.text for row in panel.rows)
            about = {
                "file": f"{name}_{count[name]}.png" if count[name] > 1 else f"{name}.png",
                "caption": f"{panel.named}: {panel.chosen}. From the top: {texts}.",
                "chosen": panel.chosen,
            }
            yield about | panel.place, self._draw(panel)
        if self.distributions:
            unit = "slice" if "slice" in self.table.rows[0] else "volume"
            text = f"Each point is a {unit}; boxes show quartiles and median."
            known = {name: of for name, of in self.about.items() if name in self.distributions}
            figure = draw_distributions(self.table.rows, known, self.names)
            yield {"file": "distributions.png", "caption": text}, figure

    def _choose(
        self,
        choice: Choice,
        group: tuple[Any, ...],
        item: Mapping[str, Any],
        slices: Mapping[int | None, Measures],
    ) -> None:
        """Keep the middle slice of an item if it is one of the first, and its worst."""
        first, indices = self.first.setdefault(group, []), list(slices)
        if choice.first is None or len(first) < choice.first:
            middle = indices[len(indices) // 2]
            first.append(self._panel(item, middle, slices[middle], choice.reason))
        name = choice.worst
        if name is None:
            return
        sign = 1 if higher_is_better(self.about[name]) else -1

        def score(measures: Measures) -> float:
            return sign * float(measures["model"][name])

        # A unit without the region of a measure has no value, and is no worst one.
        known = [index for index in indices if slices[index]["model"][name] is not None]
        if not known:
            return
        worst = min(known, key=lambda index: score(slices[index]))
        before = self.worst.get(group)
        if before is None or score(slices[worst]) < score(before.measures):
            end = "lowest" if sign > 0 else "highest"
            chosen = f"{end} {self.about[name]['label']} of the model"
            self.worst[group] = self._panel(item, worst, slices[worst], chosen)

    def _panel(
        self, item: Mapping[str, Any], index: int | None, measures: Measures, chosen: str
    ) -> Panel:
        """Make the images of one slice."""
        view = self.view(item, self.table.methods, index)
        known = {**measures["model"], "slice": view.index, **view.told}
        place = {column: known.get(column) for column in ("scan", *self.columns)}
        told = [
            text.format(place[column])
            for column, text in self.columns.items()
            if text and place[column] not in ("", None)
        ]
        # Drawn at the end, but cut out now: whole items of all scans would fill the memory.
        rows = [row(view) for row in self.rows]
        return Panel(place, ", ".join([str(place["scan"]), *told]), chosen, rows, measures)

    def _draw(self, panel: Panel) -> Figure:
        """Draw one slice."""
        shown = [name for name in self.measures if name in panel.measures["model"]]
        titles = {
            method: (
                self.names.get(method, method),
                " / ".join(
                    format_value(self.about[name], panel.measures[method][name]) for name in shown
                ),
            )
            for method in self.table.methods
        }
        titles[REFERENCE] = (self.names.get(REFERENCE, REFERENCE), "")
        heading = f"{panel.named}: {panel.chosen}"
        best = ""
        if shown:
            heading += f" ({' / '.join(title(self.about[name]) for name in shown)})"
            first = {method: row[shown[0]] for method, row in panel.measures.items()}
            best = best_method(self.about[shown[0]], first)
        return draw_rows(panel.rows, titles, heading, self.inches, best)


def _equal(value: Any, wanted: Any) -> bool:
    """Return True if two values of a table are the same; numbers to seven digits, as in a file."""
    if isinstance(wanted, float):
        return f"{value:.7g}" == f"{wanted:.7g}"
    return bool(value == wanted)
