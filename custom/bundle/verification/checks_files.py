"""Checks of a bundle's files, its model card and its ``configs/metadata.json``."""

from __future__ import annotations

import importlib.metadata
import json
import re
from pathlib import Path
from typing import Any

import jsonschema

from custom.bundle.config_ids import walk
from custom.bundle.metadata_entries import result_maps
from custom.bundle.verification.bundle_folder import METADATA, BundleFolder
from custom.bundle.verification.outcome import CheckFailed
from custom.data.inputs.training_range import TrainingRange
from custom.errors import InputError

__all__ = [
    "card_sections",
    "data_license",
    "file_sizes",
    "license_file",
    "maps",
    "packages",
    "required_files",
    "schema",
    "training_range",
    "version_changelog",
    "zoo_fields",
]

REQUIRED_FILES = (
    METADATA.as_posix(),
    "configs/train.yaml",
    "configs/evaluate.yaml",
    "configs/inference.yaml",
    "configs/tiny.yaml",
    "docs/README.md",
)
CARD = "docs/README.md"
# Required topics of a model card, and patterns of their headings.
CARD_SECTIONS = {
    "intended use": r"overview|intended use",
    "data": r"\bdata\b|data set|dataset",
    "architecture": r"architecture|network",
    "training": r"training",
    "performance": r"performance|results",
    "usage commands": r"usage|commands|how to",
    "limitations": r"limitations",
    "failure cases": r"failure cases",
    "licence": r"licen[cs]e",
    "references": r"references",
}
MAX_FILE_MB = 25  # the Model Zoo's limit for files in its repository
_APACHE = ("Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS")
SCHEMA_FOLDER = Path(__file__).resolve().parents[1] / "schema"
# Fields that the schema does not require, but the Model Zoo's tools and readers use.
ZOO_FIELDS = ("name", "changelog", "intended_use", "references", "data_source")
CORE_PACKAGES = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}
_VERSION = re.compile(r"\d+\.\d+\.\d+")


def required_files(bundle: BundleFolder) -> None:
    """The metadata, the three workflows, their overlay for tests and the model card exist."""
    missing = [name for name in REQUIRED_FILES if not (bundle.root / name).is_file()]
    if missing:
        raise CheckFailed(f"missing: {', '.join(missing)}")


def license_file(bundle: BundleFolder) -> None:
    """The code's licence is the whole text of Apache-2.0."""
    text = bundle.read_text("LICENSE")
    absent = [phrase for phrase in _APACHE if phrase not in text]
    if absent:
        raise CheckFailed(f"LICENSE is not the whole Apache-2.0 text: it lacks {absent[0]!r}")


def data_license(bundle: BundleFolder) -> None:
    """The licence of the data, and so of the weights trained on them, is stated."""
    if not bundle.read_text("docs/data_license.txt").strip():
        raise CheckFailed("docs/data_license.txt is empty: say under which terms the data are used")


def file_sizes(bundle: BundleFolder) -> None:
    """No file is too large for a git repository."""
    for path in bundle.files:
        size = path.stat().st_size / 2**20
        if size > MAX_FILE_MB:
            name = path.relative_to(bundle.root)
            raise CheckFailed(f"{name} has {size:.1f} MB, at most {MAX_FILE_MB} MB are allowed")


def card_sections(bundle: BundleFolder) -> None:
    """The model card has every section, each with text, a command and the research-only line."""
    card = bundle.read_text(CARD)
    sections = _sections(card)
    for name, pattern in CARD_SECTIONS.items():
        bodies = [body for title, body in sections if re.search(pattern, title, re.IGNORECASE)]
        if not bodies:
            raise CheckFailed(f"{CARD} has no section on {name}")
        if not any(body.strip() for body in bodies):
            raise CheckFailed(f"{CARD}: the section on {name} is empty")
    if "monai.bundle run" not in card:
        raise CheckFailed(f"{CARD} shows no 'python -m monai.bundle run' command")
    if "research use only" not in card.lower():
        raise CheckFailed(f"{CARD} does not say 'research use only'")


def _sections(markdown: str) -> list[tuple[str, str]]:
    """Split a Markdown text into titles and what stands below each, subsections included."""
    # Within a block of code # begins a comment, not a heading.
    prose = re.sub(
        r"^```.*?^```", lambda block: block[0].replace("#", ""), markdown, flags=re.M | re.S
    )
    found = list(re.finditer(r"^(#{1,6})\s+(.+)$", prose, re.MULTILINE))
    sections = []
    for index, heading in enumerate(found):
        level = len(heading[1])
        later = (other for other in found[index + 1 :] if len(other[1]) <= level)
        end = next((other.start() for other in later), len(prose))
        sections.append((heading[2], prose[heading.end() : end]))
    return sections


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
        for place, value in walk(config):
            written = value if place.split("::")[-1] == "maps" and isinstance(value, list) else []
            missing = [entry for entry in written if entry not in stated]
            if missing:
                raise CheckFailed(f"{METADATA} lacks 'maps.{missing[0]}', which {name} writes")


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
