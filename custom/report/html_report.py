"""One self-contained HTML page on an evaluation, a training or a search."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from custom.bundle.locate import all_bundles
from custom.errors import InputError
from custom.files.atomic import atomic_path
from custom.report.evaluation_page import FILTERS, evaluation_content
from custom.report.mlflow_run import TrackedRun, find_run
from custom.report.page_parts import as_source, embed
from custom.report.search_page import SEARCH_SUMMARY, format_setting, search_content
from custom.report.training_curves import Curves, draw_curves, read_curves

__all__ = ["write_report"]

logger = logging.getLogger(__name__)

_RUN_ID = re.compile(r"[0-9a-f]{32}")


def write_report(folder_or_run: str | Path, stores: Iterable[str | Path] = ()) -> Path:
    """Write the report of an evaluation folder, a training folder, a search, or an MLflow run.

    Args:
        folder_or_run: Output folder of ``evaluate``, ``train`` or ``tune``, or the id of an MLflow
            run.
        stores: MLflow's SQLite files to look into for a run, before ``./mlruns.db`` and the
            default output folders of the bundles. ``MLFLOW_TRACKING_URI`` wins over all.

    Returns:
        ``report.html`` in the folder; for a run ``report_<run id>.html`` beside its store, or in
        the working folder if the store is a server.

    Raises:
        InputError: If it is none of these, or its tables are broken.
    """
    folder = Path(folder_or_run)
    table = folder / "metrics.csv"
    if folder.is_dir():
        if (folder / "summary.json").is_file() and table.is_file():
            return _write_evaluation(folder)
        if table.is_file():
            content = _training(f"Training in {folder.resolve().name}", read_curves(table))
            content["preview"] = _last_preview(folder / "previews")
            return _write(folder / "report.html", "training.html", content)
        if (folder / SEARCH_SUMMARY).is_file():
            return _write(folder / "report.html", "search.html", _search(folder))
        raise InputError(
            f"{folder} holds no result: give the output folder of 'evaluate', 'train' or 'tune'"
        )
    if _RUN_ID.fullmatch(str(folder_or_run)):
        return _write_run(find_run(str(folder_or_run), [*stores, *_default_stores()]))
    raise InputError(f"{folder_or_run} is neither a folder nor the id of an MLflow run")


def _default_stores() -> list[Path]:
    """Return the default places of trainings' runs."""
    roots = [Path(), Path("output/train"), *(root / "output/train" for root in all_bundles())]
    return [root / "mlruns.db" for root in roots]


def _write_run(run: TrackedRun) -> Path:
    """Write the report of a tracked run."""
    if not run.curves:
        raise InputError(f"run {run.run_id} has no metric yet: it is {run.status}")
    local = run.store.startswith("sqlite:///")
    folder = Path(run.store.removeprefix("sqlite:///")).parent if local else Path()
    facts = {"run": run.run_id, "status": run.status, "store": run.store, **run.parameters}
    content = _training(f"Training {run.name}", run.curves, facts)
    return _write(folder / f"report_{run.run_id}.html", "training.html", content)


def _write(path: Path, template: str, content: Mapping[str, Any]) -> Path:
    """Fill a template and write the page."""
    pages = Environment(
        loader=PackageLoader("custom.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= FILTERS | {"setting": format_setting}
    with atomic_path(path) as temporary:
        temporary.write_text(pages.get_template(template).render(content), encoding="utf-8")
    logger.info("report: %s", path)
    return path


def _write_evaluation(folder: Path) -> Path:
    """Write the report of an evaluation."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        content = evaluation_content(folder, summary)
    except InputError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder / 'summary.json'} is not the summary of an evaluation: evaluate again"
        ) from error
    return _write(folder / "report.html", "evaluation.html", content)


def _training(title: str, curves: Curves, facts: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the content of a training's page."""
    epochs = sorted({epoch for values in curves.values() for epoch in values})
    return {
        "title": title,
        "curves": curves,
        "drawing": embed(draw_curves(curves)),
        "facts": dict(facts or {}),
        "epochs": epochs,
        "preview": None,
    }


def _search(folder: Path) -> dict[str, Any]:
    """Return the content of a search's page."""
    content = search_content(folder)
    for picture in content["pictures"]:
        picture["source"] = as_source(picture["png"])
    return content


def _last_preview(folder: Path) -> dict[str, Any] | None:
    """Return the last preview image of a training, if there is one."""
    images = sorted(folder.glob("epoch_*.png"))
    if not images:
        return None
    return {
        "name": images[-1].stem.replace("_", " "),
        "source": as_source(images[-1].read_bytes()),
    }
