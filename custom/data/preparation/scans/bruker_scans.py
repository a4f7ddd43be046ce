"""Find the scans of ParaVision studies in a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from custom.data.preparation.scans.scan_description import (
    LeftOut,
    ScanDescription,
    describe_bruker_scan,
)
from custom.errors import InputError
from custom.files.bruker import read_bruker_header

__all__ = ["find_bruker_scans"]


def find_bruker_scans(
    folder: Path, region_patterns: Mapping[str, str], method: str | None, reconstruction: int = 1
) -> tuple[list[ScanDescription], list[LeftOut]]:
    """Describe every scan of the ParaVision studies in a folder.

    Args:
        folder: A ParaVision study, or a folder with ParaVision studies at any depth.
        region_patterns: See :func:`custom.data.preparation.scans.scan_description.find_region`.
        method: Regular expression for the pulse sequence, such as ``RARE``; ``None`` for any.
        reconstruction: Number of the folder in ``pdata`` that is used.

    Returns:
        The scans that may be paired, and the others with the reason.
    """
    scans: list[ScanDescription] = []
    left_out: list[LeftOut] = []
    for path in _scan_folders(folder):
        source = f"{folder.name}/{path.relative_to(folder)}".removesuffix("/.")
        images = sorted(path.glob("pdata/*/2dseq"))
        chosen = path / "pdata" / str(reconstruction) / "2dseq"
        if chosen not in images:
            left_out.append(LeftOut(source, f"no image: pdata/{reconstruction}/2dseq is missing"))
        for image in images:
            name = f"{source}/{image.relative_to(path).as_posix()}"
            if image != chosen:
                reason = f"another reconstruction: pdata/{reconstruction} is used"
                left_out.append(LeftOut(name, reason))
                continue
            try:
                scan = describe_bruker_scan(read_bruker_header(image), name, region_patterns)
            except InputError as error:
                left_out.append(LeftOut(name, str(error).removeprefix(f"{image}: ")))
                continue
            found = str(scan.parameters.get("method", "unknown"))
            if method is not None and not re.search(method, found, re.IGNORECASE):
                left_out.append(LeftOut(name, f"its method is {found}, not {method}"))
                continue
            scans.append(scan)
    return scans, left_out


def _scan_folders(folder: Path) -> Iterator[Path]:
    """Yield the folders of single scans: those with acquisition parameters or reconstructions."""
    for name, folders, files in os.walk(folder):
        if "acqp" in files or "pdata" in folders:
            folders.clear()
            yield Path(name)
        folders.sort(key=lambda child: (not child.isdigit(), child.zfill(12)))
