"""What a study's record of its trials says about them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = [
    "FAILURE",
    "RETRY_OF",
    "SURPLUS",
    "WORKER",
    "draw_position",
    "failure_reason",
    "planned",
    "root_number",
]

FAILURE = "failure"  # why a trial ended without a value
RETRY_OF = "retry_of"  # number of the trial that this one repeats
SURPLUS = "surplus"  # two workers began the last trial at once; this one was not run
WORKER = "worker"  # the process that runs it


def root_number(trial: FrozenTrial) -> int:
    """Return the trial's number, or that of the trial which it repeats."""
    return int(trial.user_attrs.get(RETRY_OF, trial.number))


def planned(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count: neither repeated ones nor any beyond the wanted number."""
    return [
        trial
        for trial in trials
        if RETRY_OF not in trial.user_attrs and SURPLUS not in trial.user_attrs
    ]


def draw_position(trial: FrozenTrial, trials: Iterable[FrozenTrial]) -> int:
    """Return how many trials were planned before this one, or before the one it repeats."""
    root = root_number(trial)
    return sum(other.number < root for other in planned(trials))


def failure_reason(trial: FrozenTrial) -> str:
    """Return why a failed trial has no value, as one line."""
    return str(trial.user_attrs.get(FAILURE, "its worker was not heard of any more"))
