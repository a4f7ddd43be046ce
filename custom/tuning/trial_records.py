"""What a study's record of its trials says about them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

__all__ = ["FAILURE", "failure_reason", "planned", "root_number"]

FAILURE = "failure"  # user attribute: why a trial ended without a value


def root_number(trial: FrozenTrial) -> int:
    """Return the trial's number, or that of the trial which it repeats."""
    # What optuna.storages.RetryHeartbeatStaleTrialCallback notes.
    return int(trial.system_attrs.get("failed_trial", trial.number))


def planned(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count towards the total: all but repeated ones."""
    return [trial for trial in trials if root_number(trial) == trial.number]


def failure_reason(trial: FrozenTrial) -> str:
    """Return why a failed trial has no value, as one line."""
    return str(trial.user_attrs.get(FAILURE, "its process died"))
