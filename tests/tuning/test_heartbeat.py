"""Whether a worker is still alive."""

import os
import signal
import time
import uuid

import psutil
import pytest
from optuna.trial import TrialState
from scripted_workers import kill, processes, square, start, states, trials, until

from custom.tuning import trial_queue
from custom.tuning.heartbeat import is_dead, worker_name


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
