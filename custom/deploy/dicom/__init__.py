"""DICOM series in and out: files of an MR series to a volume, a result to a derived series."""

from __future__ import annotations

from custom.errors import InputError

try:
    import pydicom  # noqa: F401
except ModuleNotFoundError as missing:
    raise InputError(
        "reading DICOM needs pydicom: pip install 'mri-restoration-bundles[deploy]'"
    ) from missing
