"""Checks that build a bundle's workflows, without running them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from custom.bundle.verification.bundle_folder import BundleFolder
from custom.bundle.verification.outcome import CheckFailed
from custom.bundle.verification.workflows import open_workflow

__all__ = ["overlays", "properties"]

_WORKFLOWS = ("train", "evaluate", "inference")


def properties(bundle: BundleFolder) -> None:
    """MONAI finds all properties of the workflows; the optional ones are bare references.

    MONAI accepts an inline definition or an expression in place of a reference; then a property
    that a program sets has no effect on the run.
    """
    from monai.bundle.properties import InferProperties, TrainProperties

    for name in _WORKFLOWS:
        known = TrainProperties if name == "train" else InferProperties
        for where, wanted, found in _references(bundle.config(name), known):
            if found != wanted:
                raise CheckFailed(f"configs/{name}.yaml: {where} must be '{wanted}', got {found!r}")
        _handlers_written_out(name, bundle.config(name))
        workflow = open_workflow(bundle, name, bundle.new_folder(f"properties_{name}"))
        missing = workflow.check_properties()
        if missing:
            raise CheckFailed(f"configs/{name}.yaml: MONAI misses the properties {missing}")


def overlays(bundle: BundleFolder) -> None:
    """A model that an overlay defines can be trained, evaluated and used for inference.

    Such an overlay replaces whole top-level ids, since the three workflows share no others.
    """
    for overlay, content in bundle.overlays.items():
        if "network_def" not in content:
            continue
        nested = [key for key in content if "::" in key or "#" in key]
        if nested:
            raise CheckFailed(f"configs/{overlay}.yaml: {nested[0]!r} is no top-level id")
        for name, product in zip(_WORKFLOWS, ("train::trainer", "network", "network"), strict=True):
            output = bundle.new_folder(f"overlay_{overlay}_{name}")
            workflow = open_workflow(bundle, name, output, bundle.overlays_of(overlay))
            workflow.parser.get_parsed_content(product)


def _handlers_written_out(name: str, config: Mapping[str, Any]) -> None:
    """Raise for a handler given by reference: MONAI's ``check_properties`` stops at it."""
    for index, entry in enumerate(_handlers(config)):
        if not isinstance(entry, dict):
            raise CheckFailed(
                f"configs/{name}.yaml: train::handlers::{index} must be written out, got {entry!r}:"
                " MONAI's check_properties() fails on it"
            )


def _references(
    config: Mapping[str, Any], known: Mapping[Any, Mapping[Any, Any]]
) -> Iterator[tuple[str, str, Any]]:
    """Yield place, wanted and found content wherever a property is handed to an engine."""
    for name, entry in known.items():
        place, identity = entry.get("refer_id"), entry["id"]
        if place is None:
            continue
        if name in ("evaluator", "val_interval"):
            # The one that validates has them under the names that MONAI's ValidationHandler has.
            holders = [one for one in _handlers(config) if isinstance(one, dict)]
            holders = [one for one in holders if "_target_" in one and "validator" in one]
            found = [(f"{handler['_target_']}.{place}", handler.get(place)) for handler in holders]
        else:
            found = [(place, _get(config, place))]
        for where, value in found:
            if value is not None:
                # An id may be written with MONAI's older separator.
                plain = value.replace("#", "::") if isinstance(value, str) else value
                yield where, f"@{identity}", plain


def _handlers(config: Mapping[str, Any]) -> list[Any]:
    """Return the entries of the training's handlers."""
    handlers = _get(config, "train::handlers")
    return handlers if isinstance(handlers, list) else []


def _get(config: Any, place: str) -> Any:
    """Return the content at an id, or None."""
    for key in place.split("::"):
        config = config.get(key) if isinstance(config, dict) else None
    return config
