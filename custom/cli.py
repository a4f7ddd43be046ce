"""The command line: ``mri-bundles <verb>``, the same verbs for every bundle."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from custom.bundle.arguments import UsageError
from custom.bundle.launch import stopped_code
from custom.errors import InputError
from custom.files.database_url import without_password
from custom.verbs.deployment import deploy, package
from custom.verbs.parser import call_verb
from custom.verbs.story import demo
from custom.verbs.tools import backbone, report, tune, verify
from custom.verbs.workflows import evaluate, prepare, qc, restore, train

__all__ = ["VERBS", "main"]

VERBS = {
    verb.__name__: verb
    for verb in (
        *(demo, prepare, qc, train, tune, evaluate, restore, verify, report, backbone),
        *(package, deploy),
    )
}


def main(words: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        words: Arguments; those of the process if left out.

    Raises:
        SystemExit: With 0 for success, 1 for an input or a run that failed, 2 for wrong usage, 130
            after Ctrl-C, 143 after SIGTERM.
    """
    arguments = list(sys.argv[1:] if words is None else words)
    try:
        call_verb(VERBS, arguments)
    except UsageError as error:
        _stop(str(error), 2)
    except InputError as error:
        _stop(str(error), 1)
    except KeyboardInterrupt as error:
        _stop("stopped", stopped_code(error))
    except Exception as error:
        if "--traceback" in arguments:
            raise
        from custom.bundle.error_line import error_line, explained

        known = explained(error)
        _stop(str(known or f"{error_line(error)} (--traceback shows where)"), 1)


def _stop(message: str, code: int) -> None:
    """Print one line an error, and end."""
    for line in without_password(message).splitlines():
        print(f"mri-bundles: {line}", file=sys.stderr)  # noqa: T201
    raise SystemExit(code)
