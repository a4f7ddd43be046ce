"""The part of this package that an archive contains, under a unique name."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

__all__ = ["SourceTree", "own_tree"]

_NO_DATA = (".py", ".pyc", ".pyi")


class SourceTree:
    """The source of one package: the modules that some names reach, and a copy of only these.

    A module reaches the modules that it imports, also within functions, and those that one of its
    strings names in full (``PackageLoader("custom.report")``). Imports must be absolute, and no
    module's name may be composed at run time; a test enforces this.

    Args:
        root: Folder of the package; its name is the package's.

    Attributes:
        modules: Every module's file by its dotted name.

    Raises:
        ValueError: If the folder is no package.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.package = self.root.name
        if not (self.root / "__init__.py").is_file():
            raise ValueError(f"root must be the folder of a package, got {root}")
        self.modules = {}
        for file in sorted(self.root.rglob("*.py")):
            parts = file.relative_to(self.root.parent).with_suffix("").parts
            self.modules[".".join(parts).removesuffix(".__init__")] = file
        # Not at the end of another name, as in my_custom.x or other.custom.x.
        self._dotted = re.compile(rf"(?<![\w.]){re.escape(self.package)}((?:\.\w+)+)")

    def module_of(self, name: str) -> str | None:
        """Return the module that a dotted name, of a module or of something in one, lies in."""
        if name in self.modules:
            return name
        outer = name.rpartition(".")[0]
        return self.module_of(outer) if "." in outer else None

    def names_in(self, code: str) -> set[str]:
        """Return the modules that an expression names; ``from a import b`` names ``a.b``."""
        code = re.sub(r"from\s+([\w.]+)\s+import\s+(\w+)", r"\1.\2", code)
        found = {self.module_of(match[0]) for match in self._dotted.finditer(code)}
        return {module for module in found if module is not None}

    def renamed(self, text: str, new: str) -> str:
        """Return code, comments included, with the package renamed where it names a module."""
        return self._dotted.sub(
            lambda name: new + name[1] if self.module_of(name[0]) else name[0], text
        )

    def reached(self, names: Iterable[str]) -> list[str]:
        """Follow imports from some names on; return all modules, and the packages around them.

        Args:
            names: Dotted names of modules, or of what is in them.

        Raises:
            ValueError: If a name leads to no module.
        """
        reached: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            module = self.module_of(name)
            if module is None:
                raise ValueError(f"{name} is in no module of {self.package}")
            around = (module.rsplit(".", depth)[0] for depth in range(module.count(".") + 1))
            for part in set(around) - reached:
                reached.add(part)
                tree = ast.parse(self.modules[part].read_text(encoding="utf-8"))
                nodes = [*ast.walk(tree)]
                texts = [node.value for node in nodes if isinstance(node, ast.Constant)]
                named = [text for text in texts if isinstance(text, str)]
                named = [*_imported(nodes), *filter(self._dotted.fullmatch, named)]
                waiting += filter(self.module_of, named)
        return sorted(reached)

    def outside_imports(self, modules: Iterable[str]) -> dict[str, str]:
        """Return the packages of others that are imported as a module is, and a module that does.

        Imports within functions are left out: they may be of what is optional.
        """
        found: dict[str, str] = {}
        for module in modules:
            tree = ast.parse(self.modules[module].read_text(encoding="utf-8"))
            for name in _imported(tree.body):
                found.setdefault(name.split(".")[0], module)
        found.pop(self.package, None)
        return found

    def copy(self, modules: Iterable[str], folder: str | Path, prefix: str) -> str:
        """Copy modules, and the data files in the packages among them, as a package.

        Args:
            modules: Dotted names, of :meth:`reached`.
            folder: Existing folder that the copy is written into.
            prefix: Start of the copy's name. It ends with a hash of the contents, so that copies
                with the same name in one process are identical.

        Returns:
            The name of the copy.
        """
        content = {file: file.read_bytes() for file in self._files(set(modules))}
        digest = hashlib.sha256()
        for file, data in content.items():
            name = file.relative_to(self.root).as_posix()
            digest.update(f"{name} {hashlib.sha256(data).hexdigest()}\n".encode())
        # A module's name begins with no digit and holds no hyphen.
        package = f"{re.sub(r'[^A-Za-z0-9_]|^(?=[0-9])', '_', prefix)}_{digest.hexdigest()[:8]}"
        for file, data in content.items():
            target = Path(folder) / package / file.relative_to(self.root)
            target.parent.mkdir(parents=True, exist_ok=True)
            is_code = file.suffix == ".py"
            target.write_bytes(self.renamed(data.decode(), package).encode() if is_code else data)
        return package

    def _files(self, modules: set[str]) -> list[Path]:
        """Return the files of modules, and those that lie in the packages among them."""
        code = {self.modules[module] for module in modules}
        data = (
            file
            for file in self.root.rglob("*")
            if file.is_file() and file.suffix not in _NO_DATA and _init_above(file) in code
        )
        return sorted({*code, *data})


def _imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Yield the dotted names that import statements name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _init_above(file: Path) -> Path:
    """Return the ``__init__.py`` of the package that a file lies in."""
    return next(init for folder in file.parents if (init := folder / "__init__.py").is_file())


@cache
def own_tree() -> SourceTree:
    """Return the source of this package, read once."""
    return SourceTree(Path(__file__).resolve().parents[2])
