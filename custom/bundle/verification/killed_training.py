"""Train, record the state at an epoch's end, and be killed: a process of its own.

Usage: ``python -m custom.bundle.verification.killed_training REQUEST.json``. Started by
``checks_resume``; the process that reports the check cannot kill itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai.bundle import ConfigWorkflow

__all__ = ["train_and_be_killed", "training_state"]


def training_state(workflow: ConfigWorkflow) -> dict[str, Any]:
    """Return the state that a resumed training must restore.

    Args:
        workflow: An initialised training.

    Returns:
        ``epoch`` (epochs done), ``network``, ``optimizer`` and ``lr_scheduler`` as state dicts,
        ``best_metric`` and ``best_epoch`` of the validation.
    """
    content = workflow.parser.get_parsed_content
    state = {name: content(name).state_dict() for name in ("network", "optimizer", "lr_scheduler")}
    best = content("validate::evaluator").state
    return {
        "epoch": workflow.trainer.state.epoch,
        **state,
        "best_metric": float(best.best_metric),
        "best_epoch": int(best.best_metric_epoch),
    }


def train_and_be_killed(request: dict[str, Any]) -> None:
    """Train, write the state after ``epochs`` epochs, and die one step into the next epoch.

    Args:
        request: ``config`` (paths), ``metadata`` and ``state`` (path), ``overrides``, ``epochs``.
    """
    import torch
    from ignite.engine import Events
    from monai.bundle import ConfigWorkflow

    workflow = ConfigWorkflow(
        config_file=request["config"],
        meta_file=request["metadata"],
        logging_file=False,
        workflow_type="train",
        **request["overrides"],
    )
    workflow.initialize()
    trainer = workflow.trainer

    def note_and_arm() -> None:
        torch.save(training_state(workflow), request["state"])
        trainer.add_event_handler(Events.ITERATION_COMPLETED, _die)

    # Attached last: validation, scheduler and checkpoints of this epoch have had their turn.
    trainer.add_event_handler(Events.EPOCH_COMPLETED(once=request["epochs"]), note_and_arm)
    workflow.run()


def _die() -> None:
    """End this process without any cleanup, as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    train_and_be_killed(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
