"""The configuration that is running: files merged, overrides applied."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from monai.bundle import ConfigParser

from custom.bundle.config_check import calling
from custom.files.database_url import without_password

__all__ = ["config_parameters", "config_yaml", "executed_config"]

# Components whose settings are compared between runs.
_PARTS = ("network_def", "loss", "optimizer", "lr_scheduler")
_CODE = ("$", "@", "%")


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
        if not any(str(item).startswith(_CODE) for item in value):
            yield name, value
    elif not str(value).startswith(_CODE):
        yield name, value
