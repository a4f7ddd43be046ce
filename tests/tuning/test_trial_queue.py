"""Trials that two workers reach for, or that are handed back."""

import threading

import pytest
from optuna.trial import TrialState
from scripted_workers import square, states, trials

from custom.tuning import trial_queue
from custom.tuning.trial_records import FAILURE, RETRY_OF, SURPLUS, planned


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
