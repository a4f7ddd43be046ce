"""Copy a part of this package into a folder, under a name that no other copy has."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import custom
from custom.deploy.packaging.code_closure import CodeClosure, PackageTree, code_closure
from custom.deploy.packaging.code_mentions import rename

__all__ = ["own_tree", "vendor", "vendored_name", "write_closure"]


@cache
def own_tree() -> PackageTree:
    """Return the source of this package, read once."""
    return PackageTree(Path(str(custom.__file__)).resolve().parent)


def vendor(names: Iterable[str], folder: str | Path, package: str) -> list[str]:
    """Copy what some names of this package reach, and nothing else, as a package of another name.

    The name is changed wherever code names the package: in imports, in attributes and in strings
    that are a module's name. Two copies in one process thus share nothing.

    Args:
        names: Dotted names of modules of this package, or of what is in them.
        folder: Existing folder that the copy is written into.
        package: Name of the copy, for example of :func:`vendored_name`.

    Returns:
        Dotted names of the copied modules, sorted.

    Raises:
        ValueError: If a name leads to no module, or ``package`` is no name of a package.
    """
    return write_closure(code_closure(names, own_tree()), folder, package)


def vendored_name(prefix: str, closure: CodeClosure) -> str:
    """Return a package's name that goes with the contents: the same code has the same name.

    Args:
        prefix: What the name begins with; what cannot stand in a name becomes ``_``.
        closure: The code.
    """
    digest = hashlib.sha256()
    root = closure.tree.root
    for path in sorted({*(closure.tree.modules[name] for name in closure.modules), *closure.data}):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{path.relative_to(root).as_posix()} {content}\n".encode())
    return f"{re.sub(r'[^A-Za-z0-9_]', '_', prefix)}_{digest.hexdigest()[:8]}"


def write_closure(closure: CodeClosure, folder: str | Path, package: str) -> list[str]:
    """Write the modules and data files of a closure as a package; see :func:`vendor`."""
    if not package.isidentifier():
        raise ValueError(f"package must be a name that can be imported, got {package!r}")
    tree = closure.tree
    target = Path(folder) / package
    for module in closure.modules:
        path = tree.modules[module]
        source = path.read_text(encoding="utf-8")
        renamed = rename(source, tree.mentions(module), tree.package, package)
        copy = target / path.relative_to(tree.root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(renamed, encoding="utf-8")
    for file in closure.data:
        copy = target / file.relative_to(tree.root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    return sorted(package + module.removeprefix(tree.package) for module in closure.modules)
