"""Measure every method on every volume and at every noise level while an evaluator runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import NDArray
from torch import Tensor

from custom.errors import InputError
from custom.evaluation.compared_methods import compared_methods
from custom.evaluation.slice_table import restored_items
from custom.files.csv_table import write_table
from custom.metrics.volume_quality import (
    SSIM_WINDOW,
    SliceDistance,
    central_spectrum_error,
    foreground,
    root_mean_square_error,
    signal_to_noise_ratio,
    similarity_map,
    slice_distance,
    spectrum_band,
    value_range,
)

__all__ = ["ABOUT_COLUMNS", "MEASURES", "VolumeQualityTable", "volume_measures", "volume_values"]

ABOUT_COLUMNS = ("scan", "subject", "noise_level", "method")
MEASURES = ("psnr", "ssim", "psnr_foreground", "ssim_foreground", "nrmse", "kspace_error", "lpips")


class VolumeQualityTable:
    """Collect the measures of each volume, noise level and method, and write them as CSV.

    The data range of PSNR and SSIM is ``max - min`` of the reference, without noise, so neither
    depends on the unit. The foreground is what is above Otsu's threshold of the reference.

    Writes ``metrics.csv`` (``scan, subject, noise_level, method``, the measures, ``data_range``)
    when the evaluator has completed. The column ``lpips`` is empty without a distance.

    Args:
        output_dir: Folder of the table.
        methods: Name of a method to the key of its volume in the batch or the output.
        peers: What the evaluator ran besides; the networks among it are methods too.
        lpips: Perceptual distance of slices, or ``None`` to go without.
        scale: Ratio of the grids, which bounds the centre of k-space.
        spectrum: Samples of it along each axis of a large volume.

    Shape:
        Volumes: ``(1, D, H, W)``.

    Raises:
        ValueError: If ``methods`` lacks ``model``, or while running, if a method's volume has not
            the shape of the reference.
        InputError: While running, if a volume cannot be measured.
    """

    def __init__(
        self,
        output_dir: str | Path,
        methods: Mapping[str, str],
        peers: Iterable[Any] = (),
        lpips: SliceDistance | None = None,
        scale: int = 2,
        spectrum: int = 50,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.methods = compared_methods(methods, peers)
        self.lpips = lpips
        self.scale = scale
        self.spectrum = spectrum
        self.start()

    def attach(self, engine: Engine) -> None:
        """Measure each volume as it is restored, and write the table at the end."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.measure)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self) -> None:
        """Forget what an earlier run measured."""
        self.rows: list[dict[str, Any]] = []

    def measure(self, engine: Engine) -> None:
        """Measure the volume that the engine has just restored."""
        for data in restored_items(engine):
            scan = str(data.get("scan", ""))
            reference = volume_values(data["label"])
            about = {
                "scan": scan,
                "subject": str(data.get("subject", "")),
                "noise_level": float(data.get("noise_level", 0.0)),
            }
            for method, key in self.methods.items():
                values = self._measures(scan, method, volume_values(data[key]), reference)
                self.rows.append({**about, "method": method, **values})

    def write(self) -> None:
        """Write the table."""
        columns = (*ABOUT_COLUMNS, *MEASURES, "data_range")
        write_table(self.output_dir / "metrics.csv", columns, self.rows)

    def _measures(
        self, scan: str, method: str, predicted: NDArray[Any], reference: NDArray[Any]
    ) -> dict[str, Any]:
        """Return the measures of one volume."""
        if predicted.shape != reference.shape:
            raise ValueError(
                f"{method} must give {reference.shape} for {scan}, got {predicted.shape}"
            )
        if not np.isfinite(predicted).all():
            raise InputError(f"{method} gives values that are not finite for {scan}")
        try:
            band = spectrum_band(reference.shape, self.scale, self.spectrum)
            return volume_measures(predicted, reference, band, self.lpips)
        except ValueError as error:
            raise InputError(f"{scan} cannot be evaluated: {error}") from error


def volume_measures(
    predicted: NDArray[Any],
    reference: NDArray[Any],
    band: tuple[int, ...],
    lpips: SliceDistance | None = None,
) -> dict[str, Any]:
    """Return all measures of a volume, and their ``data_range``.

    Args:
        predicted: Volume to judge.
        reference: Volume to compare with.
        band: Samples of the centre of k-space along each axis.
        lpips: Distance of slices; without it ``lpips`` is empty.

    Shape:
        Volumes: ``(D, H, W)``.

    Raises:
        ValueError: If the volumes cannot be compared.
    """
    width = value_range(reference)
    inside = foreground(reference)
    similarity = similarity_map(predicted, reference, width)
    margin = SSIM_WINDOW // 2
    cropped = inside[(slice(margin, -margin),) * 3]
    if not cropped.any():
        raise ValueError("nothing of its foreground is farther than 5 voxels from the border")
    return {
        "psnr": signal_to_noise_ratio(predicted, reference, width),
        "ssim": float(similarity.mean()),
        "psnr_foreground": signal_to_noise_ratio(predicted, reference, width, inside),
        "ssim_foreground": float(similarity[cropped].mean()),
        "nrmse": root_mean_square_error(predicted, reference),
        "kspace_error": central_spectrum_error(predicted, reference, band),
        "lpips": "" if lpips is None else slice_distance(predicted, reference, width, lpips),
        "data_range": width,
    }


def volume_values(volume: Tensor) -> NDArray[Any]:
    """Return the values ``(D, H, W)`` of a volume ``(1, D, H, W)``, float32 on the CPU."""
    values = torch.as_tensor(volume).as_subclass(Tensor).detach()
    return values[0].float().cpu().numpy()
