"""Worker processes that read, decode and fit pictures, so that neither a crash nor a hang of a decoder stays hidden.

Each worker has a socket of its own and one share of a batch at a time; pixels come straight into the batch.  No shared
memory is used, so a full /dev/shm matters not; nothing is waited for without a limit.
"""

import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
from jaxtyping import Shaped

from striate.base.errors import DataError, ResourceError, StriateError
from striate.data.decode import Fault
from striate.data.decode_worker import (
    ANSWER,
    FAULT,
    NO_MEMORY,
    PIXELS,
    READY,
    REFUSED,
    REQUEST,
    receive,
)
from striate.data.items import Items, Rows
from striate.data.picture import Picture

_START_SECONDS = 60.0  # to import Pillow and NumPy from a slow disk
_PATIENCE = 5.0  # seconds for a process to end
SHARES = 4  # of a batch, for each worker: the fast ones take more of them
_ROOT = Path(__file__).parents[2]
# -P: the folder in which the user stands has no say in what is imported.
_START = "import sys; sys.path.insert(0, sys.argv[1]); from striate.data.decode_worker import main"
_COMMAND = (sys.executable, "-P", "-c", f"{_START}; main(int(sys.argv[2]), int(sys.argv[3]))", str(_ROOT))
_SINGLE = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}  # no pools for NumPy's sake

Gathered = tuple[Shaped[np.ndarray, "B h w C"], tuple[Fault, ...]]


@dataclass(slots=True, eq=False)
class _Worker:
    """One process, its line, and the rows of the batch that it has to answer."""

    number: int
    process: subprocess.Popen[bytes]
    line: socket.socket
    life: int
    due: deque[int] = field(default_factory=deque)  # places in the batch
    heard: float = 0.0  # when it was given work or last answered

    def __str__(self) -> str:
        return f"worker {self.number} (process {self.process.pid})"


class Decoders:
    """A pool of processes; use it as a context.

    Args:
        picture: what every image is brought to.
        workers: number of processes, >= 1.
        seconds: for one picture; a worker that takes longer hangs.

    Raises:
        ResourceError: a process cannot be started.
    """

    def __init__(self, picture: Picture, workers: int, *, seconds: float = 60.0) -> None:
        assert workers >= 1
        assert seconds > 0
        self.picture, self.seconds = picture, seconds
        self._workers: list[_Worker] = []
        self._lock = Lock()
        try:
            for number in range(workers):
                self._workers.append(_started(number))
            for worker in self._workers:
                worker.line.settimeout(_START_SECONDS)
                self._send(worker, picture, "")
                self._heard(worker, "")
                worker.line.settimeout(seconds)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes, none once the pool is closed."""
        return tuple(worker.process.pid for worker in self._workers)

    def close(self) -> None:
        """End the processes, whatever they are at."""
        for worker in self._workers:
            worker.line.close()
            os.close(worker.life)
            worker.process.kill()
        for worker in self._workers:
            with suppress(subprocess.TimeoutExpired):  # stuck in the kernel, as on a lost network disk
                worker.process.wait(_PATIENCE)
        self._workers = []

    def gather(self, items: Items, names: Sequence[str], rows: Rows) -> Gathered:
        """Decode the samples at these positions.

        Args:
            items: what gives the contents.
            names: of all items, for faults.
            rows: positions, in any order.

        Returns:
            pixels in the order of the rows (B, h, w, C), zeros where there is a fault; the faults in that order.

        Raises:
            DataError: a picture whose channels cannot be converted, or that breaks its decoder.
            ResourceError: a worker was killed, hangs or has no memory.  The pool is closed.
        """
        C, h, w = self.picture.shape
        pixels = np.zeros((len(rows), h, w, C), dtype=self.picture.kind)
        with self._lock:
            if not self._workers:
                raise ResourceError("decoding", "the workers", "running", got="a closed pool", fix="open another")
            try:
                faults = dict(self._answers(items, names, rows, pixels))
            except BaseException:
                self.close()  # what is still under way belongs to no batch
                raise
        return pixels, tuple(faults[place] for place in sorted(faults))

    def _answers(
        self, items: Items, names: Sequence[str], rows: Rows, pixels: Shaped[np.ndarray, "B h w C"]
    ) -> Iterator[tuple[int, Fault]]:
        """Give out shares and take pictures until all are there; yields the faults."""
        share = max(1, -(-len(rows) // (SHARES * len(self._workers))))
        shares = deque(range(start, min(start + share, len(rows))) for start in range(0, len(rows), share))
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.line, selectors.EVENT_READ, worker)
            while shares or any(worker.due for worker in self._workers):
                for worker in self._workers:
                    if not worker.due and shares:
                        places = shares.popleft()
                        chosen = rows[places.start : places.stop]
                        worker.due.extend(places)
                        self._send(worker, (items.pick(chosen), [names[i] for i in chosen]), names[chosen[0]])
                for worker in self._ready(selector, names, rows):
                    place = worker.due[0]
                    fault = self._heard(worker, names[rows[place]], pixels[place])
                    worker.due.popleft()
                    if fault is not None:
                        yield place, fault

    def _ready(self, selector: selectors.BaseSelector, names: Sequence[str], rows: Rows) -> list[_Worker]:
        """The workers that have something to say; waits for the first."""
        busy = [worker for worker in self._workers if worker.due]
        longest = min(busy, key=lambda worker: worker.heard)
        left = longest.heard + self.seconds - time.monotonic()
        ready = [key.data for key, _ in selector.select(max(0.0, left))]
        if not ready and time.monotonic() >= longest.heard + self.seconds:
            raise _hangs(longest, names[rows[longest.due[0]]])
        idle = [worker for worker in ready if not worker.due]
        if idle:  # it had nothing to say
            raise _lost(idle[0], "")
        return ready

    def _send(self, worker: _Worker, what: object, name: str) -> None:
        content = pickle.dumps(what, protocol=pickle.HIGHEST_PROTOCOL)
        worker.heard = time.monotonic()
        try:
            worker.line.sendall(REQUEST.pack(len(content)) + content)
        except TimeoutError as error:
            raise _hangs(worker, name) from error
        except OSError as error:
            raise _lost(worker, name) from error

    def _heard(self, worker: _Worker, name: str, place: Shaped[np.ndarray, "h w C"] | None = None) -> Fault | None:
        """Take one answer, pixels straight into their place."""
        try:
            head = bytearray(ANSWER.size)
            receive(worker.line, memoryview(head))
            kind, length = ANSWER.unpack(head)
            if kind == PIXELS and place is not None and length == place.nbytes:
                receive(worker.line, place.data.cast("B"))
                told = None
            else:
                content = bytearray(length)
                receive(worker.line, memoryview(content))
                told = pickle.loads(content) if content else None
        except TimeoutError as error:
            raise _hangs(worker, name) from error
        except (EOFError, OSError) as error:
            raise _lost(worker, name) from error
        worker.heard = time.monotonic()
        if kind in (PIXELS, READY):
            return None
        if kind == FAULT:
            assert isinstance(told, Fault)
            return told
        raise _refused(kind, told, name, worker)


def _started(number: int) -> _Worker:
    here, there = socket.socketpair()
    their_life, life = os.pipe()
    try:
        process = subprocess.Popen(
            (*_COMMAND, str(there.fileno()), str(their_life)),
            pass_fds=(there.fileno(), their_life),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | _SINGLE,
            process_group=0,  # Ctrl-C in a terminal goes to our group
        )
    except OSError as error:
        here.close()
        os.close(life)
        fix = "use fewer workers (execution.workers)"
        raise ResourceError("decoding", "a worker process", "started", got=str(error.strerror), fix=fix) from error
    finally:
        there.close()
        os.close(their_life)
    return _Worker(number, process, here, life)


def _hangs(worker: _Worker, name: str) -> ResourceError:
    what = "every picture" if name else "a start"
    fix = f"look at {name or 'this machine'}, and at the disk or network that it lies on"
    must, got = f"done within {worker.line.gettimeout():g} s", f"no answer at {name}" if name else "no answer"
    return ResourceError(f"decoding, {worker}", what, must, got=got, fix=fix)


def _lost(worker: _Worker, name: str) -> StriateError:
    """The worker is gone: what killed it decides whose fault it is."""
    try:
        code = worker.process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        code = 0
    at = f" at {name}" if name else ""
    ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    if code in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGFPE, -signal.SIGILL):
        fix = "repair or remove this file: it breaks the program that decodes it"
        return DataError(name or "decoding", "the picture", "decodable", got=f"{worker} {ended}{at}", fix=fix)
    fix = "if the system ran out of memory, use fewer workers or smaller pictures; then continue with striate resume"
    return ResourceError("decoding", str(worker), "running", got=f"{ended}{at}", fix=fix)


def _refused(kind: int, told: object, name: str, worker: _Worker) -> StriateError:
    if kind == NO_MEMORY:
        fix = "use fewer workers or smaller pictures"
        return ResourceError("decoding", "memory", f"enough for {name}", got=f"none left in {worker}", fix=fix)
    if kind == REFUSED and isinstance(told, tuple):
        where, what, must, got, fix = told
        return DataError(f"{where}, {name}", what, must, got=got, fix=fix)
    return DataError(name, "the picture", "decodable", got=f"{told} in {worker}", fix="repair or remove this file")
