"""JSON sidecar with the provenance of each restored image."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events

from custom.data.inputs.result_names import (
    copy_of,
    hidden_name,
    map_of,
    name_in_folder,
    sidecar_of,
)
from custom.files.atomic import sha256_of, write_json
from custom.files.bruker import parameter_files
from custom.files.folder_search import walk_folder
from custom.files.reader import format_of, name_of
from custom.files.text_files import read_metadata
from custom.versions import package_versions

__all__ = ["ProvenanceSidecar", "sha256_of_input"]

NOTICE = "Research use only. Not for diagnosis or treatment."
# What of a config computes an image: these ids, and what they refer to.
_COMPUTING = ("seed", "preprocessing", "evaluator")
# What they refer to without effect on a value. The device stands in the sidecar itself.
_PLACES = ("bundle_root", "output_dir", "ckpt_path", "weights_dir")
_WITHOUT_EFFECT = frozenset({*_PLACES, "device", "dataloader", "handlers"})
_WEIGHTS = {"weights": "other weights", "beside_weights": "other files beside the weights"}
_PACKAGES = ("mri-restoration-bundles", "monai", "torch", "numpy", "nibabel", "pytorch-ignite")


class ProvenanceSidecar:
    """Write ``<name>_restored.json`` beside each restored image.

    It holds the bundle and its version, the hashes of weights, configuration, input, output and
    maps, the parameters, seed, device and package versions. It holds nothing of the input's header
    and no time: the same run gives the same sidecar. Of the configuration, as executed with
    overlays and overrides, what computes an image is hashed: the seed, preprocessing and evaluator
    with all that they refer to, but for places, the device and what is ``without_effect``.

    Args:
        metadata_file: The bundle's ``metadata.json``.
        config: Content of the merged config, from
            :func:`custom.handlers.executed_config.executed_config`.
        weights_file: The checkpoint.
        parameters: Settings of this run, serialisable as JSON.
        seed: Seed of the run.
        device: Device of the run.
        record: Keys of the input or output item whose numbers or words are added to the
            parameters.
        beside: Further files that the restoration depends on, beside the weights.
        model_parameters: More parameters, those of an overlay's model.
        maps: Names of the maps that may lie beside a restored image.
        copies: Suffixes of the files that may be copied to beside it.
        read: Keys of the paths of further files that were read for one image; may be absent.
        places: Values of the config's entries that may name files, which count by their content.
        no_names: Whether files that were read are named by their hash, see :func:`hidden_name`.
        without_effect: Ids of settings that change no image, or by rounding alone.
    """

    def __init__(
        self,
        metadata_file: str | Path,
        config: Mapping[str, Any],
        weights_file: str | Path,
        parameters: Mapping[str, Any],
        seed: int,
        device: torch.device | str,
        record: Sequence[str] = (),
        beside: Sequence[str | Path] = (),
        model_parameters: Mapping[str, Any] | None = None,
        maps: Sequence[str] = (),
        copies: Sequence[str] = (),
        read: Sequence[str] = (),
        places: Mapping[str, Any] | None = None,
        no_names: bool = False,
        without_effect: Sequence[str] = (),
    ) -> None:
        self.metadata_file = Path(metadata_file)
        self.config = dict(config)
        self.without_effect = tuple(without_effect)
        self.places = dict(places or {})
        self.weights_file = Path(weights_file)
        self.parameters = {**parameters, **(model_parameters or {})}
        self.beside = [Path(path) for path in beside]
        self.seed = seed
        self.device = str(device)
        self.record = tuple(record)
        self.maps = tuple(maps)
        self.copies = tuple(copies)
        self.read = tuple(read)
        self.no_names = no_names
        self.earlier_versions: set[str] = set()
        self._run: dict[str, Any] = {}

    def attach(self, engine: Engine) -> None:
        """Register with an evaluator whose postprocessing writes the images."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def start(self, _: Engine) -> None:
        """Collect the entries that are the same for the whole run."""
        self._run = {
            "notice": NOTICE,
            "bundle": _bundle(self.metadata_file),
            **self.made_with,
            "seed": self.seed,
            "device": self.device,
            "packages": package_versions(_PACKAGES),
        }

    @cached_property
    def made_with(self) -> dict[str, Any]:
        """What the images depend on beside the input: weights and configuration, as hashes."""
        # A missing one is the model's error, not ours.
        beside = [_file(path) for path in self.beside if path.is_file()]
        config = self.config | {key: _content(value) for key, value in self.places.items()}
        used = {key: config[key] for key in _COMPUTING if key in config}
        return {
            "weights": _file(self.weights_file),
            **({"beside_weights": beside} if beside else {}),
            "config_sha256": _sha256_of_json(
                _with_references(used, config, _WITHOUT_EFFECT.union(self.without_effect))
            ),
        }

    def differences(self, sidecar: Mapping[str, Any], source: Path) -> list[str]:
        """Return what an earlier image was made with that this run would not use, in words.

        Another version of the bundle is none of it; it is added to ``earlier_versions``.

        Args:
            sidecar: Content of the image's sidecar.
            source: The input.
        """
        if not self.weights_file.is_file():
            return ["another weight file"]
        own = self.made_with
        other = [
            words
            for name, words in _WEIGHTS.items()
            if _digests(own.get(name)) != _digests(sidecar.get(name))
        ]
        if own["config_sha256"] != sidecar.get("config_sha256"):
            earlier = sidecar.get("parameters", {})
            compared = self.parameters.keys() - set(self.without_effect)
            changed = sorted(k for k in compared if self.parameters[k] != earlier.get(k))
            other.append("another configuration" + f" ({', '.join(changed)})" * bool(changed))
        # Files that the config does not name lie beside the input.
        read = sidecar.get("read_besides", {})
        for key in [key for key in self.read if key in read and self.places.get(key) is None]:
            name, digest = read[key]["file"], read[key]["sha256"]
            if name == hidden_name(name, digest):
                name = name_of(source)[0] + Path(name).suffix
            file = source.with_name(name)
            if file != source and file.is_file() and sha256_of(file) != digest:
                other.append(f"another {file.name}")
        version = str(sidecar["bundle"]["version"])
        if not other and version != _bundle(self.metadata_file)["version"]:
            self.earlier_versions.add(version)
        return other

    def __call__(self, engine: Engine) -> None:
        """Write the sidecars of one batch."""
        batch: Any = engine.state.batch
        made: Any = engine.state.output
        made = made if isinstance(made, list) else [{}] * len(batch)
        for item, result in zip(batch, made, strict=True):
            source, output = Path(item["source"]), Path(item["output"])
            known = {**item, **result}
            recorded = {key: _plain(known[key]) for key in self.record}
            content = {
                **self._run,
                "input": self._input(source),
                **self._read_besides(known),
                "output": _file(output),
                **self._written_beside(output),
                "parameters": {**self.parameters, **recorded},
            }
            write_json(sidecar_of(output), content)

    def _input(self, source: Path) -> dict[str, str]:
        """Return the input's name in its folder, and its hash."""
        name, digest = name_in_folder(source), sha256_of_input(source)
        return {"file": hidden_name(name, digest) if self.no_names else name, "sha256": digest}

    def _read_besides(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """Return the further files that were read for the input."""
        files = {key: _file(Path(known[key])) for key in self.read if key in known}
        for about in files.values() if self.no_names else ():
            about["file"] = hidden_name(about["file"], about["sha256"])
        return {"read_besides": files} if files else {}

    def _written_beside(self, output: Path) -> dict[str, Any]:
        """Return the files that lie beside the output."""
        paths = {name: map_of(output, name) for name in self.maps}
        paths |= {name: copy_of(output, name) for name in self.copies}
        return {name: _file(path) for name, path in paths.items() if path.exists()}


def sha256_of_input(path: str | Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of a folder's files.

    The parameter files of a ``2dseq``, which hold its geometry and its scale, count with it.
    """
    path = Path(path)
    if format_of(path) == "bruker":
        named = [(file.name, file) for file in (path, *parameter_files(path))]
    elif path.is_dir():
        files = sorted(place / name for place, _, names in walk_folder(path) for name in names)
        named = [(file.relative_to(path).as_posix(), file) for file in files]
    else:
        return sha256_of(path)
    return _sha256_of_json([[name, sha256_of(file)] for name, file in named])


def _content(value: Any) -> Any:
    """Return the hash of the file that a setting names, or the setting itself."""
    file = Path(value).expanduser() if isinstance(value, (str, Path)) else None
    return sha256_of(file) if file is not None and file.is_file() else value


def _with_references(value: Any, config: Mapping[str, Any], left_out: Collection[str]) -> Any:
    """Return a part of a config with what it refers to in place of the names, or beside code."""
    if isinstance(value, dict):
        return {key: _with_references(part, config, left_out) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_references(part, config, left_out) for part in value]
    if not isinstance(value, str) or not value.startswith(("$", "@", "%")):
        return value
    names = [name for name in re.findall(r"[@%](\w+)", value) if name in config]
    used = {
        name: _with_references(config[name], config, {*left_out, name})
        for name in names
        if name not in left_out
    }
    return used.get(value[1:], [value, used])


def _digests(files: Any) -> list[Any]:
    """Return the hashes of one file's entry, or of a list of them."""
    listed = files if isinstance(files, list) else [files or {}]
    return [entry.get("sha256") for entry in listed]


def _file(path: Path) -> dict[str, str]:
    """Return the name and the hash of a file."""
    return {"file": path.name, "sha256": sha256_of(path)}


def _bundle(metadata_file: Path) -> dict[str, str]:
    """Return the name of a bundle's folder, its display name and its version."""
    metadata = read_metadata(metadata_file, "version")
    folder = metadata_file.resolve().parents[1].name
    name, version = metadata.get("name", folder), metadata["version"]
    return {"id": folder, "name": str(name), "version": str(version)}


def _sha256_of_json(content: Any) -> str:
    """Return the SHA-256 of JSON text with sorted keys."""
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _plain(value: Any) -> Any:
    """Return a tensor's numbers as Python's own."""
    return value.tolist() if isinstance(value, torch.Tensor) else value
