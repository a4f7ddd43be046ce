"""The handlers of every training, in their order."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from ignite.handlers import ProgressBar
from monai.engines import Evaluator, Trainer
from monai.handlers import ValidationHandler

from custom.bundle.launch import stop_between_steps
from custom.handlers.checkpoint import (
    BEST,
    LAST,
    BestMetric,
    CheckpointResumer,
    CheckpointWriter,
)
from custom.handlers.epoch_log import EpochLog
from custom.handlers.epoch_seed import EpochSeed
from custom.handlers.epoch_table import EpochTable
from custom.handlers.mlflow_run import MLflowRun
from custom.handlers.nan_guard import NanGuard
from custom.handlers.run_folder import ConfigFile, EarlierRun, FolderLock
from custom.handlers.validation_metric import EarlyStopping, LrSchedule

__all__ = ["StandardTraining"]


class StandardTraining:
    """Resume, seed, validate, guard, schedule, stop early, write table and checkpoints, track.

    One entry of ``train::handlers`` that attaches the handlers of every training in their order:
    lock of the folders; resume; keep the pictures of an earlier run; seed of the epoch; weight
    average; progress bar; validation; NaN guard; watchdogs; learning-rate schedule; early stopping;
    config; table; checkpoints; MLflow; log. A handler that is listed before this one acts before
    the validation of an epoch, so that what it adds to the metrics is in the table; one that is
    listed after it acts last.

    Args:
        validator: Evaluator of the validation.
        items: Content of a checkpoint, without entries that are None: ``model`` and
            ``lr_scheduler``, and everything else that a resumed training needs. A
            ``weight_average`` and ``watchdogs`` among them are attached too. Early stopping, epoch
            seed and best metric are added here.
        output_dir: Folder of ``metrics.csv``, ``config.yaml`` and ``previews``.
        ckpt_dir: Folder of ``model.pt`` and ``last.pt``.
        trained_for: Settings that whoever uses the weights must share; stored beside them.
        dataset: Training set, which is seeded and gets the epoch.
        seed: Seed of the training.
        interval: Epochs from one validation to the next.
        patience: Validations without improvement before the training stops.
        min_epochs: Epochs that run in any case.
        resume: Whether to continue from ``last.pt``.
        resume_changes: ``refuse`` to continue with other settings, or ``accept`` it.
        config: Merged config of the training, for ``config.yaml`` and ``last.pt``.
        device: Device that a checkpoint is loaded to.
        is_rank0: True for the process that writes, logs and shows; False in the others of several.
        use_mlflow: Whether the training is tracked.
        tracking: Arguments of :class:`custom.handlers.mlflow_run.MLflowRun`.

    Raises:
        ValueError: If a setting is out of its range, or ``items`` lacks a name.
        InputError: If MLflow cannot be used.
    """

    def __init__(
        self,
        validator: Evaluator,
        items: Mapping[str, Any],
        output_dir: str | Path,
        ckpt_dir: str | Path,
        trained_for: Mapping[str, Any] | None = None,
        dataset: Any = None,
        seed: int = 0,
        interval: int = 1,
        patience: int = 6,
        min_epochs: int = 10,
        resume: bool = False,
        resume_changes: str = "refuse",
        config: Mapping[str, Any] | None = None,
        device: torch.device | str = "cpu",
        is_rank0: bool = True,
        use_mlflow: bool = False,
        tracking: Mapping[str, Any] | None = None,
    ) -> None:
        if "lr_scheduler" not in items:
            raise ValueError(f"items must have 'lr_scheduler', got {sorted(items)}")
        self.validator, self.is_rank0, self.trained_for = validator, is_rank0, trained_for
        self.config = dict(config or {})
        self.output_dir, self.ckpt_dir = Path(output_dir), Path(ckpt_dir)
        self.items = {
            **{name: item for name, item in items.items() if item is not None},
            "early_stopping": EarlyStopping(validator, patience, min_epochs),
            "epoch_seed": EpochSeed(seed, dataset),
            "best_metric": BestMetric(validator),
        }
        self.bar = ProgressBar(desc="train", mininterval=1.0)
        last = self.ckpt_dir / LAST
        earlier = [self.output_dir / name for name in ("previews", "report.html")]
        resumer = CheckpointResumer(last, self.items, device, self.config, resume_changes)
        self.handlers: list[Any] = [
            # First: two trainings would destroy each other's files.
            *([FolderLock([self.output_dir, self.ckpt_dir])] if is_rank0 else []),
            # Then: the others act on the epoch that is resumed.
            *([resumer] if resume else []),
            *([EarlierRun(earlier)] if is_rank0 else []),
            *self._items("epoch_seed", "weight_average"),
            *([self.bar] if is_rank0 else []),
            ValidationHandler(interval, validator, epoch_level=True),
            # A bad epoch ends here, before anything of it is written.
            NanGuard(validator, last),
            *self._items("watchdogs"),
            # Before the writers: a checkpoint holds schedule and count as the next epoch needs.
            LrSchedule(items["lr_scheduler"], validator),
            *self._items("early_stopping"),
            *(self._writers(tracking if use_mlflow else None) if is_rank0 else []),
        ]

    def attach(self, engine: Trainer) -> None:
        """Attach all handlers, in their order; Ctrl-C and SIGTERM then stop it between steps."""
        signals = ExitStack()

        def listen() -> None:
            stop = signals.enter_context(stop_between_steps())
            for steps in (engine, self.validator):
                event = steps.add_event_handler(Events.ITERATION_COMPLETED, stop)
                signals.callback(event.remove)

        engine.add_event_handler(Events.STARTED, listen)
        engine.add_event_handler(Events.COMPLETED, signals.close)
        if self.is_rank0:  # where the last handler passes the exception on
            engine.add_event_handler(Events.EXCEPTION_RAISED, lambda _: signals.close())
            # The next line does not begin behind the bar.
            engine.add_event_handler(Events.EXCEPTION_RAISED, lambda _: self._close_bar())
        for handler in self.handlers:
            handler.attach(engine)

    def _close_bar(self) -> None:
        """Take the progress bar of an epoch that did not end from the screen."""
        if self.bar.pbar is not None:
            self.bar.pbar.close()

    def _items(self, *names: str) -> list[Any]:
        """Return the saved items of these names, which are also handlers, if they exist."""
        return [self.items[name] for name in names if name in self.items]

    def _writers(self, tracking: Mapping[str, Any] | None) -> list[Any]:
        """Return the handlers that write and log; a bad epoch has been refused before."""
        table = self.output_dir / "metrics.csv"
        trusted = getattr(self.items.get("watchdogs"), "trusted", None)
        writers: list[Any] = [
            ConfigFile(self.config, self.output_dir / "config.yaml"),
            EpochTable(table, self.validator),
            CheckpointWriter(
                self.ckpt_dir, self.items, self.validator, trusted, self.trained_for, self.config
            ),
        ]
        # After table and checkpoints: it records what they have written.
        if tracking is not None:
            run = MLflowRun(
                evaluator=self.validator,
                config=self.config,
                output_dir=self.output_dir,
                artifacts=[table, self.output_dir / "previews"],
                weights=self.ckpt_dir / BEST,
                **tracking,
            )
            writers.append(run)
        # Last: it ends the chain of an exception.
        return [*writers, EpochLog("train")]
