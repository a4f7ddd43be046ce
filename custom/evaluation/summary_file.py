"""Write ``summary.json`` of an evaluation, and its result as a few lines of text."""

from __future__ import annotations

import json
import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from custom.evaluation.measure import format_mean, format_value, title
from custom.evaluation.summary import rows_at_lowest, summarise, summarise_seconds
from custom.evaluation.table import QualityTable, Times, read_rows
from custom.files.atomic import sha256_of, write_json
from custom.versions import package_versions

__all__ = ["KIND", "Summary", "summary_text"]

logger = logging.getLogger(__name__)

KIND = "evaluation"
_PACKAGES = ("mri-restoration-bundles", "monai", "torch", "numpy", "scipy")


@dataclass(eq=False)
class Summary:
    """Write ``summary.json`` beside the tables of an evaluation, and log its result.

    Args:
        table: The measures, after the evaluator has run.
        ckpt_path: Weights that were evaluated.
        dataset_dir: The dataset's folder.
        split: The split that was evaluated.
        method_names: Names of methods; by default those of the table.
        unit: Word for a unit: ``slice``, ``series`` or ``volume``.
        subject: Word for a subject: ``animal`` or ``person``.
        subject_column: Column of the subjects.
        groups: Columns that define the groups.
        lowest, each: See :func:`~custom.evaluation.summary.summarise`.
        times: Times of the methods, if measured.
        seconds_per: Times are those of a ``scan`` or of a ``slice``.
        conventions: Further conventions: name to sentence.
        facts: Further facts for the page; those that are None are left out.
        parts: Additions of this bundle, with ``facts`` and ``tables`` as
            :class:`~custom.evaluation.units.Units` has them.
        packages: Further packages whose versions count.
        seed: Seed of the bootstrap.
    """

    table: QualityTable
    ckpt_path: str | Path
    dataset_dir: str | Path
    split: str
    method_names: Mapping[str, str]
    unit: str
    subject: str = "person"
    subject_column: str = "subject"
    groups: Sequence[str] = ()
    lowest: str | None = None
    each: str | None = None
    times: Times | None = None
    seconds_per: str = "scan"
    conventions: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    parts: Sequence[Any] = ()
    packages: Sequence[str] = ()
    seed: int = 0

    def write(self) -> Path:
        """Write the file and return its path."""
        table = self.table
        rows = read_rows(table.output_dir, [measure.name for measure in table.measures])
        found = summarise(
            rows,
            table.measures,
            self.groups,
            table.units.columns,
            self.subject_column,
            self.lowest,
            self.each,
            self.seed,
        )
        names = {method: self.method_names.get(method, method) for method in found["methods"]}
        times = self.times.rows if self.times else []
        summary = {
            "kind": KIND,
            "unit": self.unit,
            "subject": self.subject,
            "dataset": _about_dataset(Path(self.dataset_dir)),
            "split": self.split,
            "counts": self._counts(rows),
            **found,
            "method_names": names,
            "seconds": summarise_seconds(times, self.seconds_per),
            "seconds_per": self.seconds_per,
            "conventions": self.conventions,
            "facts": self._facts(rows),
            "tables": [one for part in (table.units, *self.parts) for one in part.tables(rows)],
            "checkpoint": _about_checkpoint(Path(self.ckpt_path)),
            "peers": {peer.output_key: _about_checkpoint(peer.ckpt_path) for peer in table.peers},
            "versions": package_versions((*_PACKAGES, *self.packages)),
            "use": "research use only",
        }
        path = write_json(table.output_dir / "summary.json", summary)
        logger.info("%s\n\n%s\n", path, summary_text(summary))
        return path

    def _counts(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """Return the numbers of units, scans and subjects."""
        rows = rows_at_lowest(rows, self.lowest)
        units = {tuple(row[name] for name in self.table.units.columns) for row in rows}
        return {
            self.unit: len(units),
            "scan": len({row["scan"] for row in rows}),
            self.subject: len({row.get(self.subject_column) or row["scan"] for row in rows}),
            **self.table.units.counts(),
        }

    def _facts(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
        """Return further facts for the page."""
        found = {name: str(of) for name, of in self.facts.items() if of is not None}
        if self.lowest is not None:
            first = rows_at_lowest(rows, self.lowest)[0]
            found[f"overall and gains at {self.lowest}"] = first[self.lowest]
        for column in self.table.units.further:
            mean = statistics.fmean(float(row[column]) for row in rows)
            found[column] = f"{mean:.3g} on average"
        for part in (self.table.units, *self.parts):
            found |= part.facts()
        return found


def summary_text(summary: Mapping[str, Any]) -> str:
    """Return the result as plain text: a line for each method, mean and deviation of each measure.

    The first measure is repeated for each level of the first group, where its values are numbers.

    Args:
        summary: Content of ``summary.json``.
    """
    measures, times = summary["measures"], summary["seconds"]
    first = next(iter(measures))
    group, parts = next(iter(summary["groups"].items()), ("", {}))
    levels = len(parts) > 1 and all(value.replace(".", "", 1).isdigit() for value in parts)
    parts = parts if levels else {}
    per = f"s/{summary['seconds_per']}"
    lines = [
        [
            "",
            *map(title, measures.values()),
            *([per] if times else []),
            *(f"{measures[first]['label']}, {group} {value}" for value in parts),
        ]
    ]
    for method in summary["methods"]:
        values = summary["overall"][method]
        cells = [format_mean(about, values[name]) for name, about in measures.items()]
        if times:
            cells.append(f"{times[method]['median']:.3g}" if method in times else "")
        cells += [format_value(measures[first], of[method][first]["mean"]) for of in parts.values()]
        lines.append([summary["method_names"][method], *cells])
    counts = ", ".join(f"{name} {number}" for name, number in summary["counts"].items())
    return _text_table(lines, f"Mean ± deviation over the split {summary['split']!r} ({counts}).")


def _about_checkpoint(path: Path) -> dict[str, str]:
    """Return ``path`` and ``sha256`` of weights."""
    return {"path": str(path.resolve()), "sha256": sha256_of(path)}


def _about_dataset(folder: Path) -> dict[str, Any]:
    """Return the description of the data from the dataset's ``datalist.json``."""
    content = json.loads((folder / "datalist.json").read_text(encoding="utf-8"))
    told = ("name", "description", "demonstration")
    return {"folder": str(folder.resolve())} | {
        name: content[name] for name in told if name in content
    }


def _text_table(lines: Sequence[Sequence[str]], caption: str) -> str:
    """Return lines of cells as plain text, the first ruled off, the caption below."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([text[0], "-" * len(max(text, key=len)), *text[1:], caption])
