"""Step any of torch's learning-rate schedules at the end of an epoch."""

from __future__ import annotations

from ignite.engine import Engine
from monai.engines import Evaluator
from monai.handlers import LrScheduleHandler
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from custom.handlers.validation_metric import key_metric, validated

__all__ = ["LrSchedule"]


class LrSchedule(LrScheduleHandler):
    """MONAI's handler, for schedules that watch the validation and for those that do not.

    ``ReduceLROnPlateau`` is given the evaluator's key metric, and waits in epochs that have no
    validation; every other schedule is stepped once an epoch.

    Args:
        lr_scheduler: The schedule.
        evaluator: Engine whose key metric a plateau schedule watches.
        print_lr: Whether to log the rate every epoch.
    """

    def __init__(
        self, lr_scheduler: LRScheduler, evaluator: Evaluator, print_lr: bool = False
    ) -> None:
        super().__init__(
            lr_scheduler,  # type: ignore[arg-type]  # MONAI names torch's older base class
            print_lr=print_lr,
            step_transform=self._arguments,
        )
        self.evaluator = evaluator
        self.watches = isinstance(lr_scheduler, ReduceLROnPlateau)

    def __call__(self, engine: Engine) -> None:
        """Step the schedule."""
        if not self.watches or validated(engine, self.evaluator):
            super().__call__(engine)

    def _arguments(self, _: Engine) -> tuple[float, ...]:
        """Return the arguments of the schedule's ``step``."""
        return (key_metric(self.evaluator),) if self.watches else ()
