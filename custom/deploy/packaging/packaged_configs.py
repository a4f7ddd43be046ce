"""Configs that run from any folder: they find the bundle they lie in, and its own code.

MONAI 1.6.1 uses ``bundle_root`` unchanged, and lets a bundle's own code be imported only after the
workflow was initialised, when imports were already tried. A packaged config therefore finds its
folder among the callers, as MONAI gives expressions no access to the workflow; puts its bundle on
the import path first in ``initialize``; and repeats the imports there. MONAI evaluates imports
before any other entry, ignores a failed one, and tries those in ``initialize`` again after each of
its entries.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from custom.bundle.config_ids import walk
from custom.deploy.packaging.vendored_code import SourceTree

__all__ = ["BUNDLE_ROOT", "code_imports", "modules_in_configs", "packaged_content", "write_config"]

BUNDLE_ROOT = (
    "$next((str(call.frame.f_locals['self'].config_root_path.parent) for call in inspect.stack(0) "
    "if isinstance(call.frame.f_locals.get('self'), monai.bundle.ConfigWorkflow)), '.')"
)
_IMPORTS = ("$import inspect", "$import sys")
_FIND_CODE = "$sys.path.append(str(@bundle_root))"


def modules_in_configs(configs: Iterable[Any], tree: SourceTree) -> set[str]:
    """Return the modules of a package that ``_target_`` and ``$`` expressions of configs name."""
    return {module for code in _code(configs) for module in tree.names_in(code)}


def code_imports(configs: Iterable[Any], tree: SourceTree) -> list[str]:
    """Return the import statements of configs that import from a package, sorted.

    Raises:
        ValueError: If two of them bind one name to different objects.
    """
    found: dict[str, str] = {}
    for code in _code(configs):
        if code.startswith(("$from ", "$import ")) and tree.names_in(code):
            bound = code.split()[-1]
            if found.setdefault(bound, code) != code:
                raise ValueError(f"{bound!r} means {code!r} in one config, another elsewhere")
    return sorted(found.values())


def packaged_content(
    content: Mapping[str, Any], tree: SourceTree, new: str, imports: list[str]
) -> dict[str, Any]:
    """Return a config's content as it is packaged.

    Args:
        content: The config as it was written.
        tree: The package that its code is taken from.
        new: Name of the copy in the archive.
        imports: All import statements of that code in the bundle's configs: an overlay that has
            ``initialize`` replaces that of the config below it.
    """
    own = code_imports([content], tree) if "bundle_root" in content else imports
    result: dict[str, Any] = dict(content)
    if content.get("bundle_root") in (".", "$bundle_folder()"):
        result["bundle_root"] = BUNDLE_ROOT
        result["imports"] = [*_IMPORTS, *content.get("imports", [])]
    if "bundle_root" in content or "initialize" in content:
        first = content.get("initialize", [])
        entries = first if isinstance(first, list) else [first]
        result["initialize"] = [_FIND_CODE, *own, *entries]
    renamed: dict[str, Any] = _renamed(result, tree, new)
    return renamed


def write_config(
    source: Path, folder: Path, tree: SourceTree, new: str, imports: list[str]
) -> None:
    """Write a config as it is packaged: YAML with its comments, and a JSON twin for MONAI's tools.

    The arguments are those of :func:`packaged_content`; ``folder`` exists.

    Raises:
        ValueError: If JSON cannot hold the content of the YAML.
    """
    from monai.bundle import ConfigParser

    content = ConfigParser.load_config_file(str(source))
    wanted = packaged_content(content, tree, new, imports)
    twin = json.dumps(wanted, indent=2, ensure_ascii=False) + "\n"
    if json.loads(twin) != wanted:
        raise ValueError(f"{source.name} holds what JSON cannot: a key that is no text, or a date")
    (folder / f"{source.stem}.json").write_text(twin, encoding="utf-8")
    if source.suffix in (".yaml", ".yml"):
        text = _edited(source.read_text(encoding="utf-8"), content, wanted, tree, new)
        (folder / source.name).write_text(text, encoding="utf-8")


def _code(configs: Iterable[Any]) -> Iterator[str]:
    """Yield every value of configs that is an expression or a target."""
    for content in configs:
        for place, value in walk(content):
            if isinstance(value, str) and (value.startswith("$") or place.endswith("_target_")):
                yield value


def _renamed(content: Any, tree: SourceTree, new: str) -> Any:
    """Return a config's content with the package renamed in every text."""
    if isinstance(content, dict):
        return {key: _renamed(value, tree, new) for key, value in content.items()}
    if isinstance(content, list):
        return [_renamed(value, tree, new) for value in content]
    return tree.renamed(content, new) if isinstance(content, str) else content


def _edited(
    text: str, content: Mapping[str, Any], wanted: Mapping[str, Any], tree: SourceTree, new: str
) -> str:
    """Return YAML with the wanted content, and the comments of the original where possible."""
    changed = {
        key: yaml.safe_dump({key: wanted[key]}, allow_unicode=True, width=10_000).rstrip("\n")
        for key in ("bundle_root", "imports", "initialize")
        if wanted.get(key) != content.get(key)
    }
    root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    for name, value in reversed(root.value):  # from below, so that what is above stays in place
        if name.value in changed:
            # For a block list, the parser's end mark is the start of the next key.
            is_block = isinstance(value, yaml.SequenceNode) and not value.flow_style
            last = value.value[-1] if is_block else value
            entry = changed.pop(name.value)
            text = text[: name.start_mark.index] + entry + text[last.end_mark.index :]
    edited = tree.renamed("\n".join([text, *changed.values(), ""]), new)
    # An unusual layout can defeat the editing; then the content counts, not its comments.
    if yaml.safe_load(edited) == wanted:
        return edited
    return yaml.safe_dump(dict(wanted), sort_keys=False, allow_unicode=True, width=100)
