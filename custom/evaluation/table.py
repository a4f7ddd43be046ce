"""Measure and time every method on every unit while an evaluator runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from custom.errors import InputError
from custom.evaluation.measure import Measure
from custom.evaluation.restore_with import RestoreWithd
from custom.evaluation.units import Units
from custom.files.atomic import check_writable, set_aside
from custom.files.csv_table import read_table, write_table
from custom.files.process_lock import keep_folder, release_folder
from custom.inferers.timed_inferer import TimedInferer

__all__ = ["ItemHandler", "QualityTable", "Times", "read_rows"]

TABLE = "metrics.csv"


class ItemHandler:
    """A handler of MONAI's evaluators that gets one restored item after the other."""

    def attach(self, engine: Engine) -> None:
        """Start anew with each run of an evaluator, keep its items, and write at its end."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self) -> None:
        """Discard what an earlier run left."""

    def collect(self, engine: Engine) -> None:
        """Keep each item of the evaluator's last batch, together with its outputs."""
        batch: Any = engine.state.batch
        output: Any = engine.state.output
        for given, made in zip(batch, output, strict=True):
            self.keep({**given, **made})

    def keep(self, item: dict[str, Any]) -> None:
        """Take what is needed of an item."""
        raise NotImplementedError

    def write(self) -> Any:
        """Write what was kept."""


class QualityTable(ItemHandler):
    """Collect the measures of each unit and method, and write them as CSV.

    Writes ``metrics.csv`` when the evaluator has completed: a row for each unit and method with
    the unit's columns, the method, the measures, and the units' further columns. A cell is empty,
    and None in ``rows``, where there is no such number.

    An earlier evaluation is kept: just before the table is written its folder is renamed to
    ``<name>.1`` or the next free number. All that writes into the folder stands after this handler.

    Args:
        output_dir: Folder of the evaluation: new, empty, or that of an earlier one.
        units: Converts an item to units, as :class:`~custom.evaluation.units.Slices` does.
        methods: Name of a method to the key of its images in the batch or the output; ``model``,
            and methods made from its result, as ``model_consistent``, come last.
        measures: The measures.
        peers: Other components that the evaluator ran; networks among them are methods too, under
            their output key unless ``methods`` names them.

    Attributes:
        rows: Rows of the table so far.

    Raises:
        ValueError: If ``methods`` lacks ``model``.
        InputError: While running, if a unit cannot be measured, or none is left; at its start, if
            ``output_dir`` holds other files, cannot be written or renamed, or another process
            evaluates into it.
    """

    def __init__(
        self,
        output_dir: str | Path,
        units: Units,
        methods: Mapping[str, str],
        measures: Iterable[Measure],
        peers: Iterable[Any] = (),
    ) -> None:
        self.output_dir = Path(output_dir)
        self.units: Any = units
        self.peers = [peer for peer in peers if isinstance(peer, RestoreWithd)]
        self.methods = _model_last(methods, [peer.output_key for peer in self.peers])
        self.measures = list(measures)
        self.start()

    def attach(self, engine: Engine) -> None:
        """Refuse an output folder that will not do before anything runs."""
        engine.add_event_handler(Events.STARTED, _check_output, self.output_dir)
        # Until the report is written.
        engine.add_event_handler(Events.STARTED, keep_folder, self.output_dir)
        super().attach(engine)

    def start(self) -> None:
        """Discard the rows of an earlier run."""
        self.rows: list[dict[str, Any]] = []
        self.units.start()

    def keep(self, item: dict[str, Any]) -> None:
        """Measure an item."""
        units = self.units(item)
        if units is None:
            return
        for method, key in self.methods.items():
            compared = units.compare(method, key)
            columns = [self._cells(measure, units, compared) for measure in self.measures]
            names = [measure.name for measure in self.measures]
            lines = zip(units.rows, zip(*columns, strict=True), units.further, strict=True)
            self.rows += [
                {**about, "method": method, **dict(zip(names, cells, strict=True)), **further}
                for about, cells, further in lines
            ]

    def write(self) -> None:
        """Write the table; raise if nothing was measured."""
        if not self.rows:
            raise InputError(
                "nothing is left to evaluate: the split is empty, or the list of exclusions names "
                "all of it"
            )
        # Not at the start: an evaluation that fails leaves the earlier one where it is.
        if _holds_evaluation(self.output_dir):
            release_folder(self.output_dir)  # its lock lies in the folder that gets another name
            set_aside(self.output_dir)
            keep_folder(self.output_dir)
        columns = (*self.units.columns, "method", *(m.name for m in self.measures))
        write_table(self.output_dir / TABLE, (*columns, *self.units.further), self.rows)

    def _cells(self, measure: Measure, units: Any, compared: Any) -> list[float | None]:
        """Return a measure of each unit."""
        try:
            found = measure.function(compared)
        except ValueError as error:
            raise InputError(f"{units.name} cannot be evaluated: {error}") from error
        return [None] * len(units.rows) if found is None else [float(value) for value in found]


@dataclass(eq=False)
class Times(ItemHandler):
    """Keep the seconds that each method took for a scan, on the same machine, one by one.

    Those of the model and of its peers are measured by
    :class:`~custom.inferers.timed_inferer.TimedInferer`, those of the classical methods as they
    run while loading, where they store them under their key with the suffix ``_seconds``
    (:mod:`custom.transforms.dwi_baselines`). Loading, the estimates of scale and noise, and
    measuring do not count.

    Writes ``times.csv`` (``scan, method, slices, voxels, seconds``) when the evaluator has
    completed; voxels are those of ``image_mask``, which most methods are restricted to, else of the
    volume that was restored.

    Args:
        table: The measures of the same evaluator; it must stand before this handler.
        inferer: The evaluator's inferer, which restores with the model.
    """

    table: QualityTable
    inferer: TimedInferer
    rows: list[dict[str, Any]] = field(default_factory=list, init=False)

    def start(self) -> None:
        """Discard the times of an earlier run."""
        self.rows = []

    def keep(self, item: dict[str, Any]) -> None:
        """Keep the times of an item."""
        inside, restored = item.get("image_mask"), item["pred"]
        about = {
            "scan": str(item.get("scan", "")),
            "slices": restored.shape[-1],
            "voxels": restored[0].numel() if inside is None else int(inside.sum()),
        }
        keys = {method: f"{key}_seconds" for method, key in self.table.methods.items()}
        seconds = {method: float(item[key]) for method, key in keys.items() if key in item}
        seconds["model"] = self.inferer.seconds
        self.rows += [
            {**about, "method": method, "seconds": taken} for method, taken in seconds.items()
        ]

    def write(self) -> None:
        """Write the table."""
        columns = ("scan", "method", "slices", "voxels", "seconds")
        write_table(self.table.output_dir / "times.csv", columns, self.rows)


def _check_output(folder: Path) -> None:
    """Refuse a folder that cannot take a new evaluation."""
    earlier = _holds_evaluation(folder)
    if earlier and folder.is_mount():
        raise InputError(
            f"output_dir {folder} holds an evaluation and cannot be renamed, as it is a mount "
            "point: give a new folder in it"
        )
    check_writable(folder.parent if earlier else folder)


def _holds_evaluation(folder: Path) -> bool:
    """Return True if a folder holds an evaluation; raise if it holds something else."""
    if not folder.exists() or (folder.is_dir() and not any(folder.glob("[!.]*"))):
        return False
    try:
        read_table(folder / TABLE, ("scan", "method"))
    except InputError as error:
        raise InputError(
            f"output_dir {folder} holds other files than those of an evaluation: give a new folder"
        ) from error
    return True


def _model_last(methods: Mapping[str, str], peers: Iterable[str]) -> dict[str, str]:
    """Return name and key of every method: classical methods, other networks, the model last."""
    if "model" not in methods:
        raise ValueError(f"methods must have 'model', got {sorted(methods)}")
    named = {key: key for key in peers if key not in methods.values()}
    own = {n: key for n, key in methods.items() if n == "model" or n.startswith("model_")}
    return {**{name: key for name, key in methods.items() if name not in own}, **named, **own}


def read_rows(folder: str | Path, measures: Iterable[str]) -> list[dict[str, Any]]:
    """Read ``metrics.csv`` of an evaluation.

    Args:
        folder: Output folder of an evaluation.
        measures: Columns that are numbers; their empty cells are None.

    Raises:
        InputError: If the table is missing, empty, lacks a measure, or holds something else there.
    """
    path, names = Path(folder) / TABLE, list(measures)
    rows: list[dict[str, Any]] = list(read_table(path, ("scan", "method", *names)))
    if not rows:
        raise InputError(f"{path} holds no row: evaluate again")
    try:
        for row in rows:
            row.update({name: float(row[name]) if row[name] else None for name in names})
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} holds something that is no number: {error}") from error
    return rows
