"""Workers that share a study, stop, and die."""

import threading
import time
from contextlib import ExitStack

import optuna
import pytest
from optuna.trial import TrialState
from scripted_workers import kill, let_heartbeats_grow_old, square, start, states, trials, until

from custom.tuning import worker as worker_module
from custom.tuning.storage import FAILURE, failure_reason, planned, root_number


def stop(*_):
    raise KeyboardInterrupt


def test_failed_and_diverged_trials_are_recorded_and_the_search_goes_on(open_worker, tmp_path):
    def run(trial, *arguments):
        if trial.number == 1:
            raise RuntimeError("http://me:secret@h") from MemoryError(
                "no room\nfor http://me:secret@h"
            )
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
    assert trials(worker)[1].user_attrs[FAILURE] == "out of memory: no room for http://***@h"
    assert "val_mse is nan" in trials(worker)[2].user_attrs[FAILURE]
    told = (tmp_path / "trials" / "0001" / "error.txt").read_text()
    assert "MemoryError: no room\nfor http://***@h" in told
    assert [trial.number for trial in ended] == list(range(6))


def test_what_a_trial_sets_stands_in_order(open_worker, tmp_path):
    seen = []

    def run(trial, files, overrides, metric):
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
    assert root_number(trials(worker)[3]) == 2
    assert failure_reason(trials(worker)[2]) == "stopped by the user"
    assert FAILURE not in trials(worker)[3].user_attrs
    (tmp_path / "study.db").unlink()
    whole = open_worker(square, total=5)
    whole.work()
    assert [trial.params["x"] for trial in trials(whole)] == stopped


def test_a_search_stopped_often_in_one_trial_still_runs_it(open_worker):
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            open_worker(stop, total=1).work()
    open_worker(square, total=1).work()
    worker = open_worker(square, total=1)
    assert states(worker) == ["FAIL"] * 5 + ["COMPLETE"]
    assert trials(worker)[5].params == trials(worker)[0].params


def hang_at_2(trial, *arguments):
    if trial.number == 2:
        time.sleep(60)
    return square(trial, *arguments)


def kill_at_2(open_worker, worker):
    """Run the search until its third trial has begun, and kill it there."""
    process = start(open_worker, hang_at_2, heartbeat_seconds=worker.storage.heartbeat_seconds)
    kill(process, worker, 3)


def test_a_killed_worker_s_trial_is_run_again_once_with_what_it_drew(open_worker):
    worker = open_worker(square)
    kill_at_2(open_worker, worker)
    let_heartbeats_grow_old(worker)
    worker.work()
    assert states(worker) == ["COMPLETE"] * 2 + ["FAIL"] + ["COMPLETE"] * 4
    assert failure_reason(trials(worker)[2]) == "its process died"
    assert trials(worker)[3].params == trials(worker)[2].params
    assert root_number(trials(worker)[3]) == 2
    assert trials(worker)[3].intermediate_values.keys() == {1, 2}
    assert len(planned(trials(worker))) == 6


@pytest.mark.slow
def test_a_search_waits_until_a_killed_worker_is_known_to_be_dead(open_worker):
    worker = open_worker(square, total=3, heartbeat_seconds=1)
    kill_at_2(open_worker, worker)
    worker.work()
    assert states(worker) == ["COMPLETE"] * 2 + ["FAIL", "COMPLETE"]
    assert trials(worker)[3].params == trials(worker)[2].params


@pytest.mark.slow
def test_a_living_worker_keeps_a_trial_longer_than_the_grace(open_worker):
    def slow(trial, *arguments):
        time.sleep(7)
        return square(trial, *arguments)

    process = start(open_worker, slow, total=1, heartbeat_seconds=1)
    worker = open_worker(square, total=1, heartbeat_seconds=1)
    until(lambda: trials(worker) and "x" in trials(worker)[0].params)
    worker.work()
    process.join()
    assert states(worker) == ["COMPLETE"]


def test_a_trial_that_kills_every_worker_is_given_up(open_worker):
    worker = open_worker(square, total=2)
    for count in range(1, 5):
        process = start(open_worker, lambda *_: time.sleep(60), total=2)
        kill(process, worker, count)
        let_heartbeats_grow_old(worker)
    worker.work()
    assert states(worker) == ["FAIL"] * 4 + ["COMPLETE"]
    assert root_number(trials(worker)[3]) == 0
    assert len({trial.params["x"] for trial in trials(worker)}) == 2


def test_a_trial_killed_before_its_first_heartbeat_is_run_again(open_worker, monkeypatch):
    worker = open_worker(square, total=2)
    worker.study.sampler.before_trial = stop
    with pytest.raises(KeyboardInterrupt):
        worker.work()
    worker = open_worker(square, total=2)
    monkeypatch.setattr(worker_module.time, "sleep", lambda _: let_heartbeats_grow_old(worker))
    worker.work()
    assert states(worker) == ["FAIL", "COMPLETE", "COMPLETE"]


def test_two_workers_share_the_trials_and_none_is_run_twice(open_worker, tmp_path):
    def noted(trial, *arguments):
        with (tmp_path / f"{trial.number}").open("x"):  # fails if it was run before
            time.sleep(0.05)
        return square(trial, *arguments)

    study = open_worker(square, total=6).study
    for x in range(3):
        study.enqueue_trial({"x": x})  # SQLite itself would let two workers take up the same one
    workers = [start(open_worker, noted, total=6, heartbeat_seconds=2) for _ in range(3)]
    for process in workers:
        process.join()
        assert process.exitcode == 0
    worker = open_worker(square, total=6)
    assert states(worker) == ["COMPLETE"] * 6
    assert sorted(int(path.name) for path in tmp_path.glob("[0-9]*")) == list(range(6))
    assert len({trial.params["x"] for trial in trials(worker)}) == 6


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
    until(lambda: trials(worker) and trials(worker)[0].params)
    worker.work()
    assert states(worker) == ["COMPLETE"]
    process.join()


def test_what_a_trial_that_was_given_away_brings_is_dropped(open_worker):
    def given_away(trial, *arguments):
        if trial.number < 3:
            trial.study.tell(trial.number, state=TrialState.FAIL)
        if trial.number == 1:
            raise RuntimeError("no room")
        if trial.number == 2:
            raise KeyboardInterrupt  # nothing is lined up again
        return square(trial, *arguments)  # its report is refused

    worker = open_worker(given_away, total=4)
    ended = []
    worker.finished = lambda trial: ended.append(trial.number)
    worker.work()
    assert states(worker) == ["FAIL"] * 3 + ["COMPLETE"]
    assert not any(FAILURE in trial.user_attrs for trial in trials(worker))
    assert ended == [3]


def test_one_worker_at_a_time_takes_up_a_trial(open_worker):
    # On SQLite alone both would read that one more may begin, and both would begin it.
    worker = open_worker(square, total=1)
    thread = threading.Thread(target=worker.work)
    with ExitStack() as held:
        held.enter_context(open_worker(square).storage.lock())
        thread.start()
        thread.join(timeout=0.5)
        assert not trials(worker)
    thread.join()
    assert states(worker) == ["COMPLETE"]
