"""The command line, in this process."""

from custom.cli import main


def run(*words):
    """Return the exit code of a command."""
    try:
        main(list(words))
    except SystemExit as stop:
        return stop.code or 0
    return 0
