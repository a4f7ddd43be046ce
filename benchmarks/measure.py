"""What every benchmark shares: repeated measurement, and a record of where it ran."""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
RESULTS = REPOSITORY / "docs" / "results"


@dataclass(frozen=True)
class Timing:
    """Median and range of repeated runs, in seconds."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, seconds: list[float]) -> Timing:
        """Summarise single measurements."""
        return cls(statistics.median(seconds), min(seconds), max(seconds))


def repeat(work: Callable[[], Any], runs: int = 5) -> Timing:
    """Time ``work`` after one warm-up."""
    work()
    return Timing.of([_seconds(work) for _ in range(runs)])


def _seconds(work: Callable[[], Any]) -> float:
    """Time one call."""
    begin = time.process_time()
    work()
    return time.process_time() - begin


def in_new_process(code: str) -> dict[str, Any]:
    """Run code that prints one line of JSON last, in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def environment() -> dict[str, Any]:
    """Say what the figures depend on."""
    import torch

    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    return {
        "commit": commit.stdout.strip() or "unknown",
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "times": "CPU seconds",  # of all threads: a busy machine does not change them
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        **{name: version(name) for name in ("torch", "monai", "numpy", "zarr", "dipy")},
    }


def save(name: str, figures: dict[str, Any]) -> None:
    """Keep a benchmark's figures beside the page that shows them."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    plain = {
        key: asdict(value) if isinstance(value, Timing) else value for key, value in figures.items()
    }
    content = {"environment": environment(), **plain}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
