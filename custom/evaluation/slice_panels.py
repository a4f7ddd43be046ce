"""Keep some slices of an evaluation, chosen by rule, and draw them at the end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

from custom.evaluation.figure_folder import write_figures
from custom.evaluation.restore_with import RestoreWithd
from custom.evaluation.slice_table import QualityTable, restored_items

__all__ = ["FIGURE_COLUMNS", "Comparison", "ComparisonFigures", "compare", "image_values"]

FIGURE_COLUMNS = ("file", "scan", "plane", "slice", "chosen")


@dataclass(frozen=True)
class Comparison:
    """One slice: what went in, what came out, and what it should be.

    Args:
        scan: The scan's name.
        plane: ``axial``, ``coronal`` or ``sagittal``.
        slice_index: From 0.
        chosen: Why this slice is shown.
        low: Degraded slice on the reference's grid, ``(X, Y)``.
        restored: The model's, ``(X, Y)``.
        high: Reference, ``(X, Y)``.
        pixel_mm: Size of a pixel along ``X`` and ``Y``.
        measures: Method to measure to value.
        peers: Method to what it restored, ``(X, Y)``: other networks beside the model.
    """

    scan: str
    plane: str
    slice_index: int
    chosen: str
    low: NDArray[Any]
    restored: NDArray[Any]
    high: NDArray[Any]
    pixel_mm: tuple[float, float]
    measures: Mapping[str, Mapping[str, float]]
    peers: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """Name of the figure."""
        return f"{self.scan}_slice{self.slice_index}.png"


class ComparisonFigures:
    """Draw slices of each plane: of the first scans the middle one, and the model's worst.

    Shown are the middle kept slice of the first ``scans_per_plane`` scans of a plane, in the order
    of the dataset, and the slice of the plane where the model's SSIM is lowest. Nobody picks them.

    Writes ``figures/<scan>_slice<k>.png`` and ``figures/figures.csv``, which says why each was
    chosen; figures of an earlier evaluation go.

    Args:
        table: Measures of the same evaluator; it must stand before this handler.
        draw: Makes a matplotlib figure of a comparison.
        output_dir: Folder in which ``figures`` is made.
        scans_per_plane: Scans whose middle slice is shown, at least 0.
        peers: What the evaluator ran besides; what each network among it restored is shown too.
        dots_per_inch: Resolution of the figures.

    Raises:
        ValueError: If ``scans_per_plane`` is negative.
    """

    def __init__(
        self,
        table: QualityTable,
        draw: Callable[[Comparison], Any],
        output_dir: str | Path,
        scans_per_plane: int = 2,
        peers: Iterable[Any] = (),
        dots_per_inch: int = 110,
    ) -> None:
        if scans_per_plane < 0:
            raise ValueError(f"scans_per_plane must be at least 0, got {scans_per_plane}")
        self.table = table
        self.draw = draw
        self.folder = Path(output_dir) / "figures"
        self.scans_per_plane = scans_per_plane
        self.dots_per_inch = dots_per_inch
        restored = [peer.output_key for peer in peers if isinstance(peer, RestoreWithd)]
        self.peers = {name: key for name, key in table.methods.items() if key in restored}
        self.start()

    def attach(self, engine: Engine) -> None:
        """Choose slices as stacks are restored, and draw at the end."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.choose)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self) -> None:
        """Forget what an earlier run chose."""
        self.middle: defaultdict[str, list[Comparison]] = defaultdict(list)
        self.worst: dict[str, Comparison] = {}

    def choose(self, engine: Engine) -> None:
        """Keep slices of the stack that the engine has just restored."""
        for data in restored_items(engine):
            measures = self._measures(str(data["scan"]))
            if not measures:
                continue
            plane, kept = str(data.get("plane", "")), list(measures)
            if len(self.middle[plane]) < self.scans_per_plane:
                middle = kept[len(kept) // 2]
                self.middle[plane].append(
                    compare(data, "middle slice", measures[middle], middle, self.peers)
                )
            worst = min(kept, key=lambda index: measures[index]["model"]["ssim"])
            before = self.worst.get(plane)
            if before is None or _ssim(measures[worst]) < _ssim(before.measures):
                chosen = "lowest SSIM of the model in this plane"
                self.worst[plane] = compare(data, chosen, measures[worst], worst, self.peers)

    def write(self) -> None:
        """Draw the chosen slices."""
        items = []
        for plane in self.worst:
            chosen = {item.file_name: item for item in (self.worst[plane], *self.middle[plane])}
            for name, item in sorted(chosen.items(), key=lambda pair: pair[1].chosen, reverse=True):
                items.append((item, (name, item.scan, item.plane, item.slice_index, item.chosen)))
        write_figures(self.folder, FIGURE_COLUMNS, items, self.draw, self.dots_per_inch)

    def _measures(self, scan: str) -> dict[int, dict[str, dict[str, float]]]:
        """Return slice to method to measure to value of one scan."""
        found: dict[int, dict[str, dict[str, float]]] = {}
        for row in self.table.rows:
            if row["scan"] == scan:
                values = {name: row[name] for name in self.table.measures}
                found.setdefault(row["slice"], {})[row["method"]] = values
        return found


def compare(
    data: Mapping[str, Any],
    chosen: str,
    measures: Mapping[str, Mapping[str, float]],
    index: int | None = None,
    peers: Mapping[str, str] | None = None,
) -> Comparison:
    """Put the images of one slice and its measures together.

    Args:
        data: ``image``, ``pred`` and ``label`` with what is known of the scan.
        chosen: Why this slice is shown.
        measures: Method to measure to value.
        index: Which slice of the stacks to take; ``None`` where the images are single slices,
            whose number is ``data["slice"]``.
        peers: Methods to show beside the model, each with the key of its images.

    Shape:
        Images: ``(1, X, Y, S)``, or ``(1, X, Y)`` without ``index``.
    """
    low, restored, high = (image_values(data[key], index) for key in ("image", "pred", "label"))
    affine = torch.as_tensor(getattr(data["label"], "affine", torch.eye(4))).double()
    width, height = torch.linalg.norm(affine[:3, :2], dim=0).tolist()
    return Comparison(
        scan=str(data.get("scan", "")),
        plane=str(data.get("plane", "")),
        slice_index=int(data.get("slice", 0)) if index is None else index,
        chosen=chosen,
        low=low[0].numpy(),
        restored=restored[0].numpy(),
        high=high[0].numpy(),
        pixel_mm=(width, height),
        measures=measures,
        peers={
            name: image_values(data[key], index)[0].numpy() for name, key in (peers or {}).items()
        },
    )


def image_values(image: Tensor, index: int | None = None) -> Tensor:
    """Return the values alone, single precision on the CPU, of a slice or of one of a stack."""
    values = torch.as_tensor(image).as_subclass(Tensor).detach()
    return (values if index is None else values[..., index]).float().cpu()


def _ssim(measures: Mapping[str, Mapping[str, float]]) -> float:
    """Return the model's SSIM."""
    return measures["model"]["ssim"]
