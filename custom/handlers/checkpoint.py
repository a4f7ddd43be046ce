"""Save a training after each epoch, and resume it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from monai.engines import Evaluator, Trainer
from torch.nn import Module
from torch.nn.parallel import DataParallel, DistributedDataParallel

from custom.errors import InputError
from custom.handlers.executed_config import changed_settings, with_settings_of
from custom.networks.checkpoint_file import (
    read_checkpoint,
    set_aside_checkpoint,
    write_checkpoint,
)

__all__ = [
    "BEST",
    "LAST",
    "BestMetric",
    "CheckpointResumer",
    "CheckpointWriter",
]

BEST = "model.pt"
LAST = "last.pt"
_TRAINER = "trainer"
_CONFIG = "config"
_NAMED = 8  # changed settings in a message
_RUN = "tracking_run"


class BestMetric:
    """The best key metric of an evaluator and its epoch, with a state that can be saved.

    Args:
        evaluator: Evaluator that keeps them in its state, as MONAI's evaluators do.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.state = evaluator.state

    def state_dict(self) -> dict[str, float | int]:
        """Return metric and epoch."""
        # Python's numbers: loading with weights_only refuses NumPy's.
        return {"metric": float(self.state.best_metric), "epoch": int(self.state.best_metric_epoch)}

    def load_state_dict(self, saved: Mapping[str, float | int]) -> None:
        """Restore metric and epoch, so that only a better epoch counts as the best."""
        self.state.best_metric = saved["metric"]
        self.state.best_metric_epoch = saved["epoch"]


class CheckpointWriter:
    """Write ``last.pt`` after each epoch, and ``model.pt`` when it was the best one.

    ``last.pt`` holds the state of every item and of the trainer; ``model.pt`` is the bare state
    dict of the model; beside each stands its record (``custom.networks.checkpoint_file``). Both are
    written whole or not at all and load with ``weights_only=True``.
    Files of an earlier training in the folder are renamed, never overwritten. An epoch that is not
    trusted is not saved and cannot be the best: the evaluator's earlier best is restored.

    Args:
        folder: Folder of the files.
        items: Objects to save, by name; ``model`` is the network. Each has ``state_dict``.
        evaluator: Evaluator that keeps the best epoch.
        trusted: Returns at the end of an epoch whether its state may replace the last one; None: it
            always may.
        trained_for: Settings that whoever uses the weights must share, for their record.
        config: Merged config of the training, kept in ``last.pt``.

    Raises:
        ValueError: If ``items`` has no ``model`` or claims the name ``trainer``.
        InputError: While running, if the disk is full.
    """

    def __init__(
        self,
        folder: str | Path,
        items: Mapping[str, Any],
        evaluator: Evaluator,
        trusted: Callable[[], bool] | None = None,
        trained_for: Mapping[str, Any] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        if "model" not in items or _TRAINER in items:
            raise ValueError(f"items must have 'model' and no {_TRAINER!r}, got {sorted(items)}")
        self.folder = Path(folder)
        self.items = dict(items)
        self.evaluator = evaluator
        self.best = BestMetric(evaluator)
        self.trusted = trusted or (lambda: True)
        self.trained_for, self.config = trained_for, dict(config or {})
        self.logger = logging.getLogger(__name__)
        self._fresh = True
        self._trusted_best = self.best.state_dict()

    def attach(self, engine: Trainer) -> None:
        """Save at the end of each epoch."""
        _keep_tracking_run(engine)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._save)
        engine.add_event_handler(Events.COMPLETED, self._report)

    def _start(self, engine: Trainer) -> None:
        """Record whether the trainer was resumed, and the best metric of before."""
        self._fresh = engine.state.epoch == 0
        self._trusted_best = self.best.state_dict()

    def _save(self, engine: Trainer) -> None:
        """Write the files of this epoch."""
        if not self.trusted():
            self.logger.warning("epoch %d is not saved: its state is doubtful", engine.state.epoch)
            self.best.load_state_dict(self._trusted_best)
            return
        self._trusted_best = self.best.state_dict()
        # Not at the start: a training that fails in its first epoch leaves the earlier checkpoints.
        if self._fresh:
            for name in (BEST, LAST):
                set_aside_checkpoint(self.folder / name)
            self._fresh = False
        # The best is written first: if the process dies in between, the epoch is run again.
        if self.evaluator.state.best_metric_epoch == engine.state.epoch:
            model = _state(self.items["model"])
            write_checkpoint(model, self.folder / BEST, self.trained_for)
        states = {name: _state(item) for name, item in {**self.items, _TRAINER: engine}.items()}
        states[_CONFIG] = self.config
        write_checkpoint(states, self.folder / LAST, self.trained_for)

    def _report(self, _: Trainer) -> None:
        """Log the path of the best network."""
        best = self.evaluator.state
        if best.best_metric_epoch > 0:
            self.logger.info(
                "best %s %.5g at epoch %d: %s",
                best.key_metric_name,
                best.best_metric,
                best.best_metric_epoch,
                self.folder / BEST,
            )


class CheckpointResumer:
    """Restore a training from its ``last.pt``, with errors that a user can act on.

    One that is finished ends at once: the handlers that follow find ``engine.should_terminate``.

    Args:
        load_path: The ``last.pt`` to resume from.
        items: The same items as :class:`CheckpointWriter`'s. The trainer is added.
        device: Where the tensors go.
        config: Merged config of the training, compared with that in the file
            (:func:`custom.handlers.executed_config.changed_settings`).
        changes: ``refuse`` other settings, or ``accept`` them from here on.

    Raises:
        ValueError: If ``changes`` is neither.
        InputError: While starting, if the file is missing, damaged, or of another training.
    """

    def __init__(
        self,
        load_path: str | Path,
        items: Mapping[str, Any],
        device: torch.device | str = "cpu",
        config: Mapping[str, Any] | None = None,
        changes: str = "refuse",
    ) -> None:
        if changes not in ("refuse", "accept"):
            raise ValueError(f"resume_changes must be refuse or accept, got {changes!r}")
        self.load_path = Path(load_path)
        self.items = dict(items)
        self.device = device
        self.config, self.changes = config, changes
        self.logger = logging.getLogger(__name__)

    def attach(self, engine: Engine) -> None:
        """Load when the trainer starts, before the handlers that are listed after this one."""
        _keep_tracking_run(engine)
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Restore the saved state of every item."""
        items, max_epochs = self.items | {_TRAINER: engine}, engine.state.max_epochs
        content = self._read(items)
        changed = self._changed(content)
        self._check(content, engine)
        if changed:
            content |= {
                name: with_settings_of(item.state_dict(), content[name])
                for name, item in self.items.items()
                if not isinstance(item, Module)
            }
        try:
            Checkpoint.load_objects(items, content)
        except (RuntimeError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                f"{self.load_path} is of a training with another network, optimizer or schedule "
                f"({reason}): give the configs it was made with, or leave --resume out"
            ) from error
        engine.state.max_epochs = max_epochs  # of this training, not of the saved one
        self.logger.info("resumed from %s", self.load_path)
        self._end_if_finished(engine)

    def _read(self, items: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content of the file."""
        if not self.load_path.is_file():
            raise InputError(
                f"nothing to resume, {self.load_path} does not exist: give the --ckpt_dir of an "
                "interrupted training, or leave --resume out"
            )
        anew = "leave --resume out to train anew; it will be kept under another name"
        content = read_checkpoint(self.load_path, self.device, "last state of a training", anew)
        if not isinstance(content, dict) or not items.keys() <= content.keys():
            raise InputError(
                f"{self.load_path} is not the last state of a training: give the {LAST} in "
                "ckpt_dir, or leave --resume out"
            )
        return content

    def _changed(self, content: Mapping[str, Any]) -> bool:
        """Return True if the training goes on with other settings; refuse it unless accepted."""
        # A state of an older version has no config.
        changed = changed_settings(content.get(_CONFIG) or self.config or {}, self.config or {})
        more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
        named = f"{'; '.join(changed[:_NAMED])}{more}"
        if changed and self.changes == "refuse":
            raise InputError(
                f"{self.load_path} was trained with other settings, now {named}: give those it was "
                "made with, or --resume_changes accept to go on with these"
            )
        if changed:
            self.logger.warning("the training goes on with other settings, now %s", named)
        return bool(changed)

    def _check(self, content: Mapping[str, Any], engine: Engine) -> None:
        """Refuse a state that the trainer cannot continue from."""
        saved, now = content[_TRAINER]["epoch_length"], engine.state.epoch_length
        if saved != now:
            raise InputError(
                f"{self.load_path} has {saved} steps an epoch, this training {now}: give the "
                "dataset, batch_size and crops_per_slice it was made with, or leave --resume out"
            )

    def _end_if_finished(self, engine: Engine) -> None:
        """Let the engine end, and say so, if the training has come to its end before."""
        epoch, last = engine.state.epoch, engine.state.max_epochs or 0
        early = self.items.get("early_stopping")
        if epoch >= last:
            further = "a larger --max_epochs"
        elif early is not None and early.has_stopped(epoch):
            further = "a larger --patience and --resume_changes accept"
        else:
            return
        self.logger.warning(
            "the training is finished, at epoch %d of %d, and nothing is left to do: to train on, "
            "give %s",
            *(epoch, last, further),
        )
        engine.terminate()


def _keep_tracking_run(engine: Engine) -> None:
    """Keep the identifier of the tracking run in the trainer's state."""
    if _RUN not in engine.state_dict_user_keys:
        # Ignite saves, besides its own, only those attributes of the state that are named here.
        engine.state_dict_user_keys.append(_RUN)
        setattr(engine.state, _RUN, "")


def _state(item: Any) -> Any:
    """Return the state of an item; a network's without the wrapper of several devices."""
    inner = item.module if isinstance(item, (DataParallel, DistributedDataParallel)) else item
    return inner.state_dict()
