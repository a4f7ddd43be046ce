"""Checks of a 3D volume before it is restored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from custom.errors import InputError
from custom.files.image_faults import check_image, image_fault
from custom.files.reader import ImageHeader
from custom.setting_checks import check_whole
from custom.transforms.super_resolution import RestorationMode, check_mode

__all__ = ["VolumeChecks"]


class VolumeChecks:
    """Refuse files that are no 3D magnitude volume, or too small or too large for the model.

    The header is checked first, so that a huge volume is refused without being loaded.

    Args:
        min_size: Smallest number of voxels along each axis of the network's input.
        mode: With ``denoise`` the network's input is smaller by ``1 / scale``.
        scale: Scale factor of the model.
        check_memory: Raises :class:`~custom.errors.InputError` if a network input of that many
            voxels along its axes does not fit the memory.

    Raises:
        InputError: If ``mode`` is unknown or ``min_size`` no whole number above 0.
    """

    def __init__(
        self,
        min_size: int = 8,
        mode: RestorationMode = "super_resolve",
        scale: int = 2,
        check_memory: Callable[[Sequence[int]], None] | None = None,
    ) -> None:
        check_mode(mode)
        check_whole("min_size", min_size, 1)
        self.divisor = scale if mode == "denoise" else 1
        self.min_size = min_size
        self.check_memory = check_memory

    def __call__(self, path: str | Path) -> None:
        """Check one file.

        Raises:
            InputError: With the file, its fault and the remedy.
        """
        check_image(Path(path), self._header_fault, self._memory_fault)

    def _header_fault(self, header: ImageHeader) -> str | None:
        """Return the fault of type, geometry or shape, or None."""
        return image_fault(header) or self._shape_fault(header.shape)

    def _shape_fault(self, shape: tuple[int, ...]) -> str | None:
        """Return the fault of a shape, or None."""
        if len(shape) > 3:
            return (
                f"{len(shape)}D with shape {shape}: split it into 3D volumes "
                "(nibabel.four_to_three, fslsplit or mrconvert -coord 3 N) and restore those"
            )
        if len(shape) < 3:
            return f"{len(shape)}D with shape {shape}: the model restores 3D volumes only"
        least = self.min_size * self.divisor
        if min(shape) < least:
            found = " x ".join(map(str, shape))
            return f"too small: {found} voxels, at least {least} along each axis needed"
        return None

    def _memory_fault(self, header: ImageHeader) -> str | None:
        """Return the fault of a volume that does not fit the memory, or None."""
        if self.check_memory is None:
            return None
        try:
            self.check_memory([-(-length // self.divisor) for length in header.shape])
        except InputError as error:
            return str(error)
        return None
