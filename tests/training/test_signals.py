import os
import signal
from multiprocessing import get_context

import pytest

from striate.training.signals import stop_requests


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_handlers_come_back(number):
    before = signal.getsignal(number)
    with stop_requests() as stop:
        assert stop.number == 0
        os.kill(os.getpid(), number)
        assert (stop.number, stop.name) == (number, signal.Signals(number).name)
    assert signal.getsignal(number) is before


def _twice():
    with stop_requests():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(0)


def test_the_second_signal_leaves_at_once():
    process = get_context("fork").Process(target=_twice)
    process.start()
    process.join()
    assert process.exitcode == 143
