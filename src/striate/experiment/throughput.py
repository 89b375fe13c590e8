"""How fast the network trains, how fast its pictures come, which of the two waits for the other, and the memory taken.

Batches are made ahead while the network trains on the former ones.  If the loader needs L seconds for a batch and the
network C, an update takes max(L, C), of which max(0, L - C) is waiting.  So

    network = pictures / (seconds - waited)        loader = pictures / seconds, where it was waited for

and a loader that was never waited for is faster than the network; by how much does not show.
"""

import resource
import sys
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Generic, TypeVar

from striate.experiment.events import EpochEnded, Event, Noted
from striate.experiment.history import Speeds
from striate.experiment.progress import FELT

Item = TypeVar("Item")

TELLING = 1.0  # seconds of updates that say something about speed


class Waiting(Generic[Item]):
    """The same items, and how long each was waited for.

    Args:
        items: what may take its time.
    """

    def __init__(self, items: Iterable[Item]) -> None:
        self.items = items
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Item]:
        items = iter(self.items)
        while True:
            before = time.monotonic()
            try:
                item = next(items)
            except StopIteration:
                return
            self.seconds += time.monotonic() - before
            yield item

    def taken(self) -> float:
        """Seconds waited since this was last asked."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


def bottleneck(speeds: Speeds, device: str) -> str:
    """Who waits for whom, and what to do about it, in one line.

    >>> print(bottleneck(Speeds(pictures=2100, seconds=10.0, waited=7.0), "cpu"))
    loader 210 pictures/s, network 700: training waits for pictures 70 % of the time; raise execution.workers, keep \
decoded pictures (execution.cache, execution.cache_gb), or augment less
    >>> print(bottleneck(Speeds(pictures=2100, seconds=10.0, waited=0.1), "cpu"))
    network 212 pictures/s, the loader is faster: the network sets the pace; a GPU, a smaller preprocess.image_size or \
a smaller network would be faster
    """
    if speeds.share >= FELT:
        return (
            f"loader {speeds.overall:,.0f} pictures/s, network {speeds.network:,.0f}: training waits for pictures "
            f"{100 * speeds.share:.0f} % of the time; raise execution.workers, keep decoded pictures (execution.cache, "
            "execution.cache_gb), or augment less"
        )
    faster = "" if device.startswith("cuda") else "a GPU, "
    return (
        f"network {speeds.network:,.0f} pictures/s, the loader is faster: the network sets the pace; "
        f"{faster}a smaller preprocess.image_size or a smaller network would be faster"
    )


def with_bottleneck(events: Generator[Event, None, None], device: str) -> Generator[Event, None, None]:
    """The same events, with a note on the bottleneck after the first epoch that is long enough to tell."""
    told = False
    with closing(events):
        for event in events:
            yield event
            if isinstance(event, EpochEnded) and not told and event.speeds and event.speeds.seconds >= TELLING:
                told = True
                yield Noted(bottleneck(event.speeds, device))


def peak_memory(device: str) -> int:
    """The most bytes that training has taken so far: of the GPU where it trains on one, else of the process."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
