"""The MONAI Deploy application: a DICOM MR series in, a derived MR series out. Research use only.

Run it by ``mri-bundles deploy``, or as any application of the SDK: with ``-i``, ``-o`` and ``-m``,
or with ``HOLOSCAN_INPUT_PATH``, ``HOLOSCAN_OUTPUT_PATH`` and ``HOLOSCAN_MODEL_PATH``.

The SDK's own operators are not usable here (4.0.0, found by running it): its loader keeps one
image a slice position and drops the echoes and weightings that share it; its selector takes the
first of several matching series; its volume operator swaps the pixel spacings and cuts the values
of later slices to the type of the first; its bundle operator casts images to bytes and keeps the
affine of the input on a finer grid; it writes no series of MR images.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from monai.deploy.conditions import CountCondition
from monai.deploy.core import Application, Operator, OperatorSpec

from custom.bundle.error_line import user_error
from custom.deploy.pipeline import Pipeline
from custom.deploy.settings import Settings
from custom.errors import InputError

__all__ = ["RestorationApplication", "main"]


class Step(Operator):
    """An operator that does one step of the pipeline: from its input ports to its output port.

    Args:
        work: Function of the values at the input ports; its result goes to the output port.
        takes: Names of the input ports.
        gives: Name of the output port, if there is one.
    """

    def __init__(
        self,
        fragment: Any,
        *conditions: Any,
        work: Callable[..., Any],
        takes: Sequence[str] = (),
        gives: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.work, self.takes, self.gives = work, takes, gives
        super().__init__(fragment, *conditions, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Name the ports."""
        for name in self.takes:
            spec.input(name)
        if self.gives is not None:
            spec.output(self.gives)

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Run the step on the received values, and emit its result."""
        result = self.work(*(op_input.receive(name) for name in self.takes))
        if self.gives is not None:
            op_output.emit(result, self.gives)


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
        line = self.pipeline
        # The loader has no input port: without a count the scheduler would call it for ever.
        once = CountCondition(self, 1)
        load_all = partial(line.load, self.input_folder)
        load = Step(self, once, name="load", work=load_all, gives="series")
        select = Step(self, name="select", work=line.select, takes=("series",), gives="selected")
        volume = Step(self, name="volume", work=line.volume, takes=("selected",), gives="volume")
        restore = Step(self, name="restore", work=line.restore, takes=("volume",), gives="restored")
        write = Step(self, name="write", work=line.write, takes=("restored", "volume"))
        for giver, taker in (
            (load, select),
            (select, volume),
            (volume, restore),
            (restore, write),
            (volume, write),
        ):
            self.add_flow(giver, taker, {(giver.gives, giver.gives)})

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
