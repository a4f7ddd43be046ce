"""Orderly end of a process on a termination signal, such as a container engine sends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["on_terminate"]

_END = b"\0"


@contextmanager
def on_terminate(clean: Callable[[], None]) -> Iterator[None]:
    """Call a function when SIGTERM comes, then end the process with code 143.

    A handler in Python would wait until the main thread is back from the native code that it is
    in, for minutes; here a thread of its own is woken. In other threads than the main one signals
    cannot be had, and nothing is done.

    Args:
        clean: Called once, from another thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reading, writing = os.pipe()
    # set_wakeup_fd demands it.
    os.set_blocking(writing, False)
    # Without a handler in Python the signal would end the process and wake nobody.
    earlier = signal.signal(signal.SIGTERM, lambda *_: None)
    earlier_fd = signal.set_wakeup_fd(writing)
    thread = threading.Thread(target=_watch, args=(reading, clean), daemon=True)
    thread.start()
    try:
        yield
    finally:
        # First, so that no signal is written to a pipe that is being closed.
        signal.set_wakeup_fd(earlier_fd)
        signal.signal(signal.SIGTERM, earlier)
        os.write(writing, _END)
        thread.join()
        os.close(reading)
        os.close(writing)


def _watch(reading: int, clean: Callable[[], None]) -> None:
    """Wait for the number of a signal, or for the end."""
    while (came := os.read(reading, 1)) not in (_END, b""):
        # The numbers of other signals, as of Ctrl-C, arrive here as well.
        if came[0] == signal.SIGTERM:
            try:
                clean()
            finally:
                # sys.exit would end this thread alone.
                os._exit(128 + signal.SIGTERM)
