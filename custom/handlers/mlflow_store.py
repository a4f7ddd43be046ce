"""Reach an MLflow store without waiting for it."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from monai.handlers import MLFlowHandler
from monai.utils import optional_import

from custom.errors import InputError
from custom.files.database_url import (
    check_driver,
    make_sqlite,
    sqlite_file,
    sqlite_url,
    without_password,
)

__all__ = ["Outbox", "be_brief", "check_address", "one_line", "open_store", "temporary"]

logger = logging.getLogger(__name__)

# MLflow's own are 120 s, and seven repetitions of it. A user's own setting wins.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    # It prints the server's address, with the password that may be in it.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# They report each of many attempts; the outbox says it once.
_LOUD = ("mlflow.store.db.utils", "urllib3.connectionpool")
_DATABASES = ("postgres", "mysql", "mariadb", "mssql", "sqlite")
_PAUSE_SECONDS = 30


def check_address(tracking_uri: str) -> None:
    """Refuse an address that no store can have; a store that is away is no error.

    Args:
        tracking_uri: Store to use unless ``MLFLOW_TRACKING_URI`` names one.

    Raises:
        InputError: If MLflow or a database's driver is missing, or the address is none.
    """
    if not optional_import("mlflow")[1]:
        raise InputError("mlflow is not installed: pip install mlflow, or give --use_mlflow False")
    uri = os.environ.get("MLFLOW_TRACKING_URI") or tracking_uri
    try:
        if "://" not in uri or uri.startswith("file:"):
            raise InputError(
                f"{without_password(uri)!r} is no address of a store: write sqlite:///FILE "
                "(MLflow 3 keeps none in folders), http://SERVER or databricks://PROFILE"
            )
        if uri.startswith(_DATABASES):
            check_driver(uri)
    except InputError as error:
        raise InputError(
            f"MLflow cannot be used ({error}): mend MLFLOW_TRACKING_URI or --tracking_uri, or "
            "give --use_mlflow False"
        ) from error


def open_store(tracking_uri: str, experiment_name: str) -> MLFlowHandler:
    """Open a store and its experiment; a new SQLite file is made whole or not at all.

    Args:
        tracking_uri: Store to use unless ``MLFLOW_TRACKING_URI`` names one.
        experiment_name: The experiment; it is made if it is not there.

    Returns:
        MONAI's handler with its ``client`` and ``experiment``. Artifacts of an SQLite file go to
        ``mlruns`` beside it.
    """
    be_brief()
    given = os.environ.get("MLFLOW_TRACKING_URI")
    uri, artifacts = given or tracking_uri, None
    file = sqlite_file(uri)
    if file is not None:
        file = file.absolute()
        make_sqlite(file, _make_tables)
        uri, artifacts = sqlite_url(file), (file.parent / "mlruns").as_uri()
    if given:
        os.environ["MLFLOW_TRACKING_URI"] = uri  # MONAI and MLflow read it themselves
    store = MLFlowHandler(uri, experiment_name=experiment_name, artifact_location=artifacts)
    store._set_experiment()  # type: ignore[no-untyped-call]
    if file is not None:
        _remove_misread(uri, file)
    return store


def be_brief() -> None:
    """Let MLflow give up a server soon, and say little."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _make_tables(uri: str) -> None:
    """Make MLflow's tables in a new database."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    SqlAlchemyStore(uri, "mlruns").engine.dispose()  # type: ignore[no-untyped-call]


def _remove_misread(uri: str, file: Path) -> None:
    """Remove the empty folder that MLflow makes of an address without reading its escapes."""
    folder = Path(uri.removeprefix("sqlite:///")).parent
    while folder not in (file.parent, *file.parent.parents) and folder.is_dir():
        if any(folder.iterdir()):
            return
        folder.rmdir()
        folder = folder.parent


def temporary(error: Exception) -> bool:
    """Return True if a call to MLflow failed for a reason that may go away by itself."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    if isinstance(error, MlflowException):
        status: int = error.get_http_status_code()  # type: ignore[no-untyped-call]
        return status >= 500 or status == 429
    return isinstance(error, (OSError, SQLAlchemyError)) and not isinstance(
        error, FileNotFoundError
    )


def one_line(error: Exception) -> str:
    """Return an error's reason as one line, without passwords."""
    return without_password(" ".join(str(error).split()))[:300]


class Outbox:
    """Calls to MLflow, made one after another by a thread of their own.

    Whoever adds a call does not wait for the store. A call that fails because the store cannot be
    reached stays the first in line and is repeated; one that the store refuses is dropped. Both are
    said once.
    """

    def __init__(self) -> None:
        self._calls: deque[Callable[[], object]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._attempts = 0
        self._away = self._urgent = self._closed = False
        self._said: set[str] = set()

    def put(self, call: Callable[[], object]) -> None:
        """Add a call; a closed outbox takes none."""
        with self._changed:
            if self._closed:
                return
            self._calls.append(call)
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True, name="mlflow")
                self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until all calls are made, one fails, or none has ended for some seconds.

        Returns:
            True if all are made.
        """
        with self._changed:
            self._urgent = True
            self._changed.notify_all()
            while self._calls:
                ended = self._changed.wait_for(self._another_ended(), seconds)
                if not ended or self._away:
                    break
            return not self._calls

    def _another_ended(self) -> Callable[[], bool]:
        """Return what becomes true when one more call has ended, well or not."""
        seen = self._attempts
        return lambda: self._attempts != seen

    def close(self, seconds: float) -> None:
        """Wait as :meth:`wait` does, say what could not be sent, and end the thread."""
        if not self._closed and not self.wait(seconds):
            logger.warning("%d entries could not be sent to MLflow", len(self._calls))
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _work(self) -> None:
        """Make the calls, until the outbox is closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or bool(self._calls))
                if self._away:
                    self._changed.wait_for(lambda: self._closed or self._urgent, _PAUSE_SECONDS)
                if self._closed:
                    return
                self._urgent = False
                call = self._calls[0]
            away = not self._made(call)
            with self._changed:
                if not away:
                    self._calls.popleft()
                self._away = away
                self._attempts += 1
                self._changed.notify_all()

    def _made(self, call: Callable[[], object]) -> bool:
        """Make a call, and return False if it is to be repeated."""
        try:
            call()
        except Exception as error:
            if temporary(error):
                self._say("MLflow cannot be reached (%s): entries are kept and sent later", error)
                return False
            self._say("MLflow refused an entry (%s): it is missing there", error)
        return True

    def _say(self, text: str, error: Exception) -> None:
        """Log a kind of failure when it comes for the first time."""
        if text not in self._said:
            logger.warning(text, one_line(error))
            self._said.add(text)
