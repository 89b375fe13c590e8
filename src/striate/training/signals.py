"""SIGINT and SIGTERM ask; the loop answers between two steps.  The second signal leaves at once.

A handler can run between any two bytecodes, so it only sets a flag: saving inside it could meet a
half-made update.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class StopRequest:
    """The flag: 0, or the number of the signal that came."""

    number: int = 0

    @property
    def name(self) -> str:
        """SIGINT or SIGTERM."""
        return signal.Signals(self.number).name


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Catch SIGINT and SIGTERM inside the block; afterwards the former handlers are back."""
    request = StopRequest()

    def handle(number: int, _frame: FrameType | None) -> None:
        if request.number:
            os._exit(128 + number)
        request.number = number

    if threading.current_thread() is not threading.main_thread():  # a notebook's worker: signals are not ours
        yield request
        return
    former = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
