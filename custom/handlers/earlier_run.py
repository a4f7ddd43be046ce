"""Keep the files of an earlier training in a folder that is used again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from ignite.engine import Engine, Events

__all__ = ["EarlierRun", "set_aside"]


class EarlierRun:
    """Rename the files of an earlier training when a new one starts; a resumed one continues them.

    Attach it to the trainer, after the handler that resumes and before those that read the files.

    Args:
        paths: Files and folders, for example ``previews``.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.paths = [Path(path) for path in paths]

    def attach(self, engine: Engine) -> None:
        """Act when the trainer starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Rename all paths unless the training is a resumed one."""
        if engine.state.epoch == 0:
            for path in self.paths:
                set_aside(path)


def set_aside(path: str | Path) -> Path | None:
    """Rename a file or folder of an earlier run, so that a new one can take its name.

    Args:
        path: The file or folder, for example ``models/last.pt``.

    Returns:
        The new path, ``models/last.1.pt`` or the next free number; ``None`` if there was nothing.
    """
    source = Path(path)
    if not source.exists():
        return None
    names = (source.with_name(f"{source.stem}.{number}{source.suffix}") for number in count(1))
    free = next(name for name in names if not name.exists())
    return source.rename(free)
