"""Versions of the packages that a result depends on."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

__all__ = ["package_versions"]


def package_versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the version of Python and of each package.

    Args:
        packages: Names as on the package index. One that is not installed as a package (a
            packaged bundle carries ``custom`` inside) is said to be so.
    """
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found
