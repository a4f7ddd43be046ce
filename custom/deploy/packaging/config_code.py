"""Which of this package's code the configs of a bundle name, and the same configs renamed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from custom.bundle.verification.checks_text import walk
from custom.deploy.packaging.code_closure import PackageTree
from custom.deploy.packaging.code_mentions import Mention, find_mentions, rename

__all__ = ["code_imports", "names_in_configs", "renamed_content", "renamed_text"]

_REFERENCE = re.compile(r"[@%][\w:#]+")


def names_in_configs(configs: Iterable[Any], package: str) -> set[str]:
    """Return the dotted names that configs need of a package.

    These are values of ``_target_``, and imports, attributes and strings in ``$`` expressions.

    Args:
        configs: Contents of config files.
        package: Name of the package.

    Raises:
        ValueError: If an expression is no Python, with its place.
    """
    return {
        name
        for content in configs
        for value, mentions in _code(content, package)
        for mention in mentions
        for name in mention.names
        if not name.endswith(".")
    }


def code_imports(configs: Iterable[Any], package: str) -> list[str]:
    """Return the import statements of configs that take something from a package, sorted.

    Raises:
        ValueError: If two of them give one name to different things.
    """
    found: dict[str, str] = {}
    for content in configs:
        for value, mentions in _code(content, package):
            if value.startswith("$") and any(mention.kind == "import" for mention in mentions):
                bound = value.split()[-1]
                if found.setdefault(bound, value) != value:
                    raise ValueError(f"{bound!r} means {value!r} in one config, another elsewhere")
    return sorted(found.values())


def renamed_content(content: Any, package: str, new: str) -> Any:
    """Return a config's content with the package renamed where its code names it."""
    if isinstance(content, dict):
        return {
            key: _renamed(value, package, new, key == "_target_")
            if isinstance(value, str)
            else renamed_content(value, package, new)
            for key, value in content.items()
        }
    if isinstance(content, list):
        return [renamed_content(value, package, new) for value in content]
    return _renamed(content, package, new, False) if isinstance(content, str) else content


def renamed_text(text: str, tree: PackageTree, new: str) -> str:
    """Return the text of a config, comments included, with the package renamed.

    Renamed are dotted names that lead to a module.
    """
    pattern = re.compile(rf"(?<![\w.]){re.escape(tree.package)}((?:\.\w+)+)")
    return pattern.sub(
        lambda found: new + found[1] if tree.module_of(found[0]) is not None else found[0], text
    )


def _code(content: Any, package: str) -> Iterator[tuple[str, list[Mention]]]:
    """Yield every value of a config that is code, with where it mentions the package."""
    for place, value in walk(content):
        if isinstance(value, str):
            try:
                mentions = _mentions(value, package, place.split("::")[-1] == "_target_")
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from error
            if mentions:
                yield value, mentions


def _mentions(value: str, package: str, is_target: bool) -> list[Mention]:
    """Return where a value of a config mentions the package."""
    if not value.startswith("$"):
        inside = is_target and value.startswith(f"{package}.")
        return [Mention(0, (value,), "attribute")] if inside else []
    if package not in value:
        return []
    # A reference is no Python; a name as long keeps everything in its place.
    source = _REFERENCE.sub(lambda found: "_" * len(found[0]), value[1:])
    indent = len(source) - len(source.lstrip())
    try:
        found = find_mentions(source[indent:], package)
    except SyntaxError as error:
        raise ValueError(f"{value!r} is no expression: {error.msg}") from error
    return [Mention(mention.start + indent + 1, mention.names, mention.kind) for mention in found]


def _renamed(value: str, package: str, new: str, is_target: bool) -> str:
    """Return one value with the package renamed."""
    return rename(value, _mentions(value, package, is_target), package, new)
