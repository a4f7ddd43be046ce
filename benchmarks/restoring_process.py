"""One restoration in a process of its own: its seconds, without importing, and its peak memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.measure import Timing, in_new_process

RUNS = 3
ENOUGH_SECONDS = 30.0  # what takes longer than this is run once
SETUP = """
import json, re, time
from pathlib import Path
import nibabel as nib, numpy as np, torch
source, target = {source!r}, {target!r}
def memory():  # of this process alone: what getrusage says begins with the parent's
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024
"""
MODEL = """
from monai.bundle import ConfigWorkflow
work = ConfigWorkflow(config_file={config!r}, workflow_type="infer", logging_file=False,
                      bundle_root={bundle!r}, input=source, output_dir=target)
work.initialize()
begin = time.process_time()
work.run()
"""
FINISH = """
print(json.dumps({'seconds': time.process_time() - begin, 'peak': memory(),
                  'imported': globals().get('imported', 0)}))
"""


def model_code(bundle: Path) -> str:
    """Return code that restores with a bundle's model.

    Args:
        bundle: Its folder.
    """
    return MODEL.format(config=str(bundle / "configs" / "inference.yaml"), bundle=str(bundle))


def measure_restoring(
    code: str, source: Path, target: Path, runs: int = RUNS
) -> tuple[dict[str, Any], Path]:
    """Run code that restores a file, several times if it is fast.

    Args:
        code: Restores ``source`` into the folder ``target`` as ``*_restored.nii.gz``, and calls
            the time of its start ``begin``; the ``memory()`` at it, if that counts, ``imported``.
        source: The file.
        target: Made here.
        runs: How often.

    Returns:
        ``seconds``, a :class:`~benchmarks.measure.Timing`, ``peak_mib`` and
        ``above_imports_mib``; the restored file.
    """
    target.mkdir()
    code = SETUP.format(source=str(source), target=str(target)) + code + FINISH
    draws = []
    for _ in range(runs):
        for old in target.iterdir():
            old.unlink()
        draws.append(in_new_process(code))
        if draws[-1]["seconds"] > ENOUGH_SECONDS:
            break
    figures = {
        "seconds": Timing.of([draw["seconds"] for draw in draws]),
        "peak_mib": max(draw["peak"] for draw in draws),
        "above_imports_mib": max(draw["peak"] - draw["imported"] for draw in draws),
    }
    return figures, next(target.glob("*_restored.nii.gz"))


def plain_figures(figures: dict[str, Any]) -> dict[str, Any]:
    """Return figures of all methods as JSON holds them."""
    return {
        name: value | {"seconds": vars(value["seconds"])} if isinstance(value, dict) else value
        for name, value in figures.items()
    }


def restoring_table(
    figures: dict[str, Any], names: dict[str, str], measure: str, title: str
) -> str:
    """Return the result as a table in Markdown.

    Args:
        figures: Of :func:`plain_figures`.
        names: Method to what it is called.
        measure: Key of the quality.
        title: What that is called.
    """
    lines = [
        f"| method | seconds (once if above 30) | peak memory of the process | {title} |",
        "|---|---|---|---|",
    ]
    for name, text in names.items():
        of = figures[name]
        lines.append(
            f"| {text} | {of['seconds']['median']:.1f} | {of['peak_mib']:.0f} MiB | "
            f"{of[measure]:.3f} |"
        )
    return "\n".join(lines)
