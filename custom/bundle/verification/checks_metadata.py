"""Checks of a bundle's ``configs/metadata.json``."""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema

from custom.bundle.config_ids import walk
from custom.bundle.result_maps import result_maps
from custom.bundle.training_range import TrainingRange
from custom.bundle.verification.bundle_folder import METADATA, BundleFolder
from custom.bundle.verification.outcome import CheckFailed
from custom.errors import InputError

__all__ = ["maps", "packages", "schema", "training_range", "version_changelog", "zoo_fields"]

SCHEMA_FOLDER = Path(__file__).resolve().parents[1] / "schema"
# Fields that the schema does not require, but the Model Zoo's tools and readers use.
ZOO_FIELDS = ("name", "changelog", "intended_use", "references", "data_source")
CORE_PACKAGES = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def schema(bundle: BundleFolder) -> None:
    """The metadata are valid by the schema they name, of which the repository keeps a copy."""
    name = str(bundle.metadata.get("schema", "")).rsplit("/", 1)[-1]
    file = SCHEMA_FOLDER / name
    if not name or not file.is_file():
        known = sorted(path.name for path in SCHEMA_FOLDER.glob("*.json"))
        raise CheckFailed(f"{METADATA} names the schema {name!r}: known are {known}")
    content = json.loads(file.read_text(encoding="utf-8"))
    validator = jsonschema.Draft201909Validator(content)
    error = jsonschema.exceptions.best_match(validator.iter_errors(bundle.metadata))
    if error is not None:
        raise CheckFailed(f"{METADATA} at {error.json_path}: {error.message}")


def zoo_fields(bundle: BundleFolder) -> None:
    """Name, intended use, references, and modality and channels of each tensor are stated."""
    for field in ZOO_FIELDS:
        if not bundle.metadata.get(field):
            raise CheckFailed(f"{METADATA} lacks {field!r}")
    formats = bundle.metadata.get("network_data_format", {})
    for side in ("inputs", "outputs"):
        for name, tensor in formats.get(side, {}).items():
            _tensor_fields(f"network_data_format.{side}.{name}", tensor)


def _tensor_fields(where: str, tensor: Any) -> None:
    """Check one tensor: every channel is named, and an image has a modality."""
    if not isinstance(tensor, dict):
        return
    channels = tensor.get("channel_def", {})
    if len(channels) != tensor.get("num_channels"):
        raise CheckFailed(
            f"{METADATA}: {where}.channel_def names {len(channels)} channels, "
            f"num_channels is {tensor.get('num_channels')}"
        )
    if tensor.get("type") == "image" and not tensor.get("modality"):
        raise CheckFailed(f"{METADATA}: {where} lacks 'modality'")


def training_range(bundle: BundleFolder) -> None:
    """Spacing, size and contrast of the training are stated, so that a series can be compared."""
    stated = bundle.metadata.get("training_range")
    if not isinstance(stated, dict) or not stated.get("about"):
        raise CheckFailed(f"{METADATA} lacks 'training_range', with a word 'about' it")
    try:
        TrainingRange(stated)
    except InputError as error:
        raise CheckFailed(f"{METADATA}: {error}") from error


def maps(bundle: BundleFolder) -> None:
    """Every map that a config writes beside a restored image is stated, so that it can travel."""
    try:
        stated = result_maps(bundle.metadata)
    except InputError as error:
        raise CheckFailed(f"{METADATA}: {error}") from error
    for name, config in bundle.configs.items():
        missing = [entry for entry in _written_maps(config) if entry not in stated]
        if missing:
            raise CheckFailed(f"{METADATA} lacks 'maps.{missing[0]}', which {name} writes")


def _written_maps(config: dict[str, Any]) -> Iterator[str]:
    """Yield the names in every list ``maps`` of a config."""
    for place, value in walk(config):
        if place.split("::")[-1] == "maps" and isinstance(value, list):
            yield from value


def version_changelog(bundle: BundleFolder) -> None:
    """The version is the newest entry of the changelog."""
    version = str(bundle.metadata.get("version"))
    changelog = bundle.metadata.get("changelog", {})
    odd = [entry for entry in (version, *changelog) if not _VERSION.fullmatch(entry)]
    if odd:
        raise CheckFailed(f"{METADATA}: version {odd[0]!r} must be three numbers, as 1.2.3")
    # As numbers: sorted as text, 0.6.10 would come before 0.6.9.
    newest = max(changelog, key=lambda entry: tuple(map(int, entry.split("."))), default=None)
    if newest != version:
        raise CheckFailed(f"{METADATA}: version is {version}, the changelog ends with {newest}")


def packages(bundle: BundleFolder) -> None:
    """The declared versions of all packages are the installed ones."""
    metadata = bundle.metadata
    declared = {package: metadata.get(field) for field, package in CORE_PACKAGES.items()}
    declared |= metadata.get("required_packages_version", {})
    for package, version in declared.items():
        try:
            installed = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise CheckFailed(f"{METADATA} needs {package} {version}, not installed") from None
        # A build tag such as +cpu or +cu130 says which wheel it is, not which version.
        if installed.split("+")[0] != version:
            raise CheckFailed(f"{METADATA} declares {package} {version}, installed is {installed}")
