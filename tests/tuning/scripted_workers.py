"""Workers of a small search whose trials are scripted, also in processes of their own."""

import multiprocessing
import os
import signal
import time

import sqlalchemy

from custom.tuning.space_file import load_space
from custom.tuning.storage import SearchStorage
from custom.tuning.study import open_study
from custom.tuning.worker import Worker

SPACE = """
metric: val_mse
direction: minimize
sampler: {name: tpe, n_startup_trials: 2}
pruner: {name: median, n_startup_trials: 2}
during_search: {max_epochs: 3}
parameters:
  x: {type: float, low: -5.0, high: 5.0, id: x}
"""

processes = multiprocessing.get_context("fork")


def make_worker(folder, run, total=6, heartbeat_seconds=30):
    """Make a worker of the search in a folder, and the search with the first."""
    (folder / "space.yaml").write_text(SPACE)
    space = load_space(folder / "space.yaml")
    storage = SearchStorage(f"sqlite:///{folder / 'study.db'}", heartbeat_seconds)
    study = open_study(storage, "s", space, {})
    return Worker(study, storage, total, space, [], folder, run)


def square(trial, files, overrides, metric):
    """Two epochs of a parabola."""
    value = (overrides["x"] - 1) ** 2
    for epoch in (1, 2):
        trial.report(value + 1 / epoch, step=epoch)
    return value


def trials(worker):
    return worker.study.get_trials()


def states(worker):
    return [trial.state.name for trial in trials(worker)]


def start(open_worker, run, **options):
    """Run a worker in a process of its own."""
    process = processes.Process(target=lambda: open_worker(run, **options).work())
    process.start()
    return process


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def kill(process, worker, count):
    """Kill a worker once the trials of the search are this many, and the last one has begun."""

    def begun():
        with worker.storage.backend.engine.begin() as connection:
            beats = connection.execute(sqlalchemy.text("SELECT count(*) FROM trial_heartbeats"))
            return beats.scalar() == count and "x" in trials(worker)[-1].params

    until(begun)
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def let_heartbeats_grow_old(worker):
    """Move the last sign of life of every trial an hour back."""
    with worker.storage.backend.engine.begin() as connection:
        old = "UPDATE trial_heartbeats SET heartbeat = datetime(heartbeat, '-1 hour')"
        connection.execute(sqlalchemy.text(old))
