"""Keep what an earlier training left in a folder that is used again."""

from __future__ import annotations

from itertools import count
from pathlib import Path

__all__ = ["set_aside"]


def set_aside(path: str | Path) -> Path | None:
    """Rename a file of an earlier run, so that a new one can take its name.

    Args:
        path: The file, for example ``models/last.pt``.

    Returns:
        The new path, ``models/last.1.pt`` or the next free number; ``None`` if there was no file.
    """
    source = Path(path)
    if not source.exists():
        return None
    names = (source.with_name(f"{source.stem}.{number}{source.suffix}") for number in count(1))
    free = next(name for name in names if not name.exists())
    return source.rename(free)
