"""Measure every method on every volume and at every noise level while an evaluator runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
from custom.metrics.foreground import foreground
from custom.metrics.image_pairs import data_range_of, mean_of_each
from custom.metrics.kspace_error import central_spectrum_error, spectrum_band
from custom.metrics.perceptual import slicewise_distance
from custom.metrics.psnr import normalised_error, peak_signal_to_noise_ratio
from custom.metrics.ssim import similarity_map, within_windows

Distance = Callable[[Tensor, Tensor, Tensor], Tensor]

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
        lpips: Distance | None = None,
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
    lpips: Distance | None = None,
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
    pair = torch.from_numpy(predicted)[None, None], torch.from_numpy(reference)[None, None]
    width = data_range_of(pair[1])
    inside = torch.from_numpy(foreground(reference))[None, None]
    similarity, cropped = similarity_map(*pair, width), within_windows(inside)
    if not cropped.any():
        raise ValueError("nothing of its foreground is farther than 5 voxels from the border")
    return {
        "psnr": float(peak_signal_to_noise_ratio(*pair, width)),
        "ssim": float(mean_of_each(similarity)),
        "psnr_foreground": float(peak_signal_to_noise_ratio(*pair, width, inside)),
        "ssim_foreground": float(mean_of_each(similarity, cropped)),
        "nrmse": float(normalised_error(*pair)),
        "kspace_error": central_spectrum_error(predicted, reference, band),
        "lpips": "" if lpips is None else float(slicewise_distance(*pair, width, lpips)),
        "data_range": float(width),
    }


def volume_values(volume: Tensor) -> NDArray[Any]:
    """Return the values ``(D, H, W)`` of a volume ``(1, D, H, W)``, float32 on the CPU."""
    values = torch.as_tensor(volume).as_subclass(Tensor).detach()
    return values[0].float().cpu().numpy()
