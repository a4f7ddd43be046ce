"""What MONAI passes over in silence when it reads a config is refused here.

MONAI adds an id that no config has, keeps the last of equal keys, takes any text for a boolean, and
rewrites ``#`` in every text. The workflows' configs call :func:`check_config` in ``initialize``, so
that the plain ``python -m monai.bundle run`` is checked as the command line is.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from monai.bundle import ConfigParser, ConfigWorkflow, create_workflow
from monai.bundle.utils import merge_kv

from custom.bundle.config_ids import check_ids, has_value, id_parts, value_at, walk
from custom.bundle.error_line import error_line, explained
from custom.bundle.launch import stopped_code
from custom.bundle.typed_values import CODE, check_kind
from custom.errors import InputError, nearest
from custom.files.text_files import read_unique
from custom.setting_checks import check_above_zero

__all__ = ["bundle_folder", "calling", "check_config", "read_configs"]

Kind = TypeVar("Kind")

_METADATA = "metadata.json"
_OWN_IDS = ("imports", "initialize", "run", "finalize")  # MONAI's


def calling(kind: type[Kind]) -> Iterator[Kind]:
    """Yield the objects of a kind whose methods are running, the innermost first.

    MONAI gives an expression of a config no access to the parser and the workflow that evaluate it.
    """
    frame = inspect.currentframe()
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, kind):
            yield owner
        frame = frame.f_back


def bundle_folder() -> str:
    """Return the folder of the bundle whose config contains this call; else the working folder."""
    for workflow in calling(ConfigWorkflow):
        configs = Path(workflow.config_root_path)
        if (configs / _METADATA).is_file():
            return str(configs.resolve().parent)
    return "."


def read_configs(files: Sequence[str | Path]) -> dict[str, Any]:
    """Read config files as MONAI does, later ones over earlier ones.

    Raises:
        InputError: If a file cannot be read or has a key twice, or an overlay has an id that the
            configs before it do not have, no other config of the bundle has and nothing refers to.
    """
    parser = ConfigParser(config={})
    added: dict[str, str | Path] = {}
    for number, file in enumerate(files):
        for key, value in _read(file).items():
            name = key.removeprefix("+")
            if number:
                value = _overlay_value(parser.get(), name, value, file)
            if number and id_parts(name)[0] not in parser.get():
                added[name] = file
            try:
                merge_kv(parser, key, value)
            except (KeyError, IndexError, ValueError) as error:
                raise InputError(f"{file}: the configs before it have no {name!r}") from error
    content: dict[str, Any] = parser.get()
    unknown = _unknown(content, added, Path(files[0]).parent)
    if unknown:
        raise InputError(f"{added[unknown]}: {_misspelt(unknown, content)}")
    return content


def check_config(bundle_root: str) -> None:
    """Refuse the running config if it has what MONAI passes over; call it in ``initialize``.

    The plain ``python -m monai.bundle run`` then ends with one line for a user's error, as the
    command line does.

    Args:
        bundle_root: Folder of the bundle.

    Raises:
        InputError: If an id is unknown, a text stands for a boolean or a number, a number of the
            list ``above_zero`` is not, a text has lost its ``#``, or :func:`read_configs` refuses
            the files.
    """
    if getattr(sys.modules["__main__"].__spec__, "name", "") == "monai.bundle.__main__":
        sys.excepthook = _say_last
    content: Any = next(calling(ConfigParser)).get()
    files, given = _request()
    if files:
        own = read_configs(files)
        check_ids(own, given)
        for name, value in given.items():
            check_kind(name, value_at(own, name), value)
            if value in ("null", "None"):
                raise InputError(f"{name} is the text {value!r}: write '$None' for no value")
    else:
        unknown = _unknown(content, list(content), Path(bundle_root) / "configs")
        if unknown:
            raise InputError(_misspelt(unknown, content))
    for name in content.get("above_zero", ()):
        if not isinstance(content[name], str):
            check_above_zero(name, content[name])
    for place, value in walk({key: content[key] for key in content if not key.startswith("_")}):
        if isinstance(value, str) and "::" in value and not value.startswith(CODE):
            raise InputError(
                f"{place}: {value!r} has a # or ::, which MONAI takes for a separator: "
                "rename the file, or use mri-bundles"
            )


def _say_last(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Print why MONAI's command ended; its own last line is 'Failed to evaluate'."""
    if isinstance(error, KeyboardInterrupt):
        print("stopped", file=sys.stderr)  # noqa: T201
        raise SystemExit(stopped_code(error))
    known = explained(error)
    if known is None:
        sys.__excepthook__(kind, error, trace)
    print(known or error_line(error), file=sys.stderr)  # noqa: T201


def _request() -> tuple[list[str], dict[str, Any]]:
    """Return the config files and overrides of MONAI's command or ``create_workflow``."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not create_workflow.__code__:
        frame = frame.f_back
    if frame is None or frame.f_locals.get("config_file") is None:
        return [], {}
    files = frame.f_locals["config_file"]
    if isinstance(files, str):
        files = [files] if Path(files).is_file() else files.split(",")
    settings = inspect.signature(ConfigWorkflow).parameters
    given = {k: v for k, v in frame.f_locals["_args"].items() if k not in settings}
    return list(files), given


def _read(file: str | Path) -> dict[str, Any]:
    """Return the content of one file."""
    try:
        content = read_unique(Path(file))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{file}: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: no config: it must hold ids and their values")
    return content


def _unknown(content: Mapping[str, Any], names: Iterable[str], configs: Path) -> str | None:
    """Return the first of some ids that no config of the bundle has and nothing refers to."""
    texts = (value for _, value in walk(content) if isinstance(value, str))
    used = {name for text in texts if text[:1] in CODE for name in re.findall(r"[@%](\w+)", text)}
    names = [name for name in names if id_parts(name)[0] not in used and name[:1] != "_"]
    if not names:
        return None
    files = [file for file in configs.glob("*.[yj]*") if file.name != _METADATA]
    known = {key for file in files for key in _read(file)}.union(_OWN_IDS)
    return next((name for name in names if name not in known), None)


def _overlay_value(content: Mapping[str, Any], name: str, value: Any, file: str | Path) -> Any:
    """Return an overlay's value, a float where it replaces one: a weight's ``0`` is no count.

    A value of another kind is refused, and an id within another that is like one that is there.
    """
    if has_value(content, name):
        own = value_at(content, name)
        try:
            check_kind(name, own, value)
        except InputError as error:
            raise InputError(f"{file}: {error}") from error
        return float(value) if isinstance(own, float) and isinstance(value, int) else value
    *outer, last = id_parts(name)
    try:
        block = value_at(content, "::".join(outer)) if outer else {}
    except LookupError:
        return value
    if isinstance(block, dict) and last not in block and (like := nearest(last, block)):
        raise InputError(f"{file}: unknown config id {name!r}: did you mean {like!r}?")
    return value


def _misspelt(name: str, content: Mapping[str, Any]) -> str:
    """Return what is wrong with an unknown id, in words."""
    like = nearest(name, [key for key in content if key != name])
    return f"unknown config id {name!r}: " + (
        f"did you mean {like!r}?" if like else "no config has it, and nothing refers to it"
    )
