"""Check that a killed training resumes with its full state.

Run as a module (``REQUEST.json`` as its argument) it is the training that is killed: the process
that reports the check cannot kill itself.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from custom.bundle.verification.bundle_folder import BundleFolder
from custom.bundle.verification.outcome import CheckFailed
from custom.bundle.verification.workflows import open_workflow

if TYPE_CHECKING:
    from monai.bundle import ConfigWorkflow

__all__ = ["resume"]

_EPOCHS = 2
_TIMEOUT_S = 300


def resume(bundle: BundleFolder) -> None:
    """After a kill in epoch 3, training resumes in epoch 3 with the state after epoch 2.

    Network, optimiser, scheduler and best validation at the start of the first resumed epoch are
    compared with those that the killed process recorded, so that it does not matter how a bundle
    stores them.
    """
    from ignite.engine import Events

    output = bundle.new_folder("resume")
    ids: dict[str, Any] = {"ckpt_dir": str(output / "models"), "seed": 7}
    noted = _state_at_kill(bundle, output, {**ids, "max_epochs": _EPOCHS + 2})
    found: dict[str, Any] = {}
    ids |= {"resume": True, "max_epochs": _EPOCHS + 1}
    workflow = open_workflow(bundle, "train", output, **ids)

    def look_once() -> None:
        if not found:
            found.update(copy.deepcopy(_training_state(workflow)))
            found["epoch"] -= 1  # counts the epoch that starts now

    workflow.trainer.add_event_handler(Events.EPOCH_STARTED, look_once)
    workflow.run()
    workflow.finalize()
    if not found:
        raise CheckFailed("the resumed training did no epoch")
    if place := _difference(noted, found):
        raise CheckFailed(f"after a kill in epoch {_EPOCHS + 1}, {place}")


def _state_at_kill(bundle: BundleFolder, output: Path, ids: Mapping[str, Any]) -> dict[str, Any]:
    """Train in a process that is killed in the third epoch; return the state it recorded."""
    from custom.networks.checkpoint_file import read_checkpoint

    output.mkdir(parents=True)
    state, request = output / "state_at_kill.pt", output / "request.json"
    places = [bundle.root, bundle.workspace, bundle.demo_dir]
    content = {
        "bundle": [*map(str, places), bundle.variant],
        "output": str(output),
        "ids": ids,
        "state": str(state),
    }
    request.write_text(json.dumps(content), encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", __name__, str(request)],
        cwd=output,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if ended.returncode != -signal.SIGKILL:
        said = (ended.stderr.strip() or "nothing").splitlines()[-1]
        raise CheckFailed(f"the training to be killed ended by itself: it said {said}")
    noted: dict[str, Any] = read_checkpoint(state)
    return noted


def _train_and_be_killed(request: Mapping[str, Any]) -> None:
    """Train, write the state after two epochs, and die one step into the next epoch."""
    from ignite.engine import Events

    from custom.networks.checkpoint_file import write_checkpoint

    bundle = BundleFolder(*request["bundle"])
    workflow = open_workflow(bundle, "train", Path(request["output"]), **request["ids"])

    def note_and_arm() -> None:
        write_checkpoint(_training_state(workflow), request["state"])
        # Without any cleanup, as a power cut would end it.
        workflow.trainer.add_event_handler(
            Events.ITERATION_COMPLETED, lambda: os.kill(os.getpid(), signal.SIGKILL)
        )

    # Attached last: validation, scheduler and checkpoints of this epoch have had their turn.
    workflow.trainer.add_event_handler(Events.EPOCH_COMPLETED(once=_EPOCHS), note_and_arm)
    workflow.run()


def _training_state(workflow: ConfigWorkflow) -> dict[str, Any]:
    """Return epochs done, state dicts and best validation, which a resumed training restores."""
    content = workflow.parser.get_parsed_content
    state = {name: content(name).state_dict() for name in ("network", "optimizer", "lr_scheduler")}
    best = content("validate::evaluator").state
    return {
        "epoch": workflow.trainer.state.epoch,
        **state,
        "best_metric": float(best.best_metric),
        "best_epoch": int(best.best_metric_epoch),
    }


def _difference(noted: Any, found: Any, place: str = "") -> str | None:
    """Return the first difference of two nested states, in words, or None."""
    import torch

    if isinstance(noted, (list, tuple)):
        noted = dict(enumerate(noted))
        found = dict(enumerate(found)) if isinstance(found, (list, tuple)) else found
    if isinstance(noted, Mapping) and isinstance(found, Mapping):
        if noted.keys() != found.keys():
            return f"{place or 'the state'} has the entries {list(found)}, before {list(noted)}"
        names = {key: f"{place}.{key}".lstrip(".") for key in noted}
        inner = (_difference(noted[key], found[key], names[key]) for key in noted)
        return next((text for text in inner if text), None)
    if torch.is_tensor(noted) and torch.is_tensor(found):
        return None if torch.equal(noted.cpu(), found.cpu()) else f"{place} has other values"
    return None if noted == found else f"{place} is {found!r}, before {noted!r}"


if __name__ == "__main__":
    _train_and_be_killed(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
