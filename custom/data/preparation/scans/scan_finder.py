"""Find and describe all scans of some folders, in any format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from custom.data.preparation.scans.bruker_scans import find_bruker_scans
from custom.data.preparation.scans.nifti_scans import find_nifti_scans
from custom.data.preparation.scans.scan_description import LeftOut, ScanDescription
from custom.errors import InputError

__all__ = ["ScanFinder"]


class ScanFinder:
    """Describe the ParaVision scans and NIfTI files of some folders.

    Args:
        source: A folder, or several: ParaVision studies, folders that hold some, or folders of
            NIfTI pairs (for the names see
            :func:`custom.data.preparation.scans.nifti_scans.find_nifti_scans`).
        region_patterns: Region to the regular expression that finds it in the names of the
            ParaVision study, the scan or the protocol. The first that occurs counts.
        method: Regular expression for the pulse sequence of ParaVision scans; ``None`` for any.
        reconstruction: Number of the reconstruction in ``pdata`` that is used.

    Raises:
        InputError: If there is no source, or one is no folder.
    """

    def __init__(
        self,
        source: str | Path | Sequence[str | Path] | None,
        region_patterns: Mapping[str, str],
        method: str | None = "RARE",
        reconstruction: int = 1,
    ) -> None:
        if not source:
            raise InputError("source is missing: give a folder with scans, or several")
        sources = [source] if isinstance(source, (str, Path)) else list(source)
        self.sources = [Path(folder).expanduser().resolve() for folder in sources]
        self.region_patterns = dict(region_patterns)
        self.method = method
        self.reconstruction = reconstruction
        for folder in self.sources:
            if not folder.is_dir():
                raise InputError(f"source {folder} is no folder: give one with scans")

    def __str__(self) -> str:
        return ", ".join(map(str, self.sources))

    def __call__(self) -> tuple[list[ScanDescription], list[LeftOut]]:
        """Return the scans that may be paired, and the others with the reason.

        Raises:
            InputError: If there is no scan at all.
        """
        scans: list[ScanDescription] = []
        left_out: list[LeftOut] = []
        for folder in self.sources:
            bruker = find_bruker_scans(
                folder, self.region_patterns, self.method, self.reconstruction
            )
            nifti = find_nifti_scans(folder, self.region_patterns)
            scans += [*bruker[0], *nifti[0]]
            left_out += [*bruker[1], *nifti[1]]
        if not scans and not left_out:
            raise InputError(f"source {self}: holds no ParaVision scan (2dseq) and no NIfTI file")
        return scans, left_out
