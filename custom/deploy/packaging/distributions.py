"""The packages that a bundle declares, and all their requirements."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from custom.bundle.verification.checks_files import CORE_PACKAGES
from custom.errors import InputError

__all__ = ["Package", "declared_packages", "package_closure", "top_level_names"]


@dataclass
class Package:
    """An installed package and its requirements.

    Attributes:
        name: Normalised name.
        found: The installed distribution.
        extras: Requested extras.
        needs: Normalised names of the packages that it requires with these extras.
    """

    name: str
    found: Distribution
    extras: set[str] = field(default_factory=set)
    needs: set[str] = field(default_factory=set)


def declared_packages(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return name and version of each package that a bundle's metadata declare, sorted."""
    declared = {package: metadata.get(key) for key, package in CORE_PACKAGES.items()}
    declared |= metadata.get("required_packages_version", {})
    return {name: str(declared[name]) for name in sorted(declared) if declared[name]}


def package_closure(requirements: Iterable[str]) -> dict[str, Package]:
    """Follow requirements through the installed packages, for this interpreter and system.

    Args:
        requirements: As in a requirements file, ``fsspec[http]>=2024``.

    Returns:
        Packages by normalised name, sorted.

    Raises:
        InputError: If a package is not installed.
    """
    found: dict[str, Package] = {}
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        # A further extra may bring requirements that were not followed yet.
        if name in found and requirement.extras <= found[name].extras:
            continue
        if name not in found:
            try:
                found[name] = Package(name, distribution(name))
            except PackageNotFoundError as error:
                raise InputError(f"{name} is not installed: pip install '{requirement}'") from error
        package = found[name]
        package.extras |= requirement.extras
        wanted = _needs(package)
        package.needs |= {canonicalize_name(need.name) for need in wanted}
        waiting += wanted
    return dict(sorted(found.items()))


def top_level_names(package: Package) -> set[str]:
    """Return the names under which a package's modules are imported."""
    names = set()
    for file in package.found.files or ():
        first, *rest = file.parts
        # Scripts are recorded as ../../bin/name.
        if rest and not first.endswith((".dist-info", ".data")) and first != "..":
            names.add(first)
        elif not rest and re.search(r"\.(py|so|pyd)$", first):
            names.add(first.split(".")[0])
    return names


def _needs(package: Package) -> list[Requirement]:
    """Return the requirements of a package here, with its requested extras."""
    wanted = []
    for text in package.found.requires or ():
        need = Requirement(text)
        if need.marker is None or any(
            need.marker.evaluate({"extra": extra}) for extra in ("", *package.extras)
        ):
            wanted.append(need)
    return wanted
