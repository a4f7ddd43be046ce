"""Draw a validation slice beside its input, its reference and what is left of the error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import Evaluator
from torch import Tensor

from custom.evaluation.slice_panels import Comparison, compare, image_values
from custom.files.atomic import atomic_path
from custom.metrics.image_pairs import data_range_of
from custom.metrics.psnr import mean_squared_error, peak_signal_to_noise_ratio
from custom.metrics.ssim import structural_similarity

__all__ = ["PreviewImages"]


class PreviewImages:
    """Save a picture of the same validation slice every few epochs.

    Attach it to the evaluator of single slices. Files are named ``epoch_0010.png``. An evaluator
    does not know whether its trainer starts anew: list the folder in
    :class:`custom.handlers.earlier_run.EarlierRun` to keep an earlier training's pictures apart.

    Args:
        draw: Makes a matplotlib figure of a comparison.
        folder: Where the pictures go.
        interval: Epochs from one picture to the next; the first epoch has one too.
        slice_number: Which slice of the validation, counted from 1, in the order it is read.
        dots_per_inch: Resolution of the pictures.

    Raises:
        ValueError: If ``interval`` or ``slice_number`` is less than 1.
    """

    def __init__(
        self,
        draw: Callable[[Comparison], Any],
        folder: str | Path,
        interval: int = 5,
        slice_number: int = 1,
        dots_per_inch: int = 90,
    ) -> None:
        if interval < 1 or slice_number < 1:
            raise ValueError(
                f"interval and slice_number must be at least 1, got {interval}, {slice_number}"
            )
        self.draw = draw
        self.folder = Path(folder)
        self.interval = interval
        self.slice_number = slice_number
        self.dots_per_inch = dots_per_inch

    def attach(self, engine: Evaluator) -> None:
        """Look at each validation step."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Evaluator) -> None:
        """Save a picture if this is the slice and the epoch for one."""
        epoch = engine.state.epoch
        wanted = min(self.slice_number, engine.state.epoch_length)
        if engine.state.iteration != wanted or (epoch > 1 and epoch % self.interval):
            return
        data = {**engine.state.batch[0], **engine.state.output[0]}
        low, restored, high = (image_values(data[key]) for key in ("image", "pred", "label"))
        measures = {"input": _measure(low, high), "model": _measure(restored, high)}
        item = compare(data, f"epoch {epoch}", measures)
        with atomic_path(self.folder / f"epoch_{epoch:04d}.png") as temporary:
            self.draw(item).savefig(temporary, dpi=self.dots_per_inch)


def _measure(image: Tensor, reference: Tensor) -> dict[str, float]:
    """Measure one slice, with the range of its reference."""
    pair = image.unsqueeze(0), reference.unsqueeze(0)
    spread = data_range_of(pair[1]).clamp_min(torch.finfo(torch.float32).tiny)
    return {
        "mse": mean_squared_error(*pair).item(),
        "psnr": peak_signal_to_noise_ratio(*pair, spread).item(),
        "ssim": structural_similarity(*pair, spread).item(),
    }
