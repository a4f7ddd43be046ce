"""Checks of a bundle's configs: references, targets, ids, the network definition."""

from __future__ import annotations

import inspect
from pydoc import locate
from typing import Any

from custom.bundle.config_ids import walk
from custom.bundle.verification.bundle_folder import TINY, BundleFolder
from custom.bundle.verification.outcome import CheckFailed

__all__ = ["one_network", "parse", "targets", "zoo_key_names"]

# Ids of every workflow, ids that evaluation and inference share, and further ids of each: MONAI's
# tools, the Model Zoo's contribution rules and our command line look for them.
_COMMON = (
    *("bundle_root", "dataset_dir", "output_dir", "demo_dir", "demo_size", "demo", "datalist"),
    *("seed", "device", "network_def", "network", "initialize", "run"),
)
_FLAT = ("ckpt_path", "preprocessing", "dataset", "dataloader", "inferer", "handlers", "evaluator")
REQUIRED_IDS = {
    "train": (
        *_COMMON,
        *("ckpt_dir", "resume", "max_epochs", "val_interval", "use_mlflow"),
        *("loss", "optimizer", "lr_scheduler"),
        *("train::preprocessing", "train::dataset", "train::dataloader", "train::inferer"),
        *("train::handlers", "train::trainer", "train::trainer::max_epochs"),
        *("validate::preprocessing", "validate::dataset", "validate::dataloader"),
        *("validate::inferer", "validate::handlers", "validate::key_metric", "validate::evaluator"),
    ),
    "evaluate": (*_COMMON, *_FLAT, "split"),
    "inference": (*_COMMON, *_FLAT, "postprocessing", "input", "overwrite", "skip_existing"),
}
# Names of older bundles that MONAI's tools no longer look for.
_OLD_IDS = {"training": "run", "eval": "run", "evaluating": "run", "inferring": "run"}


def parse(bundle: BundleFolder) -> None:
    """All configs can be read, and every ``@reference`` in them exists.

    An overlay must resolve in one of the workflows; it need not in the others. An id of the overlay
    for tests must be in some other config: else it would change nothing.
    """
    others = {key for name, config in bundle.configs.items() if name != TINY for key in config}
    for key in bundle.configs.get(TINY, {}):
        if key not in others:
            raise CheckFailed(f"configs/{TINY}.yaml: no other config has the id {key!r}")
    for name in bundle.workflows:
        _no_loose_end([name], _loose_ends(bundle, [name]))
    for name, content in bundle.overlays.items():
        # One that changes a part inside another can only go over the config that has it.
        nested = any("::" in key or "#" in key for key in content)
        found = [
            _loose_ends(bundle, [workflow, name])
            for workflow in (("train",) if nested else REQUIRED_IDS)
        ]
        common = set.intersection(*(set(ends.items()) for ends in found))
        _no_loose_end(["train", name], dict(sorted(common)))


def _no_loose_end(names: list[str], loose: dict[str, str]) -> None:
    """Raise if a reference leads nowhere."""
    for place, reference in loose.items():
        raise CheckFailed(f"{' + '.join(names)}: {place} refers to @{reference}: no such id")


def _loose_ends(bundle: BundleFolder, names: list[str]) -> dict[str, str]:
    """Return the references without a target of configs laid over each other, by place."""
    from monai.bundle import ConfigParser, ReferenceResolver

    parser = ConfigParser()
    parser.read_config(bundle.run_files(*names))
    parser.parse()
    return {
        place: reference
        for place, value in walk(parser.get())
        if isinstance(value, str)
        for reference in ReferenceResolver.match_refs_pattern(value)
        if reference not in parser
    }


def targets(bundle: BundleFolder) -> None:
    """Every ``_target_`` exists, and takes the arguments that the config gives it."""
    from monai.bundle import ComponentLocator, ConfigComponent

    locator = ComponentLocator()
    for name, config in bundle.configs.items():
        for place, value in walk(config):
            target = value.get("_target_") if isinstance(value, dict) else None
            if not isinstance(target, str) or target.startswith("$"):
                continue
            component: Any = ConfigComponent(config=value, locator=locator)
            found = locate(component.resolve_module_name())
            where = f"configs/{name}: {place}"
            if not callable(found):
                raise CheckFailed(f"{where}: _target_ {target!r} does not exist")
            _arguments(where, target, found, component.resolve_args())


def _arguments(where: str, target: str, component: Any, given: dict[str, Any]) -> None:
    """Raise if a component does not take an argument that it is given."""
    try:
        signature = inspect.signature(component)
    except (TypeError, ValueError):
        return  # built in C, without a signature: a wrong argument shows when it is called
    try:
        signature.bind_partial(**given)
    except TypeError as error:
        raise CheckFailed(f"{where}: {target} {error}") from error


def zoo_key_names(bundle: BundleFolder) -> None:
    """The three workflows have the ids that other tools, and the command line, look for."""
    for name, required in REQUIRED_IDS.items():
        config = bundle.config(name)
        present = {place for place, _ in walk(config)} | set(config)
        missing = [place for place in required if place not in present]
        if missing:
            raise CheckFailed(f"configs/{name}.yaml lacks the ids {', '.join(missing)}")
        old = [place for place in _OLD_IDS if place in config]
        if old:
            raise CheckFailed(f"configs/{name}.yaml: the id {old[0]!r} is now {_OLD_IDS[old[0]]!r}")


def one_network(bundle: BundleFolder) -> None:
    """All workflows define the same network: the definition is copied, and copies drift."""
    definitions = {
        name: config["network_def"]
        for name, config in bundle.workflows.items()
        if "network_def" in config
    }
    if not definitions:
        raise CheckFailed("no config has 'network_def'")
    first, *others = definitions
    for name in others:
        if definitions[name] != definitions[first]:
            raise CheckFailed(f"network_def differs between configs/{first} and configs/{name}")
