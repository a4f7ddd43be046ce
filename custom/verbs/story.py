"""The verb that shows a bundle from data to report, on its demonstration set."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from custom.bundle.launch import plain_command, run_bundle
from custom.bundle.locate import find_bundle, find_config
from custom.bundle.typed_values import as_data
from custom.errors import InputError
from custom.files.atomic import set_aside
from custom.files.database_url import sqlite_url, without_password

__all__ = ["demo"]

DEFAULT_STUDY = "micro_mri_denoise"


def demo(study: str = DEFAULT_STUDY) -> None:
    """Show a bundle from data to report on its demonstration set.

    Makes the data, trains with the plain MONAI command, evaluates, restores an unseen scan and
    prints the table, the figure, the report and how to open MLflow.

    Args:
        study: Name of a bundle, or path to one.
    """
    bundle = find_bundle(study)
    begin = time.monotonic()
    data = _demonstration(bundle)
    _say(f"1/4 demonstration data in {data.ensure()}")

    command = plain_command(["train"])
    _say(f"2/4 training: cd {bundle} && {command}")
    # Not the word python, which may be another interpreter.
    words = [sys.executable, *command.split()[1:]]
    if subprocess.run(words, cwd=bundle, check=False).returncode:
        raise InputError("training failed: see the lines above")
    trained = bundle / "output" / "train"
    weights = trained / "models" / "model.pt"

    evaluation = bundle / "output" / "evaluate"
    _say(f"3/4 evaluating on scans that training never saw, into {evaluation}")
    run_bundle(bundle, ["evaluate"], _paths(ckpt_path=weights, output_dir=evaluation))

    restored = bundle / "output" / "restored"
    # A second demonstration would be refused for the results of the first.
    set_aside(restored)
    scan = data.unseen_scan(bundle / "output" / "unseen")
    _say(f"4/4 restoring an unseen scan, {scan}, into {restored}")
    given = _paths(input=scan, output_dir=restored, ckpt_path=weights)
    run_bundle(bundle, ["inference"], given)
    _say(_closing(evaluation, restored, trained) + f"\n\n{time.monotonic() - begin:.0f} s in all")


def _demonstration(bundle: Path) -> Any:
    """Return the demonstration set that the bundle's training config names."""
    from monai.bundle import ConfigParser

    from custom.bundle.config_check import read_configs

    parser = ConfigParser(read_configs(find_config(bundle, ["train"])))
    parser["bundle_root"] = as_data(str(bundle))
    return parser.get_parsed_content("demo")


def _paths(**paths: Path) -> dict[str, str]:
    """Return paths as values of config ids."""
    return {name: as_data(str(path)) for name, path in paths.items()}


def _closing(evaluation: Path, restored: Path, trained: Path) -> str:
    """Return the results and their paths, in words."""
    from custom.evaluation.summary_file import summary_text
    from custom.files.csv_table import read_table

    summary = json.loads((evaluation / "summary.json").read_text(encoding="utf-8"))
    table = evaluation / "figures" / "figures.csv"
    figures = [table.with_name(row["file"]) for row in read_table(table, ("file",))]
    return "\n".join(
        [
            "",
            summary_text(summary),
            "",
            f"figure         {figures[0] if figures else 'none'}",
            f"report         {evaluation / 'report.html'}",
            f"restored scan  {restored}",
            f"MLflow         {_tracking(trained)}",
            "Research use only.",
        ]
    )


def _tracking(trained: Path) -> str:
    """Return the user's own tracking store, or the command that opens the run's."""
    own = os.environ.get("MLFLOW_TRACKING_URI")
    # Its path, since this environment need not be activated.
    mlflow = Path(sys.executable).with_name("mlflow")
    store = shlex.quote(sqlite_url(trained / "mlruns.db"))
    return without_password(own) if own else f"{mlflow} ui --backend-store-uri {store}"


def _say(text: str) -> None:
    """Tell the user."""
    print(text, flush=True)  # noqa: T201
