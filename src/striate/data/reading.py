"""Every sample of a part read once: its content hashed, and decoded where nobody has done so before.

All cores work on it: hashing and Pillow's decoding let go of the interpreter.  Results come in order, and only a few
are under way at any moment, so memory stays flat however many samples there are.
"""

import os
from collections import deque
from collections.abc import Callable, Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from jaxtyping import Shaped

from striate.data.decode import DecodeFault, Fault, decoded
from striate.data.items import content_digest
from striate.data.picture import Picture
from striate.data.samples import Samples

AHEAD = 32  # samples under way for each core
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """One sample.

    Args:
        digest: SHA-256 of its content; empty where it could not be read.
        pixels: fitted, channels last; None where they are known already, or the sample is at fault.
        fault: why there is no picture.
    """

    digest: bytes
    pixels: Shaped[np.ndarray, "h w C"] | None
    fault: Fault | None = None


def read_all(samples: Samples, picture: Picture, known: Container[bytes] = ()) -> Iterator[Read]:
    """Read every sample, in order.

    Args:
        samples: what to read.
        picture: what every image is brought to.
        known: digests of contents that need no decoding; asked anew for every sample.
    """

    def one(row: int) -> Read:
        return read_one(samples, picture, known, row)

    yield from ordered(one, len(samples))


def read_one(samples: Samples, picture: Picture, known: Container[bytes], row: int) -> Read:
    """Read one sample."""
    name, digest = samples.names[row], b""
    try:
        content = samples.items.content(row, name)
        digest = content_digest(content)
        if digest in known:
            return Read(digest, None)
        return Read(digest, decoded(content, picture, name).transpose(1, 2, 0))
    except DecodeFault as error:
        return Read(digest, None, error.fault)


def ordered(work: Callable[[int], Result], count: int) -> Iterator[Result]:
    """work(0), work(1), ... by a thread on every core, a bounded number of them ahead of the reader."""
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        rows = iter(range(count))
        under_way: deque[Future[Result]] = deque(pool.submit(work, row) for row in islice(rows, AHEAD * cores))
        try:
            while under_way:
                result = under_way.popleft().result()
                under_way.extend(pool.submit(work, row) for row in islice(rows, 1))
                yield result
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
