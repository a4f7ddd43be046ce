"""Check of the properties by which other programs use a bundle's workflows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from custom.bundle.verification.bundle_folder import BundleFolder
from custom.bundle.verification.outcome import CheckFailed
from custom.bundle.verification.workflows import open_workflow

__all__ = ["properties"]

_WORKFLOWS = ("train", "evaluate", "inference")


def properties(bundle: BundleFolder) -> None:
    """MONAI finds all properties of the workflows; what is optional is a bare reference.

    MONAI lets an inline definition or an expression pass where a reference is meant; then a
    property that a program sets has no effect on the run.
    """
    from monai.bundle.properties import InferProperties, TrainProperties

    for name in _WORKFLOWS:
        known = TrainProperties if name == "train" else InferProperties
        for where, wanted, found in _references(bundle.config(name), known):
            if found != wanted:
                raise CheckFailed(f"configs/{name}.yaml: {where} must be '{wanted}', got {found!r}")
        # MONAI looks for the validation by each handler's _target_, and stops at anything else.
        handlers = _get(bundle.config(name), "train::handlers")
        for index, entry in enumerate(handlers if isinstance(handlers, list) else []):
            if not isinstance(entry, dict):
                raise CheckFailed(
                    f"configs/{name}.yaml: train::handlers::{index} must be written out, got "
                    f"{entry!r}: MONAI's check_properties() fails on it"
                )
        workflow = open_workflow(bundle, name, bundle.new_folder(f"properties_{name}"))
        missing = workflow.check_properties()
        if missing:
            raise CheckFailed(f"configs/{name}.yaml: MONAI misses the properties {missing}")


def _references(
    config: Mapping[str, Any], known: Mapping[Any, Mapping[Any, Any]]
) -> Iterator[tuple[str, str, Any]]:
    """Yield place, wanted and found content wherever a property is handed to an engine."""
    for name, entry in known.items():
        place, identity = entry.get("refer_id"), entry["id"]
        if place is None:
            continue
        if name in ("evaluator", "val_interval"):
            holders = [h for h in _handlers(config) if "ValidationHandler" in str(h["_target_"])]
            found = [(f"ValidationHandler.{place}", handler.get(place)) for handler in holders]
        else:
            found = [(place, _get(config, place))]
        for where, value in found:
            if value is not None:
                yield where, f"@{identity}", _normalised(value)


def _handlers(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the training's handlers that are written out in the config."""
    handlers = _get(config, "train::handlers")
    entries = handlers if isinstance(handlers, list) else []
    return [entry for entry in entries if isinstance(entry, dict) and "_target_" in entry]


def _get(config: Any, place: str) -> Any:
    """Return the content at an id, or None."""
    for key in place.split("::"):
        config = config.get(key) if isinstance(config, dict) else None
    return config


def _normalised(value: Any) -> Any:
    """Write an id with MONAI's newer separator."""
    return value.replace("#", "::") if isinstance(value, str) else value
