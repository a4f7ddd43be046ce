"""What tells the evaluation of one study from another's: its table for the console."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from custom.evaluation.dwi_summary import DWI_KIND, dwi_table
from custom.evaluation.slice_summary import summary_table
from custom.evaluation.volume_summary import VOLUME_KIND, volume_table

__all__ = ["console_table"]

_TABLES = {DWI_KIND: dwi_table, VOLUME_KIND: volume_table}


def console_table(summary: Mapping[str, Any]) -> str:
    """Return the result of an evaluation as plain text.

    Args:
        summary: Content of ``summary.json``.
    """
    return _TABLES.get(summary["kind"], summary_table)(summary)
