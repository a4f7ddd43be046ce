"""The steps of the application as operators of the MONAI Deploy SDK.

What the SDK has of its own does not do here (4.0.0, found by running it): its loader keeps one
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
    """An operator that does one step of the pipeline."""

    def __init__(self, fragment: Any, *args: Any, pipeline: Pipeline, **kwargs: Any) -> None:
        self.pipeline = pipeline
        super().__init__(fragment, *args, **kwargs)


class SeriesLoader(_Step):
    """Read the headers of every DICOM series below a folder.

    Named output:
        series: List of all series.
    """

    def __init__(self, fragment: Any, *args: Any, folder: Path, **kwargs: Any) -> None:
        self.folder = folder
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec: OperatorSpec) -> None:
        """Name the port."""
        spec.output("series")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Load."""
        op_output.emit(self.pipeline.load(self.folder), "series")


class SeriesSelector(_Step):
    """Choose the one series that the rules name; none or several is an error.

    Named input:
        series: List of all series.

    Named output:
        selected: The series.
    """

    def setup(self, spec: OperatorSpec) -> None:
        """Name the ports."""
        spec.input("series")
        spec.output("selected")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Select."""
        op_output.emit(self.pipeline.select(op_input.receive("series")), "selected")


class VolumeOperator(_Step):
    """Check a series and make a volume of it.

    Named input:
        selected: The series.

    Named output:
        volume: Values, affine in RAS mm, and the headers they came from.
    """

    def setup(self, spec: OperatorSpec) -> None:
        """Name the ports."""
        spec.input("selected")
        spec.output("volume")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Check and read."""
        op_output.emit(self.pipeline.volume(op_input.receive("selected")), "volume")


class BundleOperator(_Step):
    """Restore a volume by a bundle's own inference workflow.

    Named input:
        volume: The volume.

    Named output:
        restored: Images with their affines, and the bundle's sidecar.
    """

    def setup(self, spec: OperatorSpec) -> None:
        """Name the ports."""
        spec.input("volume")
        spec.output("restored")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Restore."""
        op_output.emit(self.pipeline.restore(op_input.receive("volume")), "restored")


class DerivedSeriesWriter(_Step):
    """Write each image as a derived MR image series.

    Named inputs:
        restored: Images with their affines.
        volume: The volume they were made from.
    """

    def setup(self, spec: OperatorSpec) -> None:
        """Name the ports."""
        spec.input("restored")
        spec.input("volume")

    def compute(self, op_input: Any, op_output: Any, context: Any) -> None:
        """Write."""
        self.pipeline.write(op_input.receive("restored"), op_input.receive("volume"))
