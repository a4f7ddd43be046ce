"""Where Python source names modules of a package, found by its syntax; and the same renamed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Mention", "find_mentions", "rename"]

_TYPE_CHECKING = "TYPE_CHECKING"


@dataclass(frozen=True)
class Mention:
    """One place where source names the package.

    Attributes:
        start: Index of the package's name in the source.
        names: Dotted names that are meant there, the package's name first; of
            ``from custom.files import atomic`` they are ``custom.files.atomic`` and no other.
        kind: ``import``, ``attribute`` (``custom.files.atomic.atomic_path``), ``text`` (a string
            that is such a name) or ``typing`` (an import that only type checkers make).
    """

    start: int
    names: tuple[str, ...]
    kind: str


def find_mentions(source: str, package: str) -> list[Mention]:
    """Find every place where source code names a package or a module in it.

    A string counts if it is a dotted name that begins with the package, or the beginning of such
    names (``"custom."``); longer texts, such as docstrings, do not.

    Args:
        source: Python source: a module or an expression.
        package: Name of a top-level package.

    Raises:
        ValueError: If a name is put together when the code runs, so that it cannot be followed.
    """
    tree = ast.parse(source)
    finder = _Finder(source, package, _typing_only(tree))
    return sorted(finder.mentions(tree), key=lambda mention: mention.start)


def rename(source: str, mentions: Sequence[Mention], package: str, new: str) -> str:
    """Return source with the package renamed where it is mentioned."""
    for mention in sorted(mentions, key=lambda found: -found.start):
        end = mention.start + len(package)
        if source[mention.start : end] != package:
            raise ValueError(f"{package!r} does not stand at {mention.start} of the source")
        source = source[: mention.start] + new + source[end:]
    return source


def _typing_only(tree: ast.AST) -> set[ast.AST]:
    """Return the nodes below ``if TYPE_CHECKING:``, which never run."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and _TYPE_CHECKING in (_name(node.test), _attribute(node.test))
        for statement in node.body
        for inner in ast.walk(statement)
    }


def _name(node: ast.expr) -> str | None:
    """Return a bare name."""
    return node.id if isinstance(node, ast.Name) else None


def _attribute(node: ast.expr) -> str | None:
    """Return the last name of an attribute."""
    return node.attr if isinstance(node, ast.Attribute) else None


class _Finder:
    """Positions and names of mentions in one source."""

    def __init__(self, source: str, package: str, typing_only: set[ast.AST]) -> None:
        self.source = source
        self.package = package
        self.typing_only = typing_only
        self.lines = [0]
        for line in source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))
        self.dotted = re.compile(rf"{re.escape(package)}(\.\w+)+|{re.escape(package)}\.")

    def mentions(self, tree: ast.AST) -> Iterator[Mention]:
        """Yield all mentions below a node."""
        inner: set[ast.AST] = set()  # parts of dotted names that were found whole
        for node in ast.walk(tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                yield from self._import(node)
            elif isinstance(node, ast.Attribute) and node not in inner:
                name = _dotted_name(node)
                if name is not None and self._is_inside(name):
                    inner.update(ast.walk(node))
                    yield Mention(self._index(_first(node)), (name,), "attribute")
            elif isinstance(node, ast.JoinedStr):
                self._refuse_joined(node)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from self._text(node, node.value)

    def _import(self, node: ast.Import | ast.ImportFrom) -> Iterator[Mention]:
        """Yield the mention of an import statement."""
        kind = "typing" if node in self.typing_only else "import"
        if isinstance(node, ast.Import):
            for alias in node.names:
                if self._is_inside(alias.name):
                    yield Mention(self._index(alias), (alias.name,), kind)
        elif node.level == 0 and node.module is not None and self._is_inside(node.module):
            names = tuple(
                node.module if alias.name == "*" else f"{node.module}.{alias.name}"
                for alias in node.names
            )
            gap = re.compile(r"from[\s\\]+").match(self.source, self._index(node))
            if gap is None:
                raise ValueError(f"line {node.lineno}: no import statement can be read here")
            yield Mention(gap.end(), names, kind)
        elif node.level:
            raise ValueError(f"line {node.lineno}: a relative import cannot be followed")

    def _text(self, node: ast.Constant, text: str) -> Iterator[Mention]:
        """Yield the mention of a string that is a module's name."""
        if not self.dotted.fullmatch(text):
            return
        opening = re.compile(r"[A-Za-z]*(\"\"\"|'''|\"|')").match(self.source, self._index(node))
        if opening is not None and self.source.startswith(self.package, opening.end()):
            yield Mention(opening.end(), (text,), "text")

    def _refuse_joined(self, node: ast.JoinedStr) -> None:
        """Raise for ``f"custom.{name}"``."""
        first = node.values[0] if node.values else None
        if isinstance(first, ast.Constant) and str(first.value).startswith(f"{self.package}."):
            raise ValueError(f"line {node.lineno}: a name made at run time cannot be followed")

    def _is_inside(self, name: str) -> bool:
        """Say whether a dotted name is the package or something in it."""
        return name == self.package or name.startswith(f"{self.package}.")

    def _index(self, node: ast.expr | ast.stmt | ast.alias) -> int:
        """Return where a node begins, counted in characters; ``ast`` counts bytes of a line."""
        start = self.lines[node.lineno - 1]
        line = self.source[start : self.lines[node.lineno]]
        return start + len(line.encode()[: node.col_offset].decode())


def _dotted_name(node: ast.expr) -> str | None:
    """Return ``a.b.c`` of an attribute of an attribute of a name, or nothing."""
    if isinstance(node, ast.Name):
        return node.id
    inner = _dotted_name(node.value) if isinstance(node, ast.Attribute) else None
    return None if inner is None else f"{inner}.{node.attr}"  # type: ignore[attr-defined]


def _first(node: ast.expr) -> ast.expr:
    """Return the leftmost name of an attribute."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node
