"""Diagnostic figures of super-resolution beside the tables of an evaluation."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from custom.analysis.gan.feature_embedding import embedding_diagnostic, load_extractor
from custom.analysis.gan.patch_collector import PatchCollector
from custom.evaluation.diagnostics_folder import Diagnostic, write_diagnostics
from custom.evaluation.measure_figures import draw_means
from custom.evaluation.table import QualityTable
from custom.report.training_curves import draw_curves, read_curves

__all__ = ["VolumeDiagnostics"]

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class VolumeDiagnostics:
    """Write the curves over the noise, the curves of the training, and the extractor's features.

    A figure whose data are missing is left out, with a line in the log: curves over the noise need
    two levels, those of the training its ``metrics.csv``, features the checkpoint of the training.

    Args:
        table: The measures, after the evaluator has run and the summary was written.
        patches: Patches of the same evaluation.
        extractor: The training's feature extractor, without weights.
        extractor_checkpoint: ``last.pt`` of the training.
        training_metrics: ``metrics.csv`` of the training.
        method_names: Names of methods.
        seed: Seed of the embedding.
    """

    table: QualityTable
    patches: PatchCollector
    extractor: nn.Module
    extractor_checkpoint: str | Path | None = None
    training_metrics: str | Path | None = None
    method_names: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0

    def write(self) -> Path:
        """Write the figures into ``diagnostics`` and return that folder."""
        parts = (part() for part in (self._noise, self._training, self._features))
        found = (part for part in parts if part is not None)
        return write_diagnostics(self.table.output_dir, found)

    def _noise(self) -> Diagnostic | None:
        """Return the curves over the noise."""
        file = self.table.output_dir / "summary.json"
        summary = json.loads(file.read_text(encoding="utf-8"))
        levels = summary["groups"]["noise_level"]
        if len(levels) < 2:
            logger.info("no curves over the noise: one noise level was evaluated")
            return None
        numbers: dict[str, Any] = {
            level: {method: values["psnr"]["mean"] for method, values in found.items()}
            for level, found in levels.items()
        }
        measures = summary["measures"]
        drawn = {name: measures[name] for name in ("psnr", "ssim", "lpips") if name in measures}
        return Diagnostic(
            "noise",
            "Robustness to noise",
            "Means over volumes against the reference without noise; the noise was added before "
            "downsampling, which takes most of it away again.",
            draw_means(levels, "noise / deviation of the reference", drawn, self.method_names),
            {"psnr": numbers},
        )

    def _training(self) -> Diagnostic | None:
        """Return the curves of the training."""
        if self.training_metrics is None or not Path(self.training_metrics).is_file():
            logger.info("no curves of the training: there is no %s", self.training_metrics)
            return None
        curves = read_curves(self.training_metrics)
        return Diagnostic(
            "training",
            "The training",
            "Means over each epoch. Dashed: log 2, what the critic's and the adversarial loss are "
            "where the critic cannot tell restored from real any more.",
            draw_curves(curves),
            {"epochs": max(epoch for curve in curves.values() for epoch in curve)},
        )

    def _features(self) -> Diagnostic | None:
        """Return the picture of the extractor's features."""
        extractor = load_extractor(self.extractor, self.extractor_checkpoint)
        if extractor is None:
            return None
        return embedding_diagnostic(self.patches.patches, extractor, self.seed)
