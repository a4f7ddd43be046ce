"""The MONAI Deploy application: a DICOM MR series in, a derived MR series out. Research use only.

Run it by ``mri-bundles deploy``, or as any application of the SDK: with ``-i``, ``-o`` and ``-m``,
or with ``HOLOSCAN_INPUT_PATH``, ``HOLOSCAN_OUTPUT_PATH`` and ``HOLOSCAN_MODEL_PATH``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application

from custom.bundle.launch import user_error
from custom.deploy.operators import (
    BundleOperator,
    DerivedSeriesWriter,
    SeriesLoader,
    SeriesSelector,
    VolumeOperator,
)
from custom.deploy.pipeline import Pipeline
from custom.deploy.settings import Settings
from custom.errors import InputError

__all__ = ["RestorationApplication", "main"]


class RestorationApplication(Application):
    """Loader, selector, volume, bundle and writer, one after the other.

    Args:
        argv: Interpreter, program and arguments, as the SDK takes them; those of the process if
            left out.
        settings: How a series is chosen and restored; from the environment if left out.
    """

    def __init__(
        self, argv: Sequence[str] | None = None, settings: Settings | None = None, **kwargs: Any
    ) -> None:
        super().__init__(list(argv or [sys.executable, *sys.argv]), **kwargs)
        places = Application.init_app_context(self.argv)
        self.input_folder = Path(places.input_path)
        settings = settings or Settings.from_environment()
        self.pipeline = Pipeline(places.model_path, places.output_path, settings)

    def compose(self) -> None:
        """Connect the operators."""
        once = CountCondition(self, 1)
        line = self.pipeline
        load = SeriesLoader(self, once, pipeline=line, folder=self.input_folder, name="load")
        select = SeriesSelector(self, pipeline=line, name="select")
        volume = VolumeOperator(self, pipeline=line, name="volume")
        restore = BundleOperator(self, pipeline=line, name="restore")
        write = DerivedSeriesWriter(self, pipeline=line, name="write")
        self.add_flow(load, select, {("series", "series")})
        self.add_flow(select, volume, {("selected", "selected")})
        self.add_flow(volume, restore, {("volume", "volume")})
        self.add_flow(restore, write, {("restored", "restored")})
        self.add_flow(volume, write, {("volume", "volume")})

    def run(self, *args: Any, **kwargs: Any) -> None:
        """Run, with one line in the audit log.

        Raises:
            InputError: If a series is refused, or nothing was written.
        """
        with self.pipeline.audited():
            super().run(*args, **kwargs)
            # The SDK's scheduler ends without an error when a port gets nothing.
            if not self.pipeline.written:
                raise InputError("the application stopped before a series was written")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the application, with one line an error.

    Args:
        argv: Arguments after the program's name; those of the process if left out.

    Raises:
        SystemExit: With 1, if a series is refused or the run failed.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    if not any(word.startswith(("-l", "--log")) for word in given):
        given += ["--log-level", "WARN"]  # at INFO the SDK logs paths, which may hold a name
    try:
        RestorationApplication([sys.executable, sys.argv[0], *given]).run()
    except Exception as error:
        if "DEBUG" in given:
            raise
        refusal = user_error(error)
        # The message of an unexpected error may quote a DICOM header, hence only its type.
        said = str(refusal or f"failed by a {type(error).__name__}: --log-level DEBUG shows where")
        for line in said.splitlines():
            print(f"restoration: {line}", file=sys.stderr)  # noqa: T201
        raise SystemExit(1) from None
