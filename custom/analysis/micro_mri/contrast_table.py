"""Tabulate the contrast-to-noise ratios of the slices that have both regions drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from custom.evaluation.summary import spread
from custom.evaluation.table import ItemHandler, QualityTable
from custom.evaluation.units import Images
from custom.files.csv_table import write_table
from custom.metrics.contrast_to_noise import cnr_problem, contrast_to_noise_ratio

__all__ = ["CNR_COLUMNS", "ContrastTable"]

# The first six are the paper's Table 3; the region distinguishes two stacks of one plane.
CNR_COLUMNS = ("Mouse", "Plane", "Slice", "LR CNR", "DL CNR", "HR CNR", "Region")
_REFERENCE = "reference"
_SOURCE = {"LR CNR": "input", "DL CNR": "model", "HR CNR": _REFERENCE}
_PLACE = {"Mouse": "animal", "Plane": "plane", "Slice": "slice", "Region": "region"}


class ContrastTable(ItemHandler):
    """Collect the contrast-to-noise ratios of every method, and write them as CSV.

    Writes ``cnr.csv`` when the evaluator has completed: the columns of the paper's table, and one
    more for each further method, ``<method> CNR``, which is empty where that method left a
    background without noise. A part of the :class:`~custom.evaluation.summary_file.Summary`.

    Args:
        table: Measures of the same evaluator, of slices; it must stand before this handler.
        mask_key: Key of the drawn regions: 1 the region of interest, 2 the background.

    Raises:
        ValueError: If the table lacks the method ``input``.
    """

    def __init__(self, table: QualityTable, mask_key: str = "mask") -> None:
        if "input" not in table.methods:
            raise ValueError(f"methods must have 'input', got {sorted(table.methods)}")
        self.table = table
        self.mask_key = mask_key
        further = {f"{name} CNR": name for name in table.methods if name not in _SOURCE.values()}
        self.methods = _SOURCE | further
        self.start()

    def start(self) -> None:
        """Discard the rows of an earlier run."""
        self.rows: list[dict[str, Any]] = []
        self.left_out: Counter[str] = Counter()

    def keep(self, item: dict[str, Any]) -> None:
        """Add the ratios of a stack's slices that have both regions."""
        slices: Images | None = self.table.units(item)
        if slices is None:
            return
        masks = slices.image(self.mask_key)
        if masks is None:
            self.left_out["no mask file"] += len(slices.rows)
            return
        regions = masks[:, 0].round().numpy()
        keys = {**self.table.methods, _REFERENCE: "label"}
        stacks = {name: slices.values(slices.item[keys[name]]) for name in self.methods.values()}
        for i, about in enumerate(slices.rows):
            images: dict[str, NDArray[Any]] = {
                name: stack[i, 0].numpy() for name, stack in stacks.items()
            }
            problems = {name: cnr_problem(image, regions[i]) for name, image in images.items()}
            needed = [problems[name] for name in _SOURCE.values()]
            problem = next((text for text in needed if text is not None), None)
            if problem is not None:
                self.left_out[problem] += 1
                continue
            ratios = {
                column: "" if problems[name] else contrast_to_noise_ratio(images[name], regions[i])
                for column, name in self.methods.items()
            }
            self.rows.append({name: about[key] for name, key in _PLACE.items()} | ratios)

    def write(self) -> None:
        """Write the table."""
        further = [name for name in self.methods if name not in _SOURCE]
        write_table(self.table.output_dir / "cnr.csv", (*CNR_COLUMNS, *further), self.rows)

    def facts(self) -> dict[str, str]:
        """Return the reasons for slices without a ratio."""
        reasons = [f"{number} of slices: {reason}" for reason, number in self.left_out.items()]
        return {"slices without a contrast-to-noise ratio": "; ".join(reasons)} if reasons else {}

    def tables(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return the mean ratio of each image."""
        if not self.rows:
            return []
        found = {
            column: spread(row[column] for row in self.rows if row[column] != "")
            for column in self.methods
        }
        return [
            {
                "title": "Contrast to noise",
                "columns": ["image", "mean", "deviation", "slices"],
                "rows": [
                    [column.removesuffix(" CNR"), of["mean"], of["std"], of["n"]]
                    for column, of in found.items()
                ],
                "caption": "(mean of the region of interest - mean of the background) / deviation "
                "of the background; LR is the input, DL the model, HR the reference.",
            }
        ]
