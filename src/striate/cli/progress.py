"""How far reading or fetching has come: a bar on a terminal, a line now and then elsewhere, always on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

PATIENCE = 10.0  # seconds between lines
Progress = Callable[[int, int], None]  # done, in all


@contextmanager
def reading_bar() -> Iterator[Progress]:
    """Gives a function that takes (pictures done, pictures in all)."""
    from rich.progress import MofNCompleteColumn

    with _bar("reading pictures", MofNCompleteColumn()) as progress:
        yield progress


@contextmanager
def bytes_bar() -> Iterator[Progress]:
    """Gives a function that takes (bytes there, bytes in all)."""
    from rich.progress import DownloadColumn

    with _bar("fetching", DownloadColumn()) as progress:
        yield progress


@contextmanager
def _bar(what: str, count: "ProgressColumn") -> Iterator[Progress]:
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn(what), BarColumn(), count, TimeRemainingColumn(compact=True))
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def _lines(what: str) -> Progress:
    last = time.monotonic()

    def say(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > PATIENCE:
            last = time.monotonic()
            print(f"{what}: {done:,} of {total:,}", file=sys.stderr, flush=True)

    return say
