"""Measure every slice of every method against the reference while an evaluator runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

from custom.data.datasets.exclusions import read_exclusions
from custom.errors import InputError
from custom.files.csv_table import write_table
from custom.metrics.contrast_to_noise import cnr_problem, contrast_to_noise_ratio
from custom.metrics.psnr import mean_squared_error, peak_signal_to_noise_ratio
from custom.metrics.ssim import structural_similarity

__all__ = [
    "CNR_COLUMNS",
    "SCAN_COLUMNS",
    "Measure",
    "QualityTable",
    "restored_items",
    "slices_first",
]

SCAN_COLUMNS = ("scan", "animal", "plane", "region")
# The first six are the source's Table 3; the region tells two stacks of one plane apart.
CNR_COLUMNS = ("Mouse", "Plane", "Slice", "LR CNR", "DL CNR", "HR CNR", "Region")
_CNR_STACKS = {"LR CNR": "input", "DL CNR": "model", "HR CNR": "reference"}
_MEASURES = {
    "mse": lambda predicted, reference, _: mean_squared_error(predicted, reference),
    "psnr": peak_signal_to_noise_ratio,
    "ssim": structural_similarity,
}


class Measure(Protocol):
    """A measure of slices ``(B, 1, H, W)`` against a reference, given the data range ``(B,)``."""

    def __call__(self, predicted: Tensor, reference: Tensor, data_range: Tensor) -> Tensor:
        """Return one number a slice, ``(B,)``."""
        ...


class QualityTable:
    """Collect MSE, PSNR, SSIM and CNR of each slice and method, and write them as CSV.

    Stacks come from the evaluator one at a time, each slice divided by a factor of its own (the
    mean of its low-resolution slice). MSE is in these units. The data range of PSNR and SSIM is
    ``max - min`` of the scan's kept reference slices together, as acquired, brought to the units
    of the slice, so both are what they would be on the acquired intensities. An excluded slice
    plays no part in it.

    Writes ``metrics.csv`` (``scan, animal, plane, region, slice, method, mse, psnr, ssim[,
    lpips], data_range``; slices count from 0) and ``cnr.csv`` when the evaluator has completed. The
    latter has the columns of the source's table, and one more for each further method, ``<method>
    CNR``, which is empty where that method left a background without noise.

    Args:
        output_dir: Folder of the tables.
        methods: Name of a method to the key of its stack in the batch or the output. ``input``
            and ``model`` must be among them, for the columns LR and DL of the CNR table.
        exclusions: A list of bad slices to leave out; by default the dataset's own, if any.
        lpips: Perceptual distance, or ``None`` to go without that column.
        scale_key: Key of the factors in the batch.

    Shape:
        Stacks: ``(1, X, Y, S)``; factors: ``(S,)``; mask: ``(1, X, Y, S)``.

    Raises:
        ValueError: If ``methods`` lacks ``input`` or ``model``.
        InputError: While running, if a stack cannot be measured, or no slice is left.
    """

    def __init__(
        self,
        output_dir: str | Path,
        methods: Mapping[str, str],
        exclusions: str | Path | None = None,
        lpips: Measure | None = None,
        scale_key: str = "image_scale",
    ) -> None:
        if not {"input", "model"} <= set(methods):
            raise ValueError(f"methods must have 'input' and 'model', got {sorted(methods)}")
        self.output_dir = Path(output_dir)
        self.methods = dict(methods)
        self.exclusions = exclusions
        self.scale_key = scale_key
        self.measures: dict[str, Any] = _MEASURES | ({"lpips": lpips} if lpips else {})
        self.start()

    def attach(self, engine: Engine) -> None:
        """Measure each stack as it is restored, and write the tables at the end."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.measure)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self) -> None:
        """Forget what an earlier run measured."""
        self.rows: list[dict[str, Any]] = []
        self.cnr_rows: list[dict[str, Any]] = []
        self.cnr_left_out: Counter[str] = Counter()
        self.excluded: dict[str, list[int]] = {}

    def measure(self, engine: Engine) -> None:
        """Measure the stack that the engine has just restored."""
        for data in restored_items(engine):
            self._measure_scan(data)

    def write(self) -> None:
        """Write both tables.

        Raises:
            InputError: If no slice was measured.
        """
        if not self.rows:
            raise InputError("no slice is left to evaluate: the exclusion list names all of them")
        columns = (*SCAN_COLUMNS, "slice", "method", *self.measures, "data_range")
        write_table(self.output_dir / "metrics.csv", columns, self.rows)
        columns = (*CNR_COLUMNS, *self._further_cnr())
        write_table(self.output_dir / "cnr.csv", columns, self.cnr_rows)

    def _further_cnr(self) -> dict[str, str]:
        """Return the CNR columns that the source's table does not have, and their methods."""
        known = _CNR_STACKS.values()
        return {f"{method} CNR": method for method in self.methods if method not in known}

    def _measure_scan(self, data: Mapping[str, Any]) -> None:
        """Add the rows of one scan."""
        about = {name: str(data.get(name, "")) for name in SCAN_COLUMNS}
        scan = about["scan"]
        reference = slices_first(data["label"])
        kept = self._kept_slices(scan, data.get("exclusions"), len(reference))
        if not kept:
            return
        factors = data.get(self.scale_key, torch.ones(len(reference)))
        factors = torch.as_tensor(factors).cpu().double()
        acquired = (reference * factors.reshape(-1, 1, 1, 1))[kept]
        width = acquired.max() - acquired.min()
        if not width > 0:
            raise InputError(f"the reference of {scan} is constant: put it on the exclusion list")
        stacks = {name: slices_first(data[key])[kept] for name, key in self.methods.items()}
        reference, ranges = reference[kept], (width / factors)[kept]
        for method, stack in stacks.items():
            values = self._values(scan, method, stack, reference, ranges)
            self.rows += [
                {
                    **about,
                    "slice": index,
                    "method": method,
                    **{name: float(value[i]) for name, value in values.items()},
                    "data_range": float(ranges[i]),
                }
                for i, index in enumerate(kept)
            ]
        self._add_cnr(about, kept, {**stacks, "reference": reference}, data.get("mask"))

    def _kept_slices(self, scan: str, listed: Any, number: int) -> list[int]:
        """Return the slices that are not excluded, and remember the others."""
        bad = read_exclusions(self.exclusions or listed).get(scan, set())
        excluded = sorted(index for index in bad if index < number)
        if excluded:
            self.excluded[scan] = excluded
        return [index for index in range(number) if index not in bad]

    def _values(
        self, scan: str, method: str, stack: Tensor, reference: Tensor, ranges: Tensor
    ) -> dict[str, Tensor]:
        """Return every measure of one stack."""
        if not bool(torch.isfinite(stack).all()):
            raise InputError(f"{method} gives values that are not finite for {scan}")
        try:
            return {
                name: measure(stack, reference, ranges) for name, measure in self.measures.items()
            }
        except ValueError as error:
            raise InputError(f"{scan} cannot be evaluated: {error}") from error

    def _add_cnr(
        self, about: dict[str, str], kept: list[int], stacks: dict[str, Tensor], mask: Any
    ) -> None:
        """Add the contrast-to-noise ratios of the slices that have both regions."""
        if mask is None:
            self.cnr_left_out["no mask file"] += len(kept)
            return
        regions = slices_first(mask)[kept, 0].round().numpy()
        columns = _CNR_STACKS | self._further_cnr()
        for i, index in enumerate(kept):
            images: dict[str, NDArray[Any]] = {
                name: stacks[name][i, 0].numpy() for name in columns.values()
            }
            problems = {name: cnr_problem(image, regions[i]) for name, image in images.items()}
            needed = [problems[name] for name in _CNR_STACKS.values()]
            problem = next((text for text in needed if text is not None), None)
            if problem is not None:
                self.cnr_left_out[problem] += 1
                continue
            ratios = {
                column: "" if problems[name] else contrast_to_noise_ratio(images[name], regions[i])
                for column, name in columns.items()
            }
            place = {"Mouse": about["animal"], "Plane": about["plane"], "Slice": index}
            self.cnr_rows.append({**place, "Region": about["region"], **ratios})


def restored_items(engine: Engine) -> list[dict[str, Any]]:
    """Return each item of the evaluator's last batch together with what was made of it.

    Args:
        engine: A MONAI evaluator that splits its batches into lists of items.
    """
    batch: Any = engine.state.batch
    output: Any = engine.state.output
    return [{**given, **made} for given, made in zip(batch, output, strict=True)]


def slices_first(stack: Tensor) -> Tensor:
    """Bring a stack ``(1, X, Y, S)`` to slices ``(S, 1, X, Y)`` in double precision, on the CPU."""
    values = torch.as_tensor(stack).as_subclass(Tensor).detach()
    return values.cpu().double().permute(3, 0, 1, 2)
