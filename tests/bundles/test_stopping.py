"""Ctrl-C and SIGTERM in a training: after the step at hand, a second one at once."""

import signal

import pytest

from custom.bundle.launch import stop_between_steps, stopped_code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_waits_for_the_end_of_a_step_and_a_second_one_does_not(number, code):
    before = signal.signal(number, signal.default_int_handler)
    try:
        with stop_between_steps() as stop:
            stop()
            signal.raise_signal(number)
            done = True  # the step goes on
            with pytest.raises(KeyboardInterrupt) as stopped:
                stop()
            assert (stopped_code(stopped.value), done) == (code, True)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)


def test_what_the_shell_lets_a_process_ignore_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_between_steps() as stop:
            signal.raise_signal(signal.SIGINT)
            stop()
    finally:
        signal.signal(signal.SIGINT, before)
