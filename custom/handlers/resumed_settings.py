"""Settings in the state of a training that is resumed with others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["with_settings_of"]

# Of a schedule's state what is no setting.
_PROGRESS = ("last_epoch", "_step_count", "_last_lr", "best", "num_bad_epochs", "cooldown_counter")
# Of other states what is one.
_SETTINGS = ("seed", "start", "end", "iterations")


def with_settings_of(fresh: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return a saved state with the settings of a fresh one; moments and counts stay.

    A learning rate keeps the share of its first value that the schedule has come to.

    Args:
        fresh: State of the same optimizer, schedule or seeded part, as the config makes it.
        saved: The saved state.

    >>> with_settings_of({"gamma": 0.5, "last_epoch": 0}, {"gamma": 0.9, "last_epoch": 3})
    {'gamma': 0.5, 'last_epoch': 3}
    """
    if "param_groups" in saved:
        groups = zip(fresh["param_groups"], saved["param_groups"], strict=True)
        return {**saved, "param_groups": [_group(new, old) for new, old in groups]}
    if "last_epoch" in saved:
        return {**saved, **{k: v for k, v in fresh.items() if k not in _PROGRESS}}
    return {**saved, **{k: fresh[k] for k in _SETTINGS if k in saved and k in fresh}}


def _group(fresh: Mapping[str, Any], saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of one group of an optimizer's parameters."""
    first, before = (group.get("initial_lr", group["lr"]) for group in (fresh, saved))
    reached = saved["lr"] / before if before else 1.0
    return {**fresh, "params": saved["params"], "lr": first * reached}
