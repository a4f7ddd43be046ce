"""Run a bundle's configs through MONAI, with checked overrides and one-line errors."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from custom.bundle.config_ids import check_ids, check_names
from custom.bundle.error_line import user_error
from custom.bundle.locate import find_config
from custom.bundle.typed_values import as_data, read_words

__all__ = [
    "plain_command",
    "run_bundle",
    "stop_between_steps",
    "stop_on_terminate",
    "stopped_code",
    "users_errors",
]


def run_bundle(bundle: Path, configs: Sequence[str], overrides: Mapping[str, Any]) -> None:
    """Run configs as ``python -m monai.bundle run`` does, in this process.

    Args:
        bundle: Folder of the bundle.
        configs: Names of config files; later ones override earlier ones.
        overrides: Config ids and their new values, nested ids as ``train::trainer::max_epochs``.

    Raises:
        InputError: If a config or an id is unknown, or the run ended in an error of the user's.
        KeyboardInterrupt: If the user stops; with the signal's number if that was SIGTERM.
    """
    # Not above: importing MONAI takes seconds, for which --help need not wait.
    import monai.bundle

    from custom.bundle.config_check import read_configs

    files = find_config(bundle, configs)
    content = read_configs(files)
    check_names(content, f"configs/{Path(files[0]).name}")
    check_ids(content, overrides)
    settings = read_words(content, overrides)
    logging_file = bundle / "configs" / "logging.conf"
    # MONAI logs a page on its own arguments before anything happens.
    logging.getLogger("monai.bundle.scripts").setLevel(logging.WARNING)
    # pydicom, if installed, logs about an NVIDIA decoder that is not needed here.
    logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
    with warnings.catch_warnings(), users_errors(), stop_on_terminate():
        # MONAI warns on every run that configs can hold code; ours are the user's own.
        warnings.filterwarnings("ignore", message="parsing config_file")
        warnings.filterwarnings("ignore", message="NvImgCodecPydicomReader")
        monai.bundle.run(
            config_file=files,
            logging_file=str(logging_file) if logging_file.is_file() else None,
            bundle_root=as_data(str(bundle)),
            # MONAI ignores an override with the value None.
            **{name: "$None" if value is None else value for name, value in settings.items()},
        )


def plain_command(configs: Sequence[str]) -> str:
    """Return the equivalent MONAI command, to be run in the bundle's folder."""
    files = [f"configs/{name}.yaml" for name in configs]
    config = files[0] if len(files) == 1 else '"[' + ",".join(f"'{file}'" for file in files) + ']"'
    return f"python -m monai.bundle run --config_file {config}"


@contextmanager
def stop_on_terminate() -> Iterator[None]:
    """Let SIGTERM stop the process as Ctrl-C does; only the main thread receives signals."""

    def stop(number: int, _: object) -> None:
        # With the number, so that the exit code is 143 and not that of Ctrl-C, 130.
        raise KeyboardInterrupt(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


@contextmanager
def stop_between_steps() -> Iterator[Callable[[], None]]:
    """Let Ctrl-C and SIGTERM wait until the step at hand is done; a second one stops at once.

    What a signal raises just anywhere may be lost, as in a destructor, or leave a lock half taken.

    Yields:
        To be called after each step: raises :class:`KeyboardInterrupt` with the signal's number if
        one has come.
    """
    came: list[int] = []

    def note(number: int, _: object) -> None:
        came.append(number)
        if len(came) > 1:
            stop()

    def stop() -> None:
        if came:
            raise KeyboardInterrupt(came[0])

    heard = [signal.SIGINT, signal.SIGTERM]
    if threading.current_thread() is not threading.main_thread():
        heard = []
    # A process that was started in the background may have to ignore Ctrl-C.
    heard = [number for number in heard if signal.getsignal(number) is not signal.SIG_IGN]
    earlier = {number: signal.signal(number, note) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def stopped_code(error: KeyboardInterrupt) -> int:
    """Return the exit code after Ctrl-C, 130, or after the signal of that number: SIGTERM's 143."""
    return 128 + int(error.args[0] if error.args else signal.SIGINT)


@contextmanager
def users_errors() -> Iterator[None]:
    """Raise the user's error in place of an exception that it caused."""
    try:
        yield
    except Exception as error:
        cause = user_error(error)
        if cause is None:
            raise
        raise cause from error
