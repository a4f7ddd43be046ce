"""Signs of life of the worker that runs a trial."""

from __future__ import annotations

import logging
import platform
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from optuna.study import Study

    from custom.tuning.storage import SearchStorage

__all__ = ["Heartbeat", "is_dead", "worker_name"]

logger = logging.getLogger(__name__)


class Heartbeat:
    """Record a trial's heartbeat in the background while it runs.

    Args:
        storage: Where.
        study: The study.
        number: The trial's number.
    """

    def __init__(self, storage: SearchStorage, study: Study, number: int) -> None:
        self._storage = storage
        self._study = study
        self._number = number
        self._ended = Event()
        self._thread = Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Heartbeat:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        """Record one heartbeat after another."""
        while not self._ended.wait(self._storage.heartbeat_seconds):
            try:
                self._storage.beat(self._study, self._number)
            except Exception as error:
                # The next one may succeed; if none does, the trial goes to another worker.
                logger.warning("trial %d: no heartbeat: %s", self._number, error)


def worker_name() -> str:
    """Return a name of this process that no other process has, now or later."""
    process = psutil.Process()
    return f"{_place()}:{process.pid}:{process.create_time():.2f}"


def is_dead(worker: str) -> bool:
    """Say whether a worker is known to have ended; of other machines nothing is known."""
    place, pid, started = worker.rsplit(":", 2)
    if place != _place():
        return False
    try:
        process = psutil.Process(int(pid))
        ended = bool(process.status() == psutil.STATUS_ZOMBIE)
        return ended or bool(abs(process.create_time() - float(started)) > 1.0)
    except psutil.NoSuchProcess:
        return True


def _place() -> str:
    """Return the name of this machine since it was started, and of the container if any."""
    boot = space = ""
    with suppress(OSError):  # Linux only
        # Machines may share a name, as those made from one image do.
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = str(Path("/proc/self/ns/pid").readlink())
    return f"{platform.node()}/{boot}/{space}"
