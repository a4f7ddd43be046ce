"""Which part of a training step is spent waiting for data.

Runs two epochs of ``configs/train.yaml`` on the demonstration set: the first also fills whatever
the configuration caches, the second is the steady state.

Run: ``python -m benchmarks.data_wait``
"""

from __future__ import annotations

import tempfile
import time
from typing import Any

from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow

from benchmarks.measure import REPOSITORY, save

BUNDLE = REPOSITORY / "bundles" / "micro_mri_denoise"


class Clock:
    """Adds up the seconds between an engine's events, by epoch."""

    def __init__(self) -> None:
        self.waiting: dict[int, float] = {}
        self.stepping: dict[int, float] = {}
        self._since = 0.0

    def attach(self, engine: Engine) -> None:
        """Listen to an engine."""
        engine.add_event_handler(Events.GET_BATCH_STARTED | Events.ITERATION_STARTED, self._start)
        engine.add_event_handler(Events.GET_BATCH_COMPLETED, self._stop, self.waiting)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._stop, self.stepping)

    def _start(self) -> None:
        self._since = time.perf_counter()

    def _stop(self, engine: Engine, into: dict[int, float]) -> None:
        epoch = engine.state.epoch
        into[epoch] = into.get(epoch, 0.0) + time.perf_counter() - self._since


def run() -> dict[str, Any]:
    """Train two epochs with a clock on the trainer."""
    with tempfile.TemporaryDirectory() as folder:
        workflow = ConfigWorkflow(
            config_file=str(BUNDLE / "configs" / "train.yaml"),
            workflow_type="train",
            logging_file=False,
            bundle_root=str(BUNDLE),
            output_dir=folder,
            max_epochs=2,
            use_mlflow=False,
        )
        workflow.initialize()
        clock = Clock()
        clock.attach(workflow.trainer)
        workflow.run()
        workflow.finalize()
    share = {
        epoch: clock.waiting[epoch] / (clock.waiting[epoch] + clock.stepping[epoch])
        for epoch in (1, 2)
    }
    figures = {
        "waiting_share_first_epoch": share[1],
        "waiting_share": share[2],
        "seconds_per_epoch_without_validation": clock.waiting[2] + clock.stepping[2],
    }
    save("data_wait", figures)
    return figures


if __name__ == "__main__":
    for key, value in run().items():
        print(f"{key:40s} {value:.3g}")
