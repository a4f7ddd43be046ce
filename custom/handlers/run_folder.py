"""The folders of a training: kept for one process, files of an earlier training renamed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from custom.files.atomic import atomic_path, set_aside
from custom.files.process_lock import keep_folder, release_folder
from custom.handlers.executed_config import config_yaml

__all__ = ["ConfigFile", "EarlierRun", "FolderLock"]


class FolderLock:
    """Hold folders while an engine runs; a second process that would write there is refused.

    The operating system frees the lock of a killed process.

    Args:
        folders: The folders; missing ones are made.

    Raises:
        InputError: While starting, if another process holds one.
    """

    def __init__(self, folders: Sequence[str | Path]) -> None:
        self.folders = list(folders)

    def attach(self, engine: Engine) -> None:
        """Lock when the engine starts; release at its end, good or bad."""
        engine.add_event_handler(Events.STARTED, self.lock)
        engine.add_event_handler(Events.COMPLETED, self.release)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.release)

    def lock(self, _: Engine) -> None:
        """Take the locks."""
        for folder in self.folders:
            keep_folder(folder)

    def release(self, *_: object) -> None:
        """Give the locks back."""
        for folder in self.folders:
            release_folder(folder)


class ConfigFile:
    """Write the merged config of a training when it starts, after one that resumes.

    Args:
        config: Its content.
        path: The file. One of another content is renamed.
    """

    def __init__(self, config: Mapping[str, Any], path: str | Path) -> None:
        self.text = config_yaml(config)
        self.path = Path(path)

    def attach(self, engine: Engine) -> None:
        """Write when the engine starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the file, unless nothing is left to train."""
        same = self.path.is_file() and self.path.read_text(encoding="utf-8") == self.text
        if same or engine.should_terminate:
            return
        set_aside(self.path)
        with atomic_path(self.path) as temporary:
            temporary.write_text(self.text, encoding="utf-8")


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
