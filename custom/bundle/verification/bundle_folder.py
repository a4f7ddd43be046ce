"""A bundle's folder, read once and shared by all checks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from custom.bundle.verification.outcome import CheckFailed
from custom.files.text_files import parse_yaml, read_json, read_text

__all__ = ["GENERATED", "METADATA", "TINY", "WEIGHTS", "BundleFolder", "is_search_space"]

METADATA = Path("configs") / "metadata.json"
WEIGHTS = Path("models") / "model.pt"
# The overlay of every bundle that makes its demonstration set small and its runs short, for tests.
TINY = "tiny"
_CONFIG_SUFFIXES = (".yaml", ".yml", ".json")
# Folders that a bundle's own runs write; they do not belong to the bundle.
GENERATED = ("data", "output")


class BundleFolder:
    """The parts of a bundle, parsed on first use.

    Args:
        root: The bundle's folder.
        workspace: An existing folder for everything that checks write.
        demo_dir: Folder of the small demonstration set; by default one in ``workspace``. Several
            checks of one bundle can share a folder, so that the set is made once.
        variant: Another model of the bundle: the name of an overlay that the metadata list under
            ``variants``. Configs and metadata are then those with the overlay applied, and before
            it those that the metadata name under its ``overlays``.

    Raises:
        ValueError: If ``root`` is no folder.
    """

    def __init__(
        self,
        root: str | Path,
        workspace: str | Path,
        demo_dir: str | Path | None = None,
        variant: str | None = None,
    ) -> None:
        self.root = Path(root).resolve()
        self.workspace = Path(workspace).resolve()
        self.demo_dir = Path(demo_dir or self.workspace / "demo").resolve()
        self.variant = variant
        if not self.root.is_dir():
            raise ValueError(f"root must be a folder, got {root}")
        self._folders = 0

    @cached_property
    def files(self) -> list[Path]:
        """Every file of the bundle, without the output of its runs."""
        return self.list_files()

    @cached_property
    def config_files(self) -> list[Path]:
        """All YAML and JSON configs, without the metadata."""
        folder = self.root / METADATA.parent
        return [
            path
            for path in self.files
            if path.parent == folder
            and path.suffix in _CONFIG_SUFFIXES
            and path != self.root / METADATA
            and not is_search_space(path)
        ]

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The parsed ``configs/metadata.json``; for a variant with its own weights and format."""
        content = self._mapping(self.root / METADATA, read_json)
        if self.variant is None:
            return content
        listed = content.get("variants", {}).get(self.variant)
        if not isinstance(listed, dict):
            raise CheckFailed(f"{METADATA} does not list the variant {self.variant!r}")
        own = f"{self.variant}_data_format"  # the schema's way to describe a further network
        if own not in content:
            raise CheckFailed(f"{METADATA} lacks {own!r}")
        return {**content, **listed, "network_data_format": content[own]}

    @property
    def variants(self) -> list[str]:
        """Names of the further models that the metadata list."""
        return list(self._listed_variants)

    @property
    def weights(self) -> Path:
        """File of the shipped weights; it need not exist."""
        named = self.metadata.get("weights", {}).get("file", WEIGHTS.as_posix())
        return self.root / str(named)

    @cached_property
    def configs(self) -> dict[str, dict[str, Any]]:
        """Each config as it is written, by its file's name without suffix."""
        read = {path.stem: self._mapping(path, _read_yaml) for path in self.config_files}
        if self.variant is None:
            return read
        laid_over: dict[str, Any] = {}
        for name in self.overlays_of(self.variant):
            if name not in read:
                raise CheckFailed(f"configs/{name}.yaml is missing: the metadata list it")
            laid_over |= read[name]
        return {
            name: {**config, **laid_over} if "bundle_root" in config else config
            for name, config in read.items()
        }

    @property
    def workflows(self) -> dict[str, dict[str, Any]]:
        """Configs that run by themselves: those that set ``bundle_root``."""
        return {name: config for name, config in self.configs.items() if "bundle_root" in config}

    @property
    def overlays(self) -> dict[str, dict[str, Any]]:
        """Configs that are overlays on another one."""
        return {
            name: config for name, config in self.configs.items() if "bundle_root" not in config
        }

    def list_files(self) -> list[Path]:
        """List every file of the bundle at present, without the output of its runs."""
        return sorted(
            path
            for path in self.root.rglob("*")
            if path.is_file()
            and path.relative_to(self.root).parts[0] not in GENERATED
            and "__pycache__" not in path.parts
        )

    def config(self, name: str) -> dict[str, Any]:
        """Return one config as it is written.

        Raises:
            CheckFailed: If there is no such config.
        """
        if name not in self.configs:
            raise CheckFailed(f"configs/{name}.yaml is missing: there are {sorted(self.configs)}")
        return self.configs[name]

    def overlays_of(self, name: str) -> list[str]:
        """Return the overlays that make up one, in their order: itself, or after others."""
        try:
            listed = self._listed_variants.get(name, {})
        except CheckFailed:  # damaged metadata have a check of their own
            return [name]
        return [name] if not isinstance(listed, dict) else list(listed.get("overlays", [name]))

    def run_names(self, name: str) -> list[str]:
        """Return the names of the configs that make up a workflow, in their order."""
        return [name] if self.variant is None else [name, *self.overlays_of(self.variant)]

    def run_files(self, *names: str) -> list[str]:
        """Return the files of configs, with that of the variant after the first.

        Raises:
            CheckFailed: If there is no such config.
        """
        ordered = [*self.run_names(names[0]), *names[1:]]
        for name in ordered:
            self.config(name)
        files = {path.stem: str(path) for path in self.config_files}
        return [files[name] for name in ordered]

    def read_text(self, relative: str) -> str:
        """Return the text of a file of the bundle.

        Raises:
            CheckFailed: If it is missing or not text.
        """
        try:
            return (self.root / relative).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CheckFailed(f"{relative} cannot be read: {type(error).__name__}") from error

    def new_folder(self, name: str) -> Path:
        """Return the path of a folder in the workspace that no other check uses; not made yet."""
        self._folders += 1
        return self.workspace / f"{self._folders:02d}_{name}"

    @property
    def _listed_variants(self) -> dict[str, Any]:
        """What the metadata state of the further models."""
        listed = self._mapping(self.root / METADATA, read_json).get("variants", {})
        return listed if isinstance(listed, dict) else {}

    def _mapping(self, path: Path, read: Callable[[Path], Any]) -> dict[str, Any]:
        """Read a file that must hold a mapping."""
        relative = path.relative_to(self.root)
        try:
            content = read(path)
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise CheckFailed(
                f"{relative} cannot be read: {' '.join(str(error).split())}"
            ) from error
        if not isinstance(content, dict):
            raise CheckFailed(f"{relative} must hold a mapping, got {type(content).__name__}")
        return content


def _read_yaml(path: Path) -> Any:
    """Return the content of a YAML or JSON file."""
    return parse_yaml(read_text(path), yaml.SafeLoader)


def is_search_space(path: Path) -> bool:
    """Return True if a YAML file is a hyperparameter search, not a workflow or an overlay."""
    return any(line.startswith("parameters:") for line in path.read_text("utf-8").splitlines())
