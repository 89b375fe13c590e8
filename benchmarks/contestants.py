"""Contestants that take turns, each in a process of its own.

What the C library does with freed memory and how many threads torch has belong to a whole process: one contestant's
settings would be the other's too.  So each is made in a child, from the same environment, and makes a turn when it is
told to.  Between turns it waits for its pipe; the threads of its library go to sleep a few thousandths of a second
after their last work, and every turn begins after `REST`.
"""

import multiprocessing
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

REST = 0.05  # seconds in which the threads of whoever came before go to sleep
GIVE_UP = 10.0  # seconds that a child has to end


@dataclass(frozen=True, slots=True)
class Contestant:
    """What a child does.

    Args:
        turn: the work that is measured, to its very end; what it returns comes back with its seconds.
        verdict: afterwards and unmeasured, what its work has come to, such as an accuracy.
    """

    turn: Callable[[], Any]
    verdict: Callable[[], Any] = lambda: None


@dataclass(frozen=True, slots=True)
class Entry:
    """Who competes.

    Args:
        name: printed.
        make: makes the contestant, in the child: a function of a module, or a partial of one.
    """

    name: str
    make: Callable[[], Contestant]


@dataclass(frozen=True, slots=True)
class Seat:
    """The near end of one contestant."""

    name: str
    _pipe: Connection

    def make(self) -> None:
        """Let it make all that it needs."""
        self._ask("make")

    def turn(self) -> tuple[float, Any]:
        """Let it do its work once: (seconds, what came of it)."""
        time.sleep(REST)
        return self._ask("turn")

    def verdict(self) -> Any:
        """What its work has come to."""
        return self._ask("verdict")[1]

    def _ask(self, what: str) -> tuple[float, Any]:
        try:
            self._pipe.send(what)
            seconds, value = self._pipe.recv()
        except (EOFError, ConnectionError):
            raise RuntimeError(f"{self.name} has died") from None
        if seconds is None:
            raise RuntimeError(f"{self.name} failed:\n{value}")
        return seconds, value


@contextmanager
def seated(entries: Sequence[Entry]) -> Iterator[list[Seat]]:
    """Start all contestants, make them one after the other, and end them with the block."""
    context = multiprocessing.get_context("spawn")  # a fork would share what the first one has set
    children, seats = [], []
    try:
        for entry in entries:
            near, far = context.Pipe()
            child = context.Process(target=_serve, args=(far, entry.make))
            child.start()
            far.close()  # so that a child's death is the end of its pipe
            children.append(child)
            seats.append(Seat(entry.name, near))
        for seat in seats:  # their imports may go side by side; making may measure something
            seat.make()
        yield seats
    finally:
        for seat in seats:
            seat._pipe.close()
        for child in children:
            child.join(GIVE_UP)
            child.kill()


def _serve(pipe: Connection, make: Callable[[], Contestant]) -> None:
    """A child's life."""
    try:
        assert pipe.recv() == "make"
        contestant = make()
        pipe.send((0.0, None))
        work = {"turn": contestant.turn, "verdict": contestant.verdict}
        while True:
            asked = work[pipe.recv()]
            start = time.perf_counter()
            value = asked()
            pipe.send((time.perf_counter() - start, value))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        pass  # the other end has closed: the benchmark is over
    except BaseException:
        pipe.send((None, traceback.format_exc()))


@dataclass(slots=True)
class Record:
    """A contestant's turns.

    Args:
        name: of the contestant.
        seconds: of every turn that counts.
        values: what came of each.
    """

    name: str
    seconds: list[float]
    values: list[Any]

    @property
    def median(self) -> float:
        """Of the seconds."""
        return statistics.median(self.seconds)

    def times_as_fast_as(self, other: "Record") -> tuple[float, float, float]:
        """The ratio of the medians, and the least and the most of the ratios round by round."""
        rounds = [theirs / own for own, theirs in zip(self.seconds, other.seconds, strict=True)]
        return other.median / self.median, min(rounds), max(rounds)


def compete(seats: Sequence[Seat], rounds: int, warm_up: int = 1) -> list[Record]:
    """Every contestant's turn in every round; who begins changes, and the first `warm_up` rounds do not count."""
    records = [Record(seat.name, [], []) for seat in seats]
    for number in range(warm_up + rounds):
        pairs = list(zip(seats, records, strict=True))
        for seat, record in pairs if number % 2 else pairs[::-1]:
            seconds, value = seat.turn()
            if number >= warm_up:
                record.seconds.append(seconds)
                record.values.append(value)
    return records
