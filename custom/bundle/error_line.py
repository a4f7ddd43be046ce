"""An exception and its causes in one line: what went wrong, where, and how to mend it."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Mapping
from typing import Any, TypeVar

from custom.errors import InputError, causes, did_you_mean, machine_fault, message_of
from custom.files.database_url import without_password
from custom.files.temporary import TEMPORARY_NAME

__all__ = ["error_line", "explained", "find_cause", "user_error"]

Cause = TypeVar("Cause", bound=BaseException)

# Beginnings of the messages that MONAI puts around what a part or an expression raised.
_EVALUATING = "Failed to evaluate"
_INSTANTIATING = "Failed to instantiate component"
_UNKNOWN = re.compile(r"unexpected keyword argument '(\w+)'")
# Ids of the steps of a run, which say nothing of the place of a fault.
_STEPS = ("run", "initialize", "finalize", "imports")


def find_cause(error: BaseException, kind: type[Cause]) -> Cause | None:
    """Return the first exception of a kind among an exception and its causes."""
    return next((link for link in causes(error) if isinstance(link, kind)), None)


def user_error(error: BaseException) -> InputError | None:
    """Return the user's error among an exception and its causes, if there is one.

    A part of ours that refuses a setting or an array raises a ``ValueError`` that says why. It
    names its own argument; the user reads the config id that the argument is a reference to.
    """
    for link in causes(error):
        if isinstance(link, InputError):
            return link
        if isinstance(link, ValueError) and type(link).__name__ == InputError.__name__:
            return InputError(str(link))  # the class of a packaged bundle's own copy of the code
        # No subclass: an error of decoding or of JSON is no refused argument.
        if type(link) is ValueError and _refused_here(link):
            name, *words = message_of(link).split(" ")
            config = _resolving(error).get("item_config")
            wired = config.get(name) if isinstance(config, dict) else None
            typed = re.fullmatch(r"@(\w+)", wired) if isinstance(wired, str) else None
            return InputError(" ".join([typed[1] if typed else name, *words]))
    return None


def explained(error: BaseException) -> InputError | None:
    """Return the user's error, or that of the machine or of a setting, in words of its own.

    Besides :func:`user_error` these are errors of the file system and of memory, and a setting that
    a part of another package refuses, or does not know, while the config is made into parts.
    """
    known = user_error(error)
    if known is not None:
        return known
    outer, cause = _beneath(error)
    # Libraries wrap errors of memory.
    for link in (cause, *(link for link in causes(error) if not isinstance(link, OSError))):
        if words := machine_fault(link):
            return InputError(TEMPORARY_NAME.sub("", words))
    if _INSTANTIATING in str(outer) and isinstance(cause, (TypeError, ValueError)):
        return InputError(f"{config_id(error)}: {_unknown_setting(cause) or message_of(cause)}")
    return None


def error_line(error: BaseException) -> str:
    """Return an error as one line: in its own words, else with the config id, type and message.

    A password in a URL is not shown.
    """
    line = str(explained(error) or "")
    if not line:
        place = config_id(error)
        _, cause = _beneath(error)
        line = f"{place}: " * bool(place) + f"{type(cause).__name__}: {message_of(cause)}"
    return without_password(" ".join(line.split()))


def config_id(error: BaseException) -> str:
    """Return the innermost config id that was made into a part when an error was raised, or ''."""
    found = str(_resolving(error).get("id", ""))
    return "" if found.partition("::")[0] in _STEPS else found


def _resolving(error: BaseException) -> Mapping[str, Any]:
    """Return MONAI's variables at the innermost config id that it made into a part, or nothing."""
    found: Mapping[str, Any] = {}
    for link in causes(error):
        frames = [frame for frame, _ in traceback.walk_tb(link.__traceback__)]
        made = [frame for frame in frames if frame.f_code.co_name == "_resolve_one_item"]
        found = made[-1].f_locals if made else found
    return found


def _beneath(error: BaseException) -> tuple[BaseException | None, BaseException]:
    """Return MONAI's innermost wrapper, if there is one, and the exception that it is around."""
    outer = None
    while str(error).startswith((_EVALUATING, _INSTANTIATING)) and error.__cause__ is not None:
        outer, error = error, error.__cause__
    return outer, error


def _unknown_setting(error: BaseException) -> str | None:
    """Return what is wrong with an argument that a part does not have, in words."""
    found = _UNKNOWN.search(str(error))
    *_, last = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    part: Any = last.f_locals.get("component")
    if found is None or last.f_code.co_name != "instantiate" or part is None:
        return None
    advice = did_you_mean(found[1], inspect.signature(part).parameters)
    return f"{part.__name__} has no argument {found[1]!r}{advice}"


def _refused_here(error: BaseException) -> bool:
    """Return True if an exception was raised by our own code."""
    frames = list(traceback.walk_tb(error.__traceback__))
    own = __name__.partition(".")[0]  # a packaged bundle calls this package otherwise
    module = str(frames[-1][0].f_globals.get("__name__", "")) if frames else ""
    return module.startswith(f"{own}.")
