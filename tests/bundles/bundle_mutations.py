"""Ways to break a bundle, each for the one check that must notice."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from custom.bundle.verification.bundle_folder import METADATA, WEIGHTS
from custom.files.atomic import sha256_of
from custom.networks.checkpoint_file import read_record, write_checkpoint


@dataclass(frozen=True)
class Mutation:
    """How to break a bundle, and a part of what the check must then say."""

    check_id: str
    name: str
    apply: object
    says: str


def registry():
    """Return an empty list of mutations, and a decorator that adds functions to it."""
    mutations = []

    def breaks(check_id, says):
        def register(function):
            mutations.append(Mutation(check_id, function.__name__, function, says))
            return function

        return register

    return mutations, breaks


def edit(root: Path, name: str):
    """Return a function that lets another one change a config, YAML or JSON, in place."""

    def change(function):
        path = root / "configs" / name
        load, dump = (
            (json.loads, json.dumps) if path.suffix == ".json" else (yaml.safe_load, as_yaml)
        )
        content = load(path.read_text())
        function(content)
        path.write_text(dump(content))

    return change


def as_yaml(content):
    return yaml.safe_dump(content, sort_keys=False)


def metadata(root, **fields):
    edit(root, "metadata.json")(lambda content: content.update(fields))


def append(root, name, text):
    path = root / name
    path.write_text(path.read_text() + text)


def replace(root, name, old, new):
    path = root / name
    text = path.read_text()
    assert old in text, f"{name} no longer has {old!r}: adapt this mutation"
    path.write_text(text.replace(old, new))


def workflows(root):
    """Return the names of the configs that run by themselves."""
    paths = (root / "configs").glob("*.yaml")
    return [path.name for path in paths if "\nbundle_root:" in path.read_text()]


def rewrite_weights(root, change):
    """Change the shipped weights and the recorded hash with them."""
    state = torch.load(root / WEIGHTS, weights_only=True)
    known = read_record(root / WEIGHTS)["trained_for"]
    write_checkpoint(change(state), root / WEIGHTS, known)
    record = json.loads((root / METADATA).read_text())["weights"]
    metadata(root, weights={**record, "sha256": sha256_of(root / WEIGHTS)})


def entry(config, place, target):
    """Return a list in a config and where in it the part with this ``_target_`` stands."""
    for key in place.split("::"):
        config = config[key]
    parts = [part["_target_"] if isinstance(part, dict) else part for part in config]
    names = [str(part).rsplit(".", 1)[-1] for part in parts]
    assert target in names, f"{place} no longer has {target}: adapt this mutation"
    return config, names.index(target)
