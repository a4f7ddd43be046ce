"""Restore several images, so that one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ignite.engine import Events
from monai.engines import Evaluator

from custom.errors import InputError, causes, machine_fault, message_of
from custom.files.temporary import TEMPORARY_NAME

__all__ = ["fault_of", "run_each"]


def run_each(
    evaluator: Evaluator,
    items: Sequence[Any],
    failed: Callable[[Any, Exception], None],
) -> None:
    """Run an evaluator over items; where it fails, it goes on with the next one.

    Args:
        evaluator: Its loader has a MONAI dataset of the items, in their order.
        items: The items.
        failed: Is called with an item and its error.

    Raises:
        Exception: Of the evaluator's start, which concerns all items: of the weights, for example.
    """
    completed = 0

    def count(_: Any) -> None:
        nonlocal completed
        completed += 1

    # The last of the handlers: what it counts is written, with its sidecar.
    evaluator.add_event_handler(Events.ITERATION_COMPLETED, count)
    # Else Ignite takes the run after one that failed for the rest of it, and returns at once.
    evaluator.interrupt_resume_enabled = False
    loader: Any = evaluator.data_loader
    rest = list(items)
    while rest:
        completed = 0
        loader.dataset.data = rest
        evaluator.state.epoch_length = len(loader)
        try:
            evaluator.run()
        except Exception as error:
            if evaluator.state.epoch == 0:
                raise
            begin = completed * loader.batch_size
            for item in rest[begin : begin + loader.batch_size]:
                failed(item, error)
            rest = rest[begin + loader.batch_size :]
        else:
            if completed < len(loader):
                raise RuntimeError(f"the run ended after {completed} of {len(loader)} batches")
            rest = []


def fault_of(error: Exception, check: Callable[[], None]) -> str | None:
    """Return why an image could not be restored, if the reason lies in the user's files or machine.

    Args:
        error: What ended its restoration.
        check: The check that it passed before; a file may have been damaged since.
    """
    links = list(causes(error))
    for link in links:
        if isinstance(link, InputError):
            return str(link)
    try:
        check()
    except InputError as fault:
        return str(fault)
    for link in links:
        if words := machine_fault(link):
            return TEMPORARY_NAME.sub("", words)
        if isinstance(link, OSError):  # of a library, with no number of the operating system
            return message_of(link)
    return None
