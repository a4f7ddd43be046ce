"""Workers that share a study, stop, and die."""

import multiprocessing
import os
import signal
import threading
import time
import uuid

import optuna
import psutil
import pytest
from optuna.trial import TrialState

from custom.tuning import trial_queue
from custom.tuning.heartbeat import is_dead, worker_name
from custom.tuning.space import load_space
from custom.tuning.storage import SearchStorage
from custom.tuning.study import open_study
from custom.tuning.trial_queue import TrialQueue
from custom.tuning.trial_records import FAILURE, RETRY_OF, SURPLUS, WORKER, planned
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


@pytest.fixture
def open_worker(tmp_path):
    """Make a worker: ``open_worker(run, total, heartbeat_seconds)``."""
    (tmp_path / "space.yaml").write_text(SPACE)

    def make(run, total=6, heartbeat_seconds=30):
        space = load_space(tmp_path / "space.yaml")
        url = f"sqlite:///{tmp_path / 'study.db'}"
        storage = SearchStorage(url, heartbeat_seconds)
        study = open_study(storage, "s", space, {})
        return Worker(TrialQueue(study, storage, total), space, [], tmp_path, run)

    return make


def square(trial, files, overrides, metric, better):
    """Two epochs of a parabola."""
    value = (overrides["x"] - 1) ** 2
    for epoch in (1, 2):
        trial.report(value + 1 / epoch, step=epoch)
    return value


def trials(worker):
    return worker.queue.study.get_trials()


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


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def test_failed_and_diverged_trials_are_recorded_and_the_search_goes_on(open_worker, tmp_path):
    def run(trial, *arguments):
        if trial.number == 1:
            raise RuntimeError("a wrapper") from MemoryError("no room\nfor the network")
        if trial.number == 2:
            return float("nan")
        if trial.number == 3:
            raise optuna.TrialPruned("poor")
        return square(trial, *arguments)

    worker = open_worker(run)
    ended = []
    worker.finished = ended.append
    worker.work()
    assert states(worker) == ["COMPLETE", "FAIL", "FAIL", "PRUNED", "COMPLETE", "COMPLETE"]
    assert trials(worker)[1].user_attrs[FAILURE] == "MemoryError: no room for the network"
    assert "val_mse is nan" in trials(worker)[2].user_attrs[FAILURE]
    assert "no room" in (tmp_path / "trials" / "0001" / "error.txt").read_text()
    assert [trial.number for trial in ended] == list(range(6))


def test_what_a_trial_sets_stands_in_order(open_worker, tmp_path):
    seen = []

    def run(trial, files, overrides, metric, better):
        seen.append(overrides)
        return 1.0

    worker = open_worker(run, total=1)
    worker.overrides = {"max_epochs": 2, "batch_size": 4}
    worker.extra = lambda number: {"run_name": f"run-{number}"}
    worker.work()
    x = trials(worker)[0].params["x"]
    folder = str(tmp_path / "trials" / "0000")
    assert seen == [
        {"max_epochs": 2, "batch_size": 4, "x": x, "run_name": "run-0", "output_dir": folder}
    ]


def test_the_total_is_that_of_the_study_and_may_grow(open_worker):
    open_worker(square, total=3).work()
    again = open_worker(square, total=3)
    again.work()
    assert len(trials(again)) == 3
    more = open_worker(square, total=5)
    more.work()
    assert len(trials(more)) == 5


def test_a_stopped_search_goes_on_with_the_stopped_trial_and_the_same_draws(open_worker, tmp_path):
    def stop_at_2(trial, *arguments):
        if trial.number == 2:
            raise KeyboardInterrupt
        return square(trial, *arguments)

    with pytest.raises(KeyboardInterrupt):
        open_worker(stop_at_2, total=5).work()
    worker = open_worker(square, total=5)
    assert states(worker) == ["COMPLETE"] * 2 + ["FAIL", "WAITING"]
    worker.work()
    stopped = [trial.params["x"] for trial in trials(worker) if trial.state.name == "COMPLETE"]
    assert trials(worker)[3].user_attrs[RETRY_OF] == 2
    (tmp_path / "study.db").unlink()
    whole = open_worker(square, total=5)
    whole.work()
    assert [trial.params["x"] for trial in trials(whole)] == stopped


def test_a_killed_worker_s_trial_is_run_again_once_with_what_it_drew(open_worker):
    def hang_at_2(trial, *arguments):
        if trial.number == 2:
            time.sleep(60)
        return square(trial, *arguments)

    process = start(open_worker, hang_at_2)
    worker = open_worker(square)
    until(lambda: len(trials(worker)) == 3 and "x" in trials(worker)[2].params)
    kill(process)
    worker.work()
    assert states(worker) == ["COMPLETE"] * 2 + ["FAIL"] + ["COMPLETE"] * 4
    assert trials(worker)[2].user_attrs[FAILURE] == "its process died"
    assert trials(worker)[3].params == trials(worker)[2].params
    assert trials(worker)[3].user_attrs[RETRY_OF] == 2
    assert len(planned(trials(worker))) == 6


@pytest.mark.slow
def test_a_worker_of_another_machine_is_known_dead_by_its_heartbeat(open_worker, monkeypatch):
    def hang(*_):
        time.sleep(60)

    monkeypatch.setattr(trial_queue, "worker_name", lambda: "elsewhere/:1:0.0")
    process = start(open_worker, hang, total=2, heartbeat_seconds=1)
    worker = open_worker(square, total=2, heartbeat_seconds=1)
    until(lambda: trials(worker) and "x" in trials(worker)[0].params)
    time.sleep(6)  # longer than the grace: a living worker keeps its trial
    assert worker.queue.claim().number == 1
    assert trials(worker)[0].state == TrialState.RUNNING
    worker.queue.study.tell(1, 0.5)
    kill(process)
    worker.work()
    assert states(worker) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert trials(worker)[2].params == trials(worker)[0].params


def test_a_trial_that_kills_every_worker_is_given_up(open_worker):
    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    for _ in range(3):
        start(open_worker, die, total=2).join()
    worker = open_worker(square, total=2)
    worker.work()
    assert states(worker) == ["FAIL"] * 3 + ["COMPLETE"]


def test_two_workers_share_the_trials_and_none_is_run_twice(open_worker, tmp_path):
    def noted(trial, *arguments):
        with (tmp_path / f"{trial.number}").open("x"):  # fails if it was run before
            time.sleep(0.05)
        return square(trial, *arguments)

    study = open_worker(square, total=6).queue.study
    for x in range(3):
        study.enqueue_trial({"x": x})  # SQLite itself would let two workers take up the same one
    workers = [start(open_worker, noted, total=6) for _ in range(2)]
    for process in workers:
        process.join()
        assert process.exitcode == 0
    worker = open_worker(square, total=6)
    assert states(worker) == ["COMPLETE"] * 6
    assert sorted(int(path.name) for path in tmp_path.glob("[0-9]*")) == list(range(6))
    assert len({trial.params["x"] for trial in trials(worker)}) == 6
    assert len({trial.user_attrs[WORKER] for trial in trials(worker)}) > 1


def stop(*_):
    raise KeyboardInterrupt


def test_a_stopped_trial_is_not_lost_to_a_smaller_total(open_worker):
    with pytest.raises(KeyboardInterrupt):
        open_worker(lambda trial, *a: square(trial, *a) if trial.number < 3 else stop()).work()
    open_worker(square, total=2).work()
    worker = open_worker(square, total=4)
    worker.work()
    assert states(worker) == ["COMPLETE"] * 3 + ["FAIL", "COMPLETE"]
    assert trials(worker)[4].params == trials(worker)[3].params
    assert SURPLUS not in trials(worker)[4].user_attrs


def test_a_trial_is_not_lost_with_the_worker_that_lines_it_up(open_worker, monkeypatch):
    worker = open_worker(stop, total=1)
    with monkeypatch.context() as broken:
        broken.setattr(trial_queue, "_repeat", stop)
        with pytest.raises(KeyboardInterrupt):
            worker.work()
    assert states(worker) == ["FAIL"]
    open_worker(square, total=1).work()
    assert states(worker) == ["FAIL", "COMPLETE"]
    assert trials(worker)[1].params == trials(worker)[0].params


def test_a_trial_lined_up_by_two_workers_is_run_once(open_worker):
    """A database without our lock lets both see that its worker died."""
    worker = open_worker(stop, total=2)
    with pytest.raises(KeyboardInterrupt):
        worker.work()
    trial_queue._repeat(worker.queue.study, trials(worker)[0])
    assert states(worker) == ["FAIL", "WAITING", "WAITING"]
    again = open_worker(square, total=2)
    again.work()
    assert states(again) == ["FAIL", "COMPLETE", "FAIL", "COMPLETE"]
    assert trials(again)[2].user_attrs[SURPLUS]


def test_a_trial_that_another_worker_ended_meanwhile_is_given_back_only_once(open_worker):
    def stolen(trial, *_):
        trial.set_user_attr(FAILURE, "its process died")
        trial.study.tell(trial.number, state=TrialState.FAIL)
        raise KeyboardInterrupt

    worker = open_worker(stolen, total=1)
    with pytest.raises(KeyboardInterrupt):
        worker.work()
    assert states(worker) == ["FAIL", "WAITING"]


def test_the_last_trial_begun_twice_is_not_run_twice(open_worker):
    worker = open_worker(square, total=1)
    late = open_worker(square, total=1)
    ask = late.queue._ask

    def overtaken():
        """A database without our lock lets another worker in between."""
        assert worker.queue._ask().number == 0
        return ask()

    late.queue._ask = overtaken
    assert late.queue.claim() is None
    assert states(worker) == ["RUNNING", "FAIL"]
    assert trials(worker)[1].user_attrs[SURPLUS]
    assert len(planned(trials(worker))) == 1


def test_a_result_that_comes_too_late_is_dropped(open_worker):
    def given_away(trial, *arguments):
        if trial.number == 0:
            trial.study.tell(trial.number, state=TrialState.FAIL)
        return square(trial, *arguments)  # its report is refused

    worker = open_worker(given_away, total=2)
    worker.work()
    assert states(worker) == ["FAIL", "COMPLETE", "COMPLETE"]
    assert FAILURE not in trials(worker)[0].user_attrs
    assert trials(worker)[1].user_attrs[RETRY_OF] == 0


def test_the_error_of_a_trial_that_was_given_away_is_dropped_too(open_worker):
    def given_away(trial, *arguments):
        if trial.number == 0:
            trial.study.tell(trial.number, state=TrialState.FAIL)
            raise RuntimeError("no room")
        return square(trial, *arguments)

    worker = open_worker(given_away, total=1)
    worker.work()
    assert states(worker) == ["FAIL", "COMPLETE"]
    assert FAILURE not in trials(worker)[0].user_attrs


def test_an_error_that_cannot_be_written_ends_the_trial_only(open_worker, tmp_path):
    def fail(*_):
        raise RuntimeError("no room")

    (tmp_path / "trials").write_text("in the way of the folder")
    worker = open_worker(fail, total=2)
    worker.work()
    assert states(worker) == ["FAIL"] * 2
    assert trials(worker)[0].user_attrs[FAILURE] == "RuntimeError: no room"


def test_a_worker_waits_for_those_of_others(open_worker):
    def slow(trial, *arguments):
        time.sleep(1.5)
        return square(trial, *arguments)

    process = start(open_worker, slow, total=1)
    worker = open_worker(square, total=1, heartbeat_seconds=1)
    until(lambda: trials(worker))
    worker.work()
    assert states(worker) == ["COMPLETE"]
    process.join()


def test_only_a_worker_known_to_have_ended_is_dead():
    process = processes.Process(target=time.sleep, args=(60,))
    process.start()
    own = worker_name()
    place = own.rsplit(":", 2)[0]
    living = f"{place}:{process.pid}:{psutil.Process(process.pid).create_time():.2f}"
    reused = f"{place}:{process.pid}:1.0"
    assert [is_dead(name) for name in (own, living, reused)] == [False, False, True]
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: is_dead(living))
    process.join()
    assert is_dead(living)
    assert not is_dead(living.replace(place, "elsewhere/"))


def test_a_machine_of_the_same_name_is_another_machine():
    place, pid, _ = worker_name().rsplit(":", 2)
    name, boot, space = place.split("/", 2)
    assert uuid.UUID(boot)
    assert not is_dead(f"{name}/{uuid.uuid4()}/{space}:{pid}:1.0")
    assert is_dead(f"{place}:{pid}:1.0")


def test_one_worker_at_a_time_takes_up_a_trial(open_worker):
    # On SQLite alone both would read that a trial waits, and both would take it up.
    worker = open_worker(square)
    claimed = []
    thread = threading.Thread(target=lambda: claimed.append(worker.queue.claim()))
    with open_worker(square).queue.storage.lock():
        thread.start()
        thread.join(timeout=0.5)
        assert thread.is_alive()
    thread.join()
    assert claimed[0].number == 0
