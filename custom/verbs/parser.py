"""The command line's parser: flags and help are made of the verbs' signatures and docstrings."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from custom.bundle.arguments import UsageError
from custom.bundle.typed_values import TypedWords, literal, truth

__all__ = ["call_verb"]

PROGRAM = "mri-bundles"
_ID = "config id "  # before the name of a config id in the parsed arguments
_TRACEBACK = "--traceback"


def call_verb(verbs: Mapping[str, Callable[..., None]], words: Sequence[str]) -> None:
    """Call the verb that a command names.

    Paths and names reach it as they were typed, booleans as booleans, and the words behind the
    flags that it does not have as :class:`TypedWords`, if it takes config ids.

    Args:
        verbs: Functions by name: their positional parameters are words, the others flags.
        words: The command without the program's name.

    Raises:
        UsageError: If the command was typed wrongly.
        SystemExit: After ``--help``.
    """
    parser = _Parser(PROGRAM, description="MRI restoration models as MONAI Bundles.")
    inner = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in verbs.items():
        _add_verb(inner, name, verb, [word for word in words[1:] if words[0] == name])
    if not words:
        words = ["--help"]
    arguments, surplus = parser.parse_known_args(words)
    if surplus:
        raise UsageError(f"unexpected {' '.join(surplus)!r}: see {PROGRAM} {words[0]} --help")
    settings = {name: value for name, value in vars(arguments).items() if value is not None}
    verb = verbs[settings.pop("verb")]
    settings.pop("traceback", None)
    ids = {name: value for name, value in settings.items() if name.startswith(_ID)}
    settings = {name: value for name, value in settings.items() if name not in ids}
    positional = [
        settings.pop(name)
        for name, parameter in inspect.signature(verb).parameters.items()
        if _is_word(parameter) and name in settings
    ]
    overrides = {name.removeprefix(_ID): TypedWords(value) for name, value in ids.items()}
    verb(*positional, **settings, **overrides)


class _Parser(argparse.ArgumentParser):
    """A parser that takes whole flags only, and raises its errors."""

    def __init__(self, prog: str | None = None, **settings: Any) -> None:
        settings |= {"allow_abbrev": False, "argument_default": argparse.SUPPRESS}
        super().__init__(prog, **settings, formatter_class=argparse.RawDescriptionHelpFormatter)
        # Before Python 3.14 argparse takes -1e-3 and -5. for flags.
        self._negative_number_matcher = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")

    def error(self, message: str) -> NoReturn:
        message = re.sub(r": expected (one|at least one) argument", " needs a value", message)
        message = re.sub(r"^argument ([^:]+):?", r"\1", message)
        raise UsageError(f"{message}: see {self.prog} --help")


class _Once(argparse.Action):
    """Take a flag's value, once."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        if hasattr(namespace, self.dest):
            raise UsageError(f"{option_string} is given twice")
        setattr(namespace, self.dest, values)


def _add_verb(inner: Any, name: str, verb: Callable[..., None], words: Sequence[str]) -> None:
    """Add a verb with its flags, and those of the words that are config ids."""
    about, _, listed = inspect.cleandoc(verb.__doc__ or "").partition("\nArgs:\n")
    found = re.findall(r"^    (\w+): ((?:.|\n(?!    \w+:))*)", listed, re.MULTILINE)
    helps = {key: " ".join(text.split()).replace("%", "%%") for key, text in found}
    parser = inner.add_parser(
        name,
        help=about.partition("\n")[0],
        description=about,
        epilog=f"--ID VALUE: {helps['overrides']}" if "overrides" in helps else None,
    )
    parameters = inspect.signature(verb, eval_str=True).parameters
    for parameter in parameters.values():
        if parameter.kind is not parameter.VAR_KEYWORD:
            _add_argument(parser, parameter, helps.get(parameter.name))
    parser.add_argument(_TRACEBACK, action="store_true", help="Show where an error came from.")
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        flags = {word.partition("=")[0] for word in words if word.startswith("--") and word != "--"}
        for flag in flags - set(parser._option_string_actions):
            dest = _ID + flag[2:].replace("-", "_")
            parser.add_argument(flag, dest=dest, nargs="*", action="extend", help=argparse.SUPPRESS)


def _add_argument(parser: Any, parameter: inspect.Parameter, about: str | None) -> None:
    """Add one parameter of a verb."""
    name, kind = parameter.name, str(parameter.annotation)
    needed = parameter.default is parameter.empty
    if _is_word(parameter):
        more: dict[str, Any] = {} if needed else {"nargs": "?"}
        parser.add_argument(name, metavar=name.upper(), help=about, **more)
        return
    said = name.rstrip("_")  # from_ is --from, which cannot be the name of a parameter
    flags = list(dict.fromkeys([f"--{said}", f"--{said.replace('_', '-')}"]))
    settings: dict[str, Any] = {"help": about, "dest": name, "required": needed, "action": _Once}
    settings["metavar"] = said.upper()
    if kind == str(bool):
        settings |= {"nargs": "?", "const": True, "type": _boolean, "metavar": "BOOL"}
    elif "Sequence" in kind:
        settings |= {"nargs": "+", "action": _Listed}
    elif "int" in kind:
        settings |= {"type": _whole}
    parser.add_argument(*flags, **settings)


class _Listed(argparse.Action):
    """Collect the values of a flag that may be repeated, take several, or a list in one word."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: Any = None) -> None:
        before = list(getattr(namespace, self.dest, []))
        for word in values:
            listed = [] if Path(word).exists() else literal(word)
            several = isinstance(listed, list) and all(isinstance(name, str) for name in listed)
            before += listed if several and listed else [word]
        setattr(namespace, self.dest, before)


def _is_word(parameter: inspect.Parameter) -> bool:
    """Return True for a parameter that is given by its place."""
    return parameter.kind is parameter.POSITIONAL_OR_KEYWORD


def _boolean(word: str) -> bool:
    """Return a boolean."""
    answer = truth(word)
    if answer is None:
        raise argparse.ArgumentTypeError(f"takes true or false, got {word!r}")
    return answer


def _whole(word: str) -> int:
    """Return a whole number."""
    try:
        return int(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"takes a whole number, got {word!r}") from None
