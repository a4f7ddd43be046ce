"""Draw a validation slice beside its input, its reference and the remaining error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import Evaluator

from custom.evaluation.panel_figure import draw_rows
from custom.evaluation.panel_rows import REFERENCE, Row, View, image_row, residual_row
from custom.files.atomic import atomic_path
from custom.metrics.image_pairs import data_range_of, plain
from custom.metrics.psnr import peak_signal_to_noise_ratio
from custom.metrics.ssim import structural_similarity
from custom.setting_checks import check_whole

__all__ = ["PreviewImages"]

_KEYS = {"input": "image", "restored": "pred"}


@dataclass(eq=False)
class PreviewImages:
    """Save a picture of the same validation slice every few epochs.

    Attach it to the evaluator of single slices. Files are named ``epoch_0010.png``. An evaluator
    does not know whether its trainer starts anew: list the folder in
    :class:`custom.handlers.run_folder.EarlierRun` to keep an earlier training's pictures apart.

    Args:
        folder: Folder of the pictures.
        rows: Rows of the picture, see :class:`custom.evaluation.panels.Panels`.
        interval: Epochs from one picture to the next; the first epoch has one too.
        slice_number: Number of the slice, from 1, in the order in which validation reads them.

    Raises:
        ValueError: If ``interval`` or ``slice_number`` is less than 1.
    """

    folder: str | Path
    rows: Sequence[Callable[[View], Row]] = (partial(image_row, label="image"), residual_row)
    interval: int = 5
    slice_number: int = 1

    def __post_init__(self) -> None:
        """Raise if a number is below 1."""
        check_whole("interval", self.interval, 1)
        check_whole("slice_number", self.slice_number, 1)

    def attach(self, engine: Evaluator) -> None:
        """Add the handler to each validation step."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Evaluator) -> None:
        """Save a picture if slice and epoch are those to draw."""
        epoch = engine.state.epoch
        wanted = min(self.slice_number, engine.state.epoch_length)
        if engine.state.iteration != wanted or (epoch > 1 and epoch % self.interval):
            return
        item = {**engine.state.batch[0], **engine.state.output[0]}
        view = View(item, _KEYS)
        titles = {name: (name, _measure(item[key], item["label"])) for name, key in _KEYS.items()}
        titles[REFERENCE] = (REFERENCE, "")
        place = f"{item.get('scan', '')}, slice {int(item.get('slice', 0))}"
        heading = f"{place}: epoch {epoch} (PSNR [dB] / SSIM)"
        figure = draw_rows([row(view) for row in self.rows], titles, heading, inches=3.0)
        with atomic_path(Path(self.folder) / f"epoch_{epoch:04d}.png") as temporary:
            figure.savefig(temporary, dpi=90)


def _measure(image: Any, reference: Any) -> str:
    """Return PSNR and SSIM of one slice, with the range of its reference."""
    given, wanted = plain(image)[None], plain(reference)[None]
    spread = data_range_of(wanted).clamp_min(torch.finfo(torch.float32).tiny)
    psnr = peak_signal_to_noise_ratio(given, wanted, spread).item()
    return f"{psnr:.2f} / {structural_similarity(given, wanted, spread).item():.3f}"
