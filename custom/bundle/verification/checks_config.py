"""Checks of a bundle's configs: their text, references, targets, ids, the network definition."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import re
from pydoc import locate
from typing import Any

import yaml

from custom.bundle.config_ids import walk
from custom.bundle.verification.bundle_folder import METADATA, TINY, BundleFolder
from custom.bundle.verification.outcome import CheckFailed
from custom.files.text_files import read_unique

__all__ = [
    "no_absolute_paths",
    "no_duplicate_keys",
    "numbers",
    "one_network",
    "parse",
    "targets",
    "zoo_key_names",
]

# Numbers that YAML 1.1 reads as text: no dot, or no sign of the exponent.
_EXPONENT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)[eE][+-]?\d+")
_ABSOLUTE = re.compile(r"(/[A-Za-z]|~/|[A-Za-z]:[\\/])")
# In prose: an absolute path of two parts or more, or a home folder; /path/to is a placeholder.
_ABSOLUTE_IN_PROSE = re.compile(
    r"(?<![\w.:/)\]}>@$*\"'+-])(~/[\w.-]+|/(?!path/to\b)[A-Za-z][\w.-]*/[\w./-]+)|\b[A-Z]:\\\w+"
)
_REFERENCE = re.compile(r"[@%][\w:#]+")
# Ids of every workflow, ids that evaluation and inference share, and further ids of each: MONAI's
# tools, the Model Zoo's contribution rules and our command line look for them.
_COMMON = (
    *("bundle_root", "dataset_dir", "output_dir"),
    *("seed", "device", "network_def", "network", "initialize", "run"),
)
_DEMO = ("demo_dir", "demo_size", "demo", "datalist")
_FLAT = ("ckpt_path", "preprocessing", "dataset", "dataloader", "inferer", "handlers", "evaluator")
REQUIRED_IDS = {
    "train": (
        *(*_COMMON, *_DEMO),
        *("ckpt_dir", "resume", "max_epochs", "val_interval", "use_mlflow"),
        *("loss", "optimizer", "lr_scheduler"),
        *("train::preprocessing", "train::dataset", "train::dataloader", "train::inferer"),
        *("train::handlers", "train::trainer", "train::trainer::max_epochs"),
        *("validate::preprocessing", "validate::dataset", "validate::dataloader"),
        *("validate::inferer", "validate::handlers", "validate::key_metric", "validate::evaluator"),
    ),
    "evaluate": (*_COMMON, *_DEMO, *_FLAT, "split"),
    "inference": (*_COMMON, *_FLAT, "postprocessing", "input", "overwrite", "skip_existing"),
}
# Names of older bundles that MONAI's tools no longer look for.
_OLD_IDS = {"training": "run", "eval": "run", "evaluating": "run", "inferring": "run"}


def no_duplicate_keys(bundle: BundleFolder) -> None:
    """No mapping has a key twice: YAML and JSON would silently take the last one."""
    for path in (*bundle.config_files, bundle.root / METADATA):
        try:
            read_unique(path)
        except (yaml.YAMLError, json.JSONDecodeError):
            continue  # config.parse and meta.schema report the fault
        except ValueError as error:
            raise CheckFailed(f"{path.relative_to(bundle.root).as_posix()}: {error}") from error


def numbers(bundle: BundleFolder) -> None:
    """No number is written in a form that YAML reads as text."""
    for name, config in bundle.configs.items():
        for place, value in walk(config):
            if isinstance(value, str) and _EXPONENT.fullmatch(value.strip()):
                raise CheckFailed(
                    f"configs/{name}: {place} is the text {value!r}: write a dot and a signed "
                    "exponent, as 1.0e-4"
                )


def no_absolute_paths(bundle: BundleFolder) -> None:
    """Nothing contains an absolute path."""
    for name, config in (*bundle.configs.items(), (METADATA.stem, bundle.metadata)):
        for place, value in walk(config):
            for text in _literals(value) if isinstance(value, str) else ():
                if _ABSOLUTE.match(text):
                    raise CheckFailed(f"configs/{name}: {place} has the absolute path {text!r}")
    for path in (*bundle.config_files, *bundle.files):
        if path.suffix in (".yaml", ".yml", ".json", ".md", ".txt", ".conf"):
            name = path.relative_to(bundle.root).as_posix()
            for number, line in enumerate(bundle.read_text(name).splitlines(), 1):
                if found := _ABSOLUTE_IN_PROSE.search(line):
                    raise CheckFailed(f"{name} line {number} has the absolute path {found[0]!r}")


def _literals(value: str) -> list[str]:
    """Return a plain value, or the texts in an expression that do not continue another text."""
    if not value.startswith("$"):
        return [value]
    try:
        tree = ast.parse(_REFERENCE.sub("_reference", value[1:].strip()))
    except SyntaxError:
        return []
    continued: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp):
            # In @output_dir + '/models' the text only continues a path.
            continued.add(node.right)
        elif isinstance(node, ast.JoinedStr):
            continued.update(node.values[1:])
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in continued
    ]


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
            _loose_ends(bundle, [workflow, *bundle.overlays_of(name)])
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
    from monai.bundle.utils import merge_kv

    parser = ConfigParser()
    for name in names:
        for key, value in copy.deepcopy(bundle.config(name)).items():
            merge_kv(parser, key, value)
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
