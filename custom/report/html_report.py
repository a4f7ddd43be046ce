"""One self-contained HTML page on an evaluation, a training or a search."""

from __future__ import annotations

import base64
import logging
import math
import os
import re
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, TemplateError
from markupsafe import Markup

from custom.bundle.locate import all_bundles
from custom.errors import InputError
from custom.files.atomic import atomic_path
from custom.files.csv_table import read_table
from custom.files.database_url import sqlite_file, sqlite_url, without_password
from custom.files.process_lock import release_folder
from custom.files.text_files import read_json
from custom.handlers.mlflow_store import be_brief, one_line, temporary
from custom.report.evaluation_page import FILTERS, evaluation_content
from custom.report.training_curves import Curves, draw_curves, read_curves

__all__ = ["SEARCH_SUMMARY", "format_setting", "write_report"]

logger = logging.getLogger(__name__)

SEARCH_SUMMARY = "search.json"
_PICTURES = {
    "history": "Each completed trial, and the best so far.",
    "intermediate": "Trials by epoch, without failed ones; a pruned trial ends early.",
    "importances": "How much each parameter has to do with a trial being good (PED-ANOVA).",
    "slice": "Value against each parameter; the darker, the later the trial.",
}
_RATHER_FEW = 20  # completed trials, below which importances change from search to search
_RUN_ID = re.compile(r"[0-9a-f]{32}")


def write_report(folder_or_run: str | Path) -> Path:
    """Write the report of an evaluation folder, a training folder, a search, or an MLflow run.

    Args:
        folder_or_run: Output folder of ``evaluate``, ``train`` or ``tune``, or the id of an MLflow
            run, which is looked for in ``MLFLOW_TRACKING_URI``, else in ``./mlruns.db`` and in the
            default output folders of the bundles.

    Returns:
        ``report.html`` in the folder; for a run ``report_<run id>.html`` beside its store, or in
        the working folder if the store is a server.

    Raises:
        InputError: If it is none of these, or its tables are broken.
    """
    folder = Path(folder_or_run)
    if not folder.is_dir():
        if _RUN_ID.fullmatch(str(folder_or_run)):
            return _write_run(str(folder_or_run))
        raise InputError(f"{folder_or_run} is neither a folder nor the id of an MLflow run")
    table, summary, search = (folder / n for n in ("metrics.csv", "summary.json", SEARCH_SUMMARY))
    if table.is_file() and summary.is_file():
        told = "an evaluation: evaluate again"
        report = _write_result(summary, "evaluation.html", evaluation_content, told)
        release_folder(folder)  # the last step of an evaluation
        return report
    if table.is_file():
        content = _training(f"Training in {folder.resolve().name}", read_curves(table))
        content["previews"] = sorted((folder / "previews").glob("epoch_*.png"))[-1:]
        return _write(folder / "report.html", "training.html", content)
    if search.is_file():
        return _write_result(search, "search.html", _search, "a search: tune again")
    raise InputError(
        f"{folder} holds no result: give the output folder of 'evaluate', 'train' or 'tune'"
    )


def _default_stores() -> list[Path]:
    """Return the default places of trainings' runs."""
    roots = [Path(), Path("output/train"), *(root / "output/train" for root in all_bundles())]
    return [root / "mlruns.db" for root in roots]


def _write_run(run_id: str) -> Path:
    """Write the report of a tracked run."""
    client, run, store = _find_run(run_id)
    if not run.data.metrics:
        raise InputError(f"run {run_id} has no metric yet: it is {run.info.status}")
    curves = {
        name: {entry.step: entry.value for entry in client.get_metric_history(run_id, name)}
        for name in sorted(run.data.metrics)
    }
    file = sqlite_file(store)
    folder = Path() if file is None else file.parent
    shown = without_password(store)
    facts = {"run": run_id, "status": run.info.status, "store": shown, **run.data.params}
    content = _training(f"Training {run.info.run_name}", curves, facts)
    return _write(folder / f"report_{run_id}.html", "training.html", content)


def _find_run(run_id: str) -> tuple[Any, Any, str]:
    """Return MLflow's client, the run, and the address of the store that holds it."""
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    be_brief()
    given = os.environ.get("MLFLOW_TRACKING_URI")
    files = dict.fromkeys(store.resolve() for store in _default_stores())
    # Only what exists: MLflow would create a missing SQLite file.
    places = [given] if given else [sqlite_url(file) for file in files if file.is_file()]
    for place in places:
        client = MlflowClient(place)
        try:
            return client, client.get_run(run_id), place
        except MlflowException as error:
            if temporary(error):
                reason = f"{without_password(place)} cannot be reached ({one_line(error)})"
                raise InputError(reason) from error
    looked = without_password(", ".join(places)) or "no store (set MLFLOW_TRACKING_URI)"
    raise InputError(f"{run_id!r} is neither an output folder nor a run in {looked}")


def _write_result(
    file: Path,
    template: str,
    content_of: Callable[[Path, dict[str, Any]], dict[str, Any]],
    told: str,
) -> Path:
    """Write the report of a result with a summary; one that lacks something is refused."""
    try:
        summary = read_json(file)
        return _write(file.parent / "report.html", template, content_of(file.parent, summary))
    except InputError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, TemplateError) as error:
        raise InputError(f"{file} is not the summary of {told}") from error


def _write(path: Path, template: str, content: Mapping[str, Any]) -> Path:
    """Fill a template and write the page."""
    pages = Environment(
        loader=PackageLoader("custom.report", "templates"),
        # Names of scans and settings are the user's text, and may hold < or &.
        autoescape=True,
        # A summary that lacks an entry is refused, not shown with gaps.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= FILTERS | {"setting": format_setting, "embedded": _embedded}
    with atomic_path(path) as temporary:
        temporary.write_text(pages.get_template(template).render(content), encoding="utf-8")
    logger.info("report: %s", path)
    return path


def _embedded(png: Path | bytes) -> Markup:
    """Return a PNG file as a data address, so that the page needs no other file."""
    content = png if isinstance(png, bytes) else png.read_bytes()
    return Markup("data:image/png;base64,") + base64.b64encode(content).decode("ascii")


def _training(title: str, curves: Curves, facts: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the content of a training's page."""
    drawing = BytesIO()
    draw_curves(curves).savefig(drawing, format="png", dpi=110)
    return {
        "title": title,
        "curves": curves,
        "drawing": drawing.getvalue(),
        "facts": dict(facts or {}),
        "epochs": sorted({epoch for values in curves.values() for epoch in values}),
        "previews": [],
    }


def _search(folder: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a search's page, best trial first."""
    rows = read_table(folder / "trials.csv", ("trial", "state", "value", "notes"))
    rows.sort(key=lambda row: _place(row, summary["direction"]))
    pictures: list[dict[str, Any]] = [
        {"text": text, "path": folder / "plots" / f"{name}.png"} for name, text in _PICTURES.items()
    ]
    return {
        "title": f"Search {summary['study']}",
        "summary": summary,
        "columns": [name for name in (rows[0] if rows else ()) if name != "notes"],
        "rows": rows,
        "few": summary["trials"].get("complete", 0) < _RATHER_FEW,
        "pictures": [picture for picture in pictures if picture["path"].is_file()],
    }


def format_setting(value: Any) -> str:
    """Return a parameter's value as text, numbers with four digits.

    >>> [format_setting(value) for value in (0.00123456, "0.00123456", 32, "strided", True)]
    ['0.001235', '0.001235', '32', 'strided', 'True']
    """
    try:
        return f"{float(value):.4g}" if "." in str(value) or "e-" in str(value) else str(value)
    except (TypeError, ValueError):
        return str(value)


def _place(row: Mapping[str, str], direction: str) -> tuple[float, int]:
    """Return the sort key of a trial: by value, then those without one by number."""
    sign = 1 if direction == "minimize" else -1
    return (sign * float(row["value"]) if row["value"] else math.inf, int(row["trial"]))
