"""Which modules of a package, and which of its data files, some names reach."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from custom.deploy.packaging.code_mentions import Mention, find_mentions

__all__ = ["CodeClosure", "PackageTree", "code_closure"]

# A module with one of these names in its code reads files that lie in the package.
_READERS = frozenset({"__file__", "PackageLoader", "files"})


class PackageTree:
    """The source files of one package.

    Args:
        root: Folder of the package; its name is the package's.

    Raises:
        ValueError: If the folder is no package.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.package = self.root.name
        self._mentions: dict[str, list[Mention]] = {}
        if not (self.root / "__init__.py").is_file():
            raise ValueError(f"root must be the folder of a package, got {root}")

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Every module's file by its dotted name."""
        found = {}
        for path in sorted(self.root.rglob("*.py")):
            parts = path.relative_to(self.root.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
        return found

    def module_of(self, name: str) -> str | None:
        """Return the module that a dotted name, of a module or of something in one, lies in."""
        parts = name.split(".")
        while parts and ".".join(parts) not in self.modules:
            parts.pop()
        found = ".".join(parts)
        return found if found and (found != self.package or found == name) else None

    def mentions(self, module: str) -> list[Mention]:
        """Return where a module names others of the package.

        Raises:
            ValueError: If a name cannot be followed, or leads to no module; with the module's name.
        """
        if module in self._mentions:
            return self._mentions[module]
        try:
            found = find_mentions(self.modules[module].read_text(encoding="utf-8"), self.package)
        except ValueError as error:
            raise ValueError(f"{module}: {error}") from error
        for mention in found:
            for name in mention.names:
                if mention.kind == "import" and self.module_of(name) is None:
                    raise ValueError(f"{module}: {name} does not exist")
        self._mentions[module] = [
            mention
            for mention in found
            if mention.kind != "text" or mention.names[0].endswith(".") or self._is_real(mention)
        ]
        return self._mentions[module]

    def _is_real(self, mention: Mention) -> bool:
        """Say whether a string that looks like a module's name is one."""
        return self.module_of(mention.names[0]) is not None


@dataclass(frozen=True)
class CodeClosure:
    """Modules that belong together, and the data files that they read.

    Attributes:
        tree: The package that they are of.
        modules: Dotted names, sorted; packages around a module are among them.
        data: Files, sorted.
    """

    tree: PackageTree
    modules: tuple[str, ...]
    data: tuple[Path, ...]

    @property
    def outside_imports(self) -> dict[str, str]:
        """Top-level packages of others that are imported as a module is, and a module that does.

        Imports within functions are left out: they may be of what is optional.
        """
        found: dict[str, str] = {}
        for module in self.modules:
            source = self.tree.modules[module].read_text(encoding="utf-8")
            for statement in ast.parse(source).body:
                for name in _imported(statement):
                    if name.split(".")[0] != self.tree.package:
                        found.setdefault(name.split(".")[0], module)
        return found


def code_closure(names: Iterable[str], tree: PackageTree) -> CodeClosure:
    """Follow imports, and strings that name modules, from some names on.

    Imports within functions count, those that only type checkers make do not.

    Args:
        names: Dotted names of modules, or of what is in them.
        tree: The package to look in.

    Raises:
        ValueError: If a name leads to no module.
    """
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        module = tree.module_of(name)
        if module is None:
            raise ValueError(f"{name} is in no module of {tree.package}")
        parents = (module.rsplit(".", depth)[0] for depth in range(module.count(".") + 1))
        for part in {module, *parents} - reached:
            reached.add(part)
            waiting += [
                inner
                for mention in tree.mentions(part)
                for inner in mention.names
                if mention.kind != "typing" and tree.module_of(inner) is not None
            ]
    data = {file for module in reached for file in _data_files(tree, module)}
    return CodeClosure(tree, tuple(sorted(reached)), tuple(sorted(data)))


def _data_files(tree: PackageTree, module: str) -> set[Path]:
    """Return the data files that a module names: files or folders in the folders around it."""
    path = tree.modules[module]
    parsed = ast.parse(path.read_text(encoding="utf-8"))
    words = {node.id for node in ast.walk(parsed) if isinstance(node, ast.Name)}
    words |= {node.attr for node in ast.walk(parsed) if isinstance(node, ast.Attribute)}
    if not words & _READERS:
        return set()
    texts = {
        node.value
        for node in ast.walk(parsed)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    around = [folder for folder in path.parents if folder.is_relative_to(tree.root)]
    found: set[Path] = set()
    for text in sorted(text for text in texts if text.strip(" ./") and len(text) < 100):
        for folder in around:
            named = folder / text
            if (named / "__init__.py").is_file():
                continue  # a package of that name
            files = [named] if named.is_file() else sorted(named.rglob("*"))
            found.update(file for file in files if file.is_file() and _is_data(file, tree.root))
    return found


def _is_data(file: Path, root: Path) -> bool:
    """Say whether a file of a package is neither code nor what the interpreter made of it."""
    inside = file.resolve().is_relative_to(root.resolve())
    return inside and file.suffix not in (".py", ".pyc", ".pyi")


def _imported(statement: ast.stmt) -> list[str]:
    """Return the modules that a statement imports."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.module:
        return [statement.module]
    return []
