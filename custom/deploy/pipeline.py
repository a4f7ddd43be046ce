"""The steps from a folder of DICOM files to a folder of derived series, each a plain function."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from custom.data.inputs.training_range import TrainingRange, properties_of, stated_range
from custom.deploy.audit_log import AuditLog, Decision
from custom.deploy.bundle_forms import OpenBundle, open_bundle
from custom.deploy.delivery import ABOUT, deliver
from custom.deploy.dicom.rules import SeriesRules, load_rules, select_series
from custom.deploy.dicom.series import DicomSeries, read_folder
from custom.deploy.dicom.volume import SeriesVolume, series_volume
from custom.deploy.restoration import RestoredVolumes, restore_volume
from custom.deploy.settings import Settings
from custom.deploy.termination import on_terminate
from custom.errors import InputError, Refusal, causes
from custom.files.temporary import remove_own, temporary_folder

__all__ = ["Pipeline"]

logger = logging.getLogger(__name__)

_AUDIT = "audit.jsonl"


class Pipeline:
    """One run of the application; its steps are called in the order of definition.

    Args:
        model: The bundle: an archive, a folder or a TorchScript file.
        output: Folder for the series, ``restoration.json`` and the audit log.
        settings: Choice and restoration of a series.
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
        """Keep the log: one line, however the run ends.

        Raises:
            InputError: If nothing can be written to the output.
        """
        log = AuditLog(self.output / _AUDIT)
        started = time.monotonic()
        # What a run ended by SIGTERM leaves in the log: no exception comes then.
        verdict: tuple[Decision, str] = ("failed", "stopped")

        def record() -> None:
            opened = {} if self.bundle is None else self.bundle.about
            log.record(
                verdict[0],
                seconds=time.monotonic() - started,
                bundle=opened and {**opened, "model": self.settings.model},
                input_sha256=self.sha256,
                reason=verdict[1] or None,
                warnings=tuple(self.warnings),
                series={name: len(files) for name, files in self.written.items()},
            )

        def terminated() -> None:
            self._clean()
            record()

        try:
            with on_terminate(terminated), temporary_folder("restoration") as self._workspace:
                self._check_output()
                yield
            verdict = ("restored", "")
        except BaseException as error:
            verdict = _verdict(error)
            raise
        finally:
            try:
                record()
            except OSError as error:
                logger.exception("the audit log cannot be written")
                # Else the run's own error is what the user has to see.
                if verdict[0] == "restored":
                    raise InputError(
                        f"{log.path} cannot be written ({error.strerror}), what is in "
                        f"{self.output} is not in the log: free some space, and run again"
                    ) from error

    def _clean(self) -> None:
        """Remove the files of an interrupted run."""
        shutil.rmtree(self._workspace, ignore_errors=True)
        remove_own(self.output)

    def _check_output(self) -> None:
        """Refuse to write over an earlier result, before hours of work."""
        for name in ("restored", *self.settings.maps):
            folder = self.output / name
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise InputError(f"{folder}: holds files already: give another output folder")
        if (self.output / ABOUT).exists():
            raise InputError(f"{self.output / ABOUT}: exists already: give another output folder")

    def load(self, folder: str | Path) -> list[DicomSeries]:
        """Read the headers of every series below a folder; the bundle is opened first.

        Raises:
            InputError: If the bundle states no map of a name that is asked for.
        """
        place = self._workspace / "bundle"
        place.mkdir()
        self.bundle = open_bundle(self.model, place, self.settings.sha256)
        for name in self.settings.maps:
            if name not in self.bundle.maps:
                there = ", ".join(self.bundle.maps) or "none"
                raise InputError(f"the bundle has no map called {name!r}: there are {there}")
        return read_folder(Path(folder))

    def select(self, series: Sequence[DicomSeries]) -> DicomSeries:
        """Choose the one series that matches the rules."""
        return select_series(series, self._rules)

    def volume(self, series: DicomSeries) -> SeriesVolume:
        """Check a series and read its voxels.

        Raises:
            Refusal: If a check fails, or the series is far from the training.
        """
        about = {"training_range": {"kind": "volume"}, **self._open.metadata}
        overlays = [Path(name).stem for name in self.settings.overlays]
        variants = [name for name in overlays if name in about.get("variants", {})]
        trained = TrainingRange(stated_range(about, variants[-1] if variants else None))
        volume = series_volume(
            series,
            trained.kind,
            lossy=self._rules.lossy_compression,
            derived_maps=self._rules.derived_maps,
        )
        self.sha256 = volume.sha256
        for doubt in volume.warnings:
            self.warnings.append("doubtful-image")
            logger.warning("%s", doubt)
        rule = self.settings.outside_range or self._rules.outside_training_range
        shape = volume.array.shape[:3]
        found = properties_of(volume.affine, shape, echo_time_ms=volume.echo_time_ms)
        faults = dict(trained.faults(found))
        if faults and rule != "warn":
            said = "; ".join(faults.values())
            raise Refusal(
                next(iter(faults)), f"{said}: go on at your own risk with --outside_range warn"
            )
        if "echo_time_ms" in trained.limits and volume.echo_time_ms is None:
            faults["unknown-contrast"] = "the series has no echo time to judge its contrast by"
        for message in faults.values():
            logger.warning("%s", message)
        # The short names, not the messages: the log holds no values of a header.
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
        """Write the derived series and the description of the run, all or nothing."""
        for name in self.settings.maps:
            if name not in restored.images:
                logger.warning("the model gives no map %s", name)
                self.warnings.append(f"no-map-{name}")
        about = {
            "bundle": self._open.about,
            "model": self.settings.model,
            "source": {"sha256": source.sha256, "images": len(source.sources)},
            "warnings": self.warnings,
        }
        self.written = deliver(restored, source, about, self.output, self._open.maps)
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


def _verdict(error: BaseException) -> tuple[Decision, str]:
    """Return decision and reason of a run that ended in an error, as short names."""
    for link in causes(error):
        if isinstance(link, Refusal):
            return "refused", link.reason
        if isinstance(link, InputError):
            return "refused", "input"
    return "failed", type(error).__name__
