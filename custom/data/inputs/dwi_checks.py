"""Checks of a diffusion series before it is restored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from custom.data.inputs.image_checks import ImageChecks
from custom.data.inputs.protocol_matching import match_volumes
from custom.errors import InputError
from custom.files.image_faults import available_memory, image_fault, memory_fault
from custom.files.map_names import DerivedMaps
from custom.files.reader import ImageHeader, format_of
from custom.networks.stored_protocol import StoredProtocol
from custom.physics.diffusion.gradient_table import (
    UNWEIGHTED_UP_TO,
    GradientTable,
    read_gradient_table,
    tables_of,
)
from custom.setting_checks import check_above_zero
from custom.transforms.dwi_noise_levels import check_one_noise_level
from custom.transforms.voxel_map import read_mask, read_voxel_map

__all__ = ["ALL_VOXELS", "DwiInputChecks"]

_LEVELS = ("s0", "sigma", "relative_sigma")
ALL_VOXELS = "all"  # mask of all voxels


class DwiInputChecks(ImageChecks):
    """Refuse diffusion series that a model cannot or should not restore.

    Tables and the files given by the user are checked before the series is loaded.

    Args:
        protocol: Protocol that the model was trained for.
        bval: File of b-values to use instead of the one beside the series.
        bvec: File of directions to use instead of the one beside the series.
        mask: File of the voxels to restore, ``all``, or None.
        s0: The known unweighted signal: a number, a file, or None.
        sigma: The known noise level in the unit of the image: a number, a file, or None.
        relative_sigma: The same in the unit of the scaled signals, see
            :class:`custom.transforms.dwi_preparation.DwiPreparationd`.
        b_tolerance: See :func:`custom.data.inputs.protocol_matching.match_volumes`.
        direction_tolerance_deg: See there.
        train_command: Command that trains a model for another protocol; ``{bval}`` and ``{bvec}``
            stand for the tables' files.
        memory_per_value: Bytes that the whole restoration needs for each value of the series.
        memory: Returns the bytes that are free.
        derived_maps: See :class:`~custom.data.inputs.image_checks.ImageChecks`.

    Raises:
        ValueError: If a tolerance is not positive, or two noise levels are given.
    """

    def __init__(
        self,
        protocol: StoredProtocol,
        bval: str | Path | None = None,
        bvec: str | Path | None = None,
        mask: str | Path | None = None,
        s0: str | float | None = None,
        sigma: str | float | None = None,
        relative_sigma: str | float | None = None,
        b_tolerance: float = 0.05,
        direction_tolerance_deg: float = 5.0,
        train_command: str = "",
        memory_per_value: float = 0.0,
        memory: Callable[[], int] = available_memory,
        derived_maps: DerivedMaps = "refuse",
    ) -> None:
        super().__init__(derived_maps)
        check_above_zero("b_tolerance", b_tolerance)
        check_above_zero("direction_tolerance_deg", direction_tolerance_deg)
        self.protocol = protocol
        self.bval, self.bvec = bval, bvec
        check_one_noise_level(sigma, relative_sigma)
        self.mask, self.s0 = mask, s0
        self.sigma, self.relative_sigma = sigma, relative_sigma
        self.b_tolerance = b_tolerance
        self.direction_tolerance_deg = direction_tolerance_deg
        self.train_command = train_command
        self.memory_per_value = memory_per_value
        self.memory = memory
        self._first: Path | None = None

    def __call__(self, path: str | Path) -> None:
        """Check one series.

        Raises:
            InputError: With the file, its fault and the remedy.
        """
        if Path(path).exists() and format_of(Path(path)) != "nifti":
            raise InputError(f"{path}: not a NIfTI file (.nii, .nii.gz)")
        super().__call__(path)

    def _header_fault(self, header: ImageHeader) -> str | None:
        """Return the fault of a series' type, geometry or shape, or None."""
        fault = image_fault(header)
        if fault is not None or len(header.shape) == 4:
            return fault
        return (
            f"{len(header.shape)}D with shape {header.shape}: a diffusion series is 4D, with its "
            "volumes along the fourth axis"
        )

    def _size_fault(self, path: Path, header: ImageHeader) -> str | None:
        """Return the fault of the series' size, its tables or the files of the user, or None."""
        remedy = "split it into slabs of slices, or use a larger machine"
        fault = memory_fault(self.memory_per_value * header.voxels, self.memory(), remedy)
        if fault is not None:
            return fault
        try:
            self._check_tables(path, header)
            self._check_user_files(path, header)
        except ValueError as error:
            return str(error)
        return None

    def _check_tables(self, path: Path, header: ImageHeader) -> None:
        """Refuse b-values and directions that are missing, invalid or not the model's."""
        bval, bvec = tables_of(path, self.bval, self.bvec)
        table = read_gradient_table(bval, bvec)
        if len(table) != header.shape[3]:
            raise InputError(
                f"has {header.shape[3]} volumes, but {bval} lists {len(table)} b-values: they are "
                "not of one scan"
            )
        self._check_protocol(table, bval, bvec)
        if self.s0 is None and not table.unweighted.any():
            raise InputError(
                f"no volume has b of {UNWEIGHTED_UP_TO:g} s/mm² or less, so the unweighted "
                "signal is not known: give it by --s0"
            )

    def _check_protocol(self, table: GradientTable, bval: Path, bvec: Path) -> None:
        """Refuse another protocol than the model's, with the command that trains for it."""
        try:
            match_volumes(
                table, self.protocol.b_rows, self.b_tolerance, self.direction_tolerance_deg
            )
        except InputError as error:
            remedy = self.train_command.format(bval=bval, bvec=bvec)
            raise InputError(f"{error}: {remedy}" if remedy else str(error)) from error

    def _check_user_files(self, path: Path, header: ImageHeader) -> None:
        """Refuse a mask, an S0 or a noise level that does not belong to the series."""
        given: dict[str, Any] = {"bval": self.bval, "bvec": self.bvec}
        given |= {"mask": None if self.mask == ALL_VOXELS else self.mask}
        given |= {name: getattr(self, name) for name in _LEVELS}
        files = [name for name, value in given.items() if isinstance(value, (str, Path))]
        self._first = self._first or path
        if files and path != self._first:
            raise InputError(
                f"{', '.join(files)} {'is a file' if len(files) == 1 else 'are files'} of one scan,"
                f" {self._first.name}: restore the others by themselves"
            )
        grid = header.shape[:3], header.affine
        if given["mask"] is not None:
            read_mask("mask", given["mask"], *grid)
        for name in _LEVELS:
            if given[name] is not None:
                # The noise may be 0; S0 must not be, since signals are divided by it.
                read_voxel_map(name, given[name], *grid, zero_allowed=name != "s0")
