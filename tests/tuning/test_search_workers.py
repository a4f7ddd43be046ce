"""Workers that share a study, stop, and die."""

import os
import signal
import time

import optuna
import pytest
from scripted_workers import kill, square, start, states, trials, until

from custom.tuning.trial_records import FAILURE, RETRY_OF, WORKER, planned


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
