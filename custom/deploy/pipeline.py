"""The steps from a folder of DICOM files to a folder of derived series, each a plain function."""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from custom.bundle.launch import causes
from custom.bundle.training_range import SeriesFacts, TrainingRange
from custom.data.atomic import write_json
from custom.deploy.audit_log import AuditLog
from custom.deploy.bundle_forms import OpenBundle, open_bundle
from custom.deploy.delivery import deliver
from custom.deploy.dicom.refusals import Refusal
from custom.deploy.dicom.rules import SeriesRules, load_rules, select_series
from custom.deploy.dicom.series import DicomSeries, read_folder
from custom.deploy.dicom.volume import SeriesVolume, series_volume
from custom.deploy.restoration import RestoredVolumes, restore_volume
from custom.errors import InputError

__all__ = ["OUTSIDE", "Pipeline", "Settings"]

logger = logging.getLogger(__name__)

# What to do with a series that is far from the training.
OUTSIDE = ("refuse", "warn")
_AUDIT = "audit.jsonl"
_ABOUT = "restoration.json"


@dataclass(frozen=True)
class Settings:
    """How a series is chosen and restored.

    Attributes:
        rules: File of the rules by which the series is chosen; the default rules if None.
        overlays: Configs of the bundle after ``inference``.
        overrides: Config ids and values.
        outside_range: ``refuse`` or ``warn`` of a series that is far from what the model was
            trained on; what the rules say if None.
        maps: Maps to deliver as further series, where the bundle gives them.
    """

    rules: Path | None = None
    overlays: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    outside_range: str | None = None
    maps: tuple[str, ...] = ("uncertainty",)

    def __post_init__(self) -> None:
        """Check what has few values."""
        if self.outside_range not in (None, *OUTSIDE):
            raise InputError(f"outside_range must be one of {OUTSIDE}, got {self.outside_range!r}")

    @classmethod
    def from_environment(cls) -> Settings:
        """Read the settings of a container, which has no other way to get them.

        ``RESTORATION_RULES`` (a file), ``RESTORATION_CONFIG`` (overlays, separated by commas),
        ``RESTORATION_OVERRIDES`` (a JSON object), ``RESTORATION_OUTSIDE_RANGE`` and
        ``RESTORATION_MAPS`` (separated by commas).

        Raises:
            InputError: If one cannot be read.
        """
        rules = os.environ.get("RESTORATION_RULES")
        try:
            overrides = json.loads(os.environ.get("RESTORATION_OVERRIDES") or "{}")
            overrides.keys()
        except (ValueError, AttributeError) as error:
            raise InputError("RESTORATION_OVERRIDES must be a JSON object") from error
        maps = os.environ.get("RESTORATION_MAPS")
        return cls(
            rules=Path(rules) if rules else None,
            overlays=_words(os.environ.get("RESTORATION_CONFIG", "")),
            overrides=overrides,
            outside_range=os.environ.get("RESTORATION_OUTSIDE_RANGE") or None,
            maps=cls.maps if maps is None else _words(maps),
        )


class Pipeline:
    """One run of the application; its steps are called in the order in which they stand here.

    Args:
        model: The bundle: an archive, a folder or a TorchScript file.
        output: Folder for the series, ``restoration.json`` and the audit log.
        settings: How a series is chosen and restored.
    """

    def __init__(self, model: str | Path, output: str | Path, settings: Settings) -> None:
        self.model = Path(model)
        self.output = Path(output)
        self.settings = settings
        self.warnings: list[str] = []
        self.written: dict[str, list[Path]] = {}
        self.bundle: OpenBundle | None = None
        self.sha256: str | None = None
        self._workspace = Path()

    @contextmanager
    def audited(self) -> Iterator[None]:
        """Keep the log: one line, whatever becomes of the run.

        Raises:
            InputError: If nothing can be written to the output.
        """
        log = AuditLog(self.output / _AUDIT)
        started = time.monotonic()
        decision, reason = "failed", "stopped"
        try:
            # Readable by this user alone, and gone afterwards, whatever happens.
            with tempfile.TemporaryDirectory(prefix="restoration_") as folder:
                self._workspace = Path(folder)
                yield
            decision, reason = "restored", ""
        except Exception as error:
            decision, reason = _verdict(error)
            raise
        finally:
            log.record(
                decision,
                seconds=time.monotonic() - started,
                bundle=self.bundle.about if self.bundle else None,
                input_sha256=self.sha256,
                reason=reason or None,
                warnings=tuple(self.warnings),
                series={name: len(files) for name, files in self.written.items()},
            )

    def load(self, folder: str | Path) -> list[DicomSeries]:
        """Read the headers of every series below a folder; the bundle is opened first."""
        place = self._workspace / "bundle"
        place.mkdir()
        self.bundle = open_bundle(self.model, place)
        return read_folder(Path(folder))

    def select(self, series: Sequence[DicomSeries]) -> DicomSeries:
        """Choose the one series that the rules name."""
        return select_series(series, self._rules)

    def volume(self, series: DicomSeries) -> SeriesVolume:
        """Check a series and read its voxels.

        Raises:
            Refusal: If a check fails, or the series is far from the training.
        """
        trained = TrainingRange(self._open.metadata.get("training_range", {"kind": "volume"}))
        volume = series_volume(series, trained.kind, lossy=self._rules.lossy_compression)
        self.sha256 = volume.sha256
        for doubt in volume.warnings:
            self.warnings.append("doubtful-image")
            logger.warning("%s", doubt)
        rule = self.settings.outside_range or self._rules.outside_training_range
        faults = dict(trained.faults(_facts(volume)))
        if faults and rule != "warn":
            found = "; ".join(faults.values())
            raise Refusal(
                next(iter(faults)), f"{found}: go on at your own risk with --outside_range warn"
            )
        for message in faults.values():
            logger.warning("%s", message)
        self.warnings += faults
        return volume

    def restore(self, volume: SeriesVolume) -> RestoredVolumes:
        """Restore the volume by the bundle."""
        return restore_volume(
            volume,
            self._open,
            self._workspace,
            self.settings.overlays,
            self.settings.overrides,
            self.settings.maps,
        )

    def write(self, restored: RestoredVolumes, source: SeriesVolume) -> dict[str, list[Path]]:
        """Write the derived series and what is to be known of them, all or nothing."""
        self.written = deliver(restored, source, self._open, self.output)
        about = {
            key: value for key, value in restored.sidecar.items() if not _is_between(key, value)
        }
        about |= {
            "bundle": {**about.get("bundle", {}), **self._open.about},
            "source": {"sha256": source.sha256, "images": len(source.sources)},
            "series": {name: len(files) for name, files in self.written.items()},
            "warnings": self.warnings,
        }
        write_json(self.output / _ABOUT, about)
        return self.written

    @cached_property
    def _rules(self) -> SeriesRules:
        """The rules of the file that the settings name."""
        return load_rules(self.settings.rules)

    @property
    def _open(self) -> OpenBundle:
        """The bundle, once it is open."""
        if self.bundle is None:
            raise RuntimeError("the bundle is opened by load")
        return self.bundle


def _verdict(error: Exception) -> tuple[str, str]:
    """Return what became of a run that ended in an error, and why, in short names."""
    for link in causes(error):
        if isinstance(link, Refusal):
            return "refused", link.reason
        if isinstance(link, InputError):
            return "refused", "input"
    return "failed", type(error).__name__


def _is_between(key: str, value: Any) -> bool:
    """Say whether an entry of the sidecar is of a file between DICOM and DICOM."""
    file = isinstance(value, dict) and "file" in value and key != "weights"
    return file or key == "read_besides"


def _words(text: str) -> tuple[str, ...]:
    """Split at commas."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _facts(volume: SeriesVolume) -> SeriesFacts:
    """Return what is compared with the training."""
    spacing = np.linalg.norm(volume.affine[:3, :3], axis=0)
    shape = volume.array.shape
    echo = volume.headers[0].get("EchoTime")
    return SeriesFacts(
        in_plane_mm=(float(spacing[0]), float(spacing[1])),
        between_slices_mm=float(spacing[2]),
        in_plane=(shape[0], shape[1]),
        slices=shape[2],
        echo_time_ms=None if echo in (None, "") else float(echo),
    )
