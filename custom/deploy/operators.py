"""The steps of the application as operators of the MONAI Deploy SDK.

The SDK's own operators are not usable here (4.0.0, found by running it): its loader keeps one
image a slice position and drops the echoes and weightings that share it; its selector takes the
first of several matching series; its volume operator swaps the pixel spacings and cuts the values
of later slices to the type of the first; its bundle operator casts images to bytes and keeps the
affine of the input on a finer grid; it writes no series of MR images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai.deploy.core import Operator, OperatorSpec

from custom.deploy.pipeline import Pipeline

__all__ = [
    "BundleOperator",
    "DerivedSeriesWriter",
    "SeriesLoader",
    "SeriesSelector",
    "VolumeOperator",
]


class _Step(Operator):
    """An operator that does one step of the pipeline: from its input ports to its output port."""

    takes: tuple[str, ...] = ()
    gives: str | None = None

    def __init__(self, fragment: Any, *args: Any, pipeline: Pipeline, **kwargs: Any) -> None:
        self.pipeline = pipeline
        super().__init__(fragment, *args, **kwargs)

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

    def work(self, *received: Any) -> Any:
        """Do the step."""
        raise NotImplementedError


class SeriesLoader(_Step):
    """Read the headers of every DICOM series below a folder.

    Named output:
        series: List of all series.
    """

    gives = "series"

    def __init__(self, fragment: Any, *args: Any, folder: Path, **kwargs: Any) -> None:
        self.folder = folder
        super().__init__(fragment, *args, **kwargs)

    def work(self, *received: Any) -> Any:
        """Load."""
        return self.pipeline.load(self.folder)


class SeriesSelector(_Step):
    """Choose the one series that matches the rules; none or several is an error.

    Named input:
        series: List of all series.

    Named output:
        selected: The series.
    """

    takes, gives = ("series",), "selected"

    def work(self, *received: Any) -> Any:
        """Select."""
        return self.pipeline.select(*received)


class VolumeOperator(_Step):
    """Check a series and make a volume of it.

    Named input:
        selected: The series.

    Named output:
        volume: Values, affine in RAS mm, and the headers they came from.
    """

    takes, gives = ("selected",), "volume"

    def work(self, *received: Any) -> Any:
        """Check and read."""
        return self.pipeline.volume(*received)


class BundleOperator(_Step):
    """Restore a volume by a bundle's own inference workflow.

    Named input:
        volume: The volume.

    Named output:
        restored: Images with their affines, and the bundle's sidecar.
    """

    takes, gives = ("volume",), "restored"

    def work(self, *received: Any) -> Any:
        """Restore."""
        return self.pipeline.restore(*received)


class DerivedSeriesWriter(_Step):
    """Write each image as a derived MR image series.

    Named inputs:
        restored: Images with their affines.
        volume: The volume they were made from.
    """

    takes = ("restored", "volume")

    def work(self, *received: Any) -> Any:
        """Write."""
        self.pipeline.write(*received)
