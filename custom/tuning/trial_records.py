"""Information in an Optuna study's record of its trials."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["FAILURE", "failure_reason", "planned", "root_number"]

FAILURE = "failure"  # user attribute: the reason why a trial has no value


def root_number(trial: FrozenTrial) -> int:
    """Return the trial's number, or that of the trial which it repeats."""
    # As recorded by optuna.storages.RetryHeartbeatStaleTrialCallback.
    return int(trial.system_attrs.get("failed_trial", trial.number))


def planned(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count towards the total: all but repeated ones."""
    return [trial for trial in trials if root_number(trial) == trial.number]


def failure_reason(trial: FrozenTrial) -> str:
    """Return the reason why a failed trial has no value, as one line."""
    return str(trial.user_attrs.get(FAILURE, "its process died"))
