"""The configuration that is running, and what of it a resumed training may change."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from monai.bundle import ConfigParser

from custom.bundle.config_check import calling
from custom.bundle.config_ids import walk
from custom.bundle.typed_values import CODE
from custom.files.database_url import without_password

__all__ = [
    "MAY_CHANGE",
    "changed_settings",
    "config_parameters",
    "config_yaml",
    "executed_config",
    "with_settings_of",
]

# Ids in which a resumed training may differ from its beginning: places, length, machine, tracking.
MAY_CHANGE = (
    *("bundle_root", "output_dir", "ckpt_dir", "demo_dir", "imports", "max_epochs"),
    *("resume", "resume_changes", "device", "rank", "is_rank0", "preview_interval"),
    *("use_mlflow", "tracking_uri", "experiment_name", "run_name", "parent_run", "run_tags"),
)
# The same of ids that end so, at any depth.
_MAY_CHANGE_ENDS = ("num_workers", "cache_num", "cache_slices", "cache_volumes")
# Of a schedule's state what is no setting.
_PROGRESS = ("last_epoch", "_step_count", "_last_lr", "best", "num_bad_epochs", "cooldown_counter")
# Of other states what is one.
_SETTINGS = ("seed", "start", "end", "iterations")

# Components whose settings are compared between runs.
_PARTS = ("network_def", "loss", "optimizer", "lr_scheduler")


def executed_config() -> dict[str, Any]:
    """Return the content of the config that contains this call.

    Passwords of addresses are left out. Write ``$executed_config()`` in a config.

    Raises:
        RuntimeError: If no config parser is among the callers.
    """
    owner = next(calling(ConfigParser), None)
    if owner is None:
        raise RuntimeError("executed_config() can only be called by an expression in a config")
    content: Any = owner.get()
    own = {key: value for key, value in content.items() if key != "_meta_"}
    # Objects given from Python become their text.
    plain: dict[str, Any] = json.loads(without_password(json.dumps(own, default=str)))
    return plain


def config_yaml(config: Mapping[str, Any]) -> str:
    """Return a config as YAML text, in its own order."""
    text: str = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    return text


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in words what differs between a training's first config and that of its resumption.

    Ids in :data:`MAY_CHANGE` are left out.

    >>> changed_settings({"seed": 0, "max_epochs": 4}, {"seed": 1, "max_epochs": 9})
    ['seed 1 (before: 0)']
    """
    old, new = (dict(_compared(config)) for config in (before, now))
    return [
        f"{name} {new.get(name, 'left out')} (before: {old.get(name, 'not there')})"
        for name in [*new, *(old.keys() - new.keys())]
        if (name in old, old.get(name)) != (name in new, new.get(name))
    ]


def _compared(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the ids of single values that a resumed training must share, and the values."""
    for name, value in walk(dict(config)):
        top, end = name.partition("::")[0], name.rpartition("::")[2]
        free = top in MAY_CHANGE or end in _MAY_CHANGE_ENDS
        if not free and not isinstance(value, (dict, list)):
            # A run of an older version stored the name in an address, too.
            yield name, without_password(value) if isinstance(value, str) else value


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


def config_parameters(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings of a config, flat and as text, for an experiment tracker.

    These are the plain values at the top, and the settings of network, loss, optimizer and
    schedules with references replaced by their values. Expressions are left out.

    >>> config = {"learning_rate": 0.1, "device": "$torch.device('cpu')",
    ...           "optimizer": {"_target_": "torch.optim.Adam", "lr": "@learning_rate"}}
    >>> config_parameters(config)
    {'learning_rate': '0.1', 'optimizer': 'torch.optim.Adam', 'optimizer.lr': '0.1'}
    """
    flat: dict[str, str] = {}
    for key, value in config.items():
        if key in _PARTS or not isinstance(value, dict):
            flat |= {name: str(setting) for name, setting in _flatten(key, value, config)}
    return flat


def _flatten(name: str, value: Any, config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the plain values in and below ``value`` with dotted names."""
    if isinstance(value, str) and value.startswith("@") and value[1:] in config:
        value = config[value[1:]]
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(name if key == "_target_" else f"{name}.{key}", inner, config)
    elif isinstance(value, (list, tuple)):
        if not any(str(item).startswith(CODE) for item in value):
            yield name, value
    elif not str(value).startswith(CODE):
        yield name, value
