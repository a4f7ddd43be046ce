"""Audit log of restored and refused series, without any attribute of a patient."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from custom.errors import InputError
from custom.versions import package_versions

__all__ = ["AuditLog", "Decision"]

_PACKAGES = ("monai", "torch", "numpy", "pydicom")
Decision = Literal["restored", "refused", "failed"]


class AuditLog:
    """One line of JSON for each series, appended to a file.

    A line holds the time (UTC), the decision, the reason of a refusal as a short name, the hash of
    the input's pixels and geometry, the bundle with its hash, warnings, the duration and the
    versions of packages. It holds neither messages nor paths, which may contain patient data.

    Args:
        path: The file; its folder is made.

    Raises:
        InputError: If it cannot be written to, before anything is restored.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Opened once now: hours of restoring must not end at a log that cannot be written.
            self._append("")
        except OSError as error:
            raise InputError(
                f"audit log {self.path} cannot be written: {error.strerror}: choose another output"
            ) from error

    def record(
        self,
        decision: Decision,
        *,
        seconds: float,
        bundle: Mapping[str, Any] | None = None,
        input_sha256: str | None = None,
        reason: str | None = None,
        warnings: tuple[str, ...] = (),
        series: Mapping[str, int] | None = None,
    ) -> None:
        """Append one line.

        Reason and warnings are short names; ``series`` has the number of images of each series that
        was written, ``bundle`` the id, version and SHA-256 of the bundle.
        """
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "decision": decision,
            "reason": reason,
            "warnings": list(warnings),
            "input_sha256": input_sha256,
            "bundle": dict(bundle or {}),
            "series": dict(series or {}),
            "seconds": round(seconds, 3),
            "packages": package_versions(_PACKAGES),
            "notice": "research use only",
        }
        self._append(json.dumps(line) + "\n")

    def _append(self, text: str) -> None:
        """Add text in one write, so that two processes do not mix their lines, and sync it."""
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            os.write(handle, text.encode("utf-8"))
            os.fsync(handle)
        finally:
            os.close(handle)
