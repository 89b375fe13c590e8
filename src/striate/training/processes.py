"""Several processes that train one network, each on its own rows of every batch.

    torchrun --nproc-per-node N -m -- striate train ...

starts N processes alike on this machine, or on each of several, and tells each its place by the environment: RANK of
WORLD_SIZE, LOCAL_RANK on its machine.  What they say to each other goes through torch.distributed: gloo between CPUs,
NCCL between GPUs.

The rows of a batch are dealt out in pairs of neighbours, since mixed pictures (`striate.data.augment.mixing`) are mixed
in such pairs; the last one of an odd batch stays with the pair before it.  A batch with fewer pairs than there are
processes is not shared: every process takes all of it, and the mean over processes is the batch's own.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar, cast

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor

from striate.base.errors import ResourceError

PATIENCE = timedelta(
    minutes=30
)  # a machine that says nothing for so long is taken for lost; a process ends with a word
FIRST_TELLS = timedelta(seconds=3)  # for the first process to say that it tells what went wrong
HEAD_START = 0.5  # seconds for it to tell, before torchrun sees another one leave and ends it
if TYPE_CHECKING:
    pass

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Processes:
    """Which of how many processes this is, and what they do together.

    Every method that needs the others must be called by all of them, in the same order.

    Args:
        rank: this process among all, from 0.
        world: how many there are.
        local_rank: this process among those of its machine, from 0; it has the GPU of this number.

    >>> [Processes(rank, 2).rows(7) for rank in range(2)]
    [slice(0, 2, None), slice(2, 7, None)]
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0

    def divides(self, count: int) -> bool:
        """Whether so many rows are shared; otherwise every process takes all of them."""
        return count // 2 >= self.world

    def rows(self, count: int) -> slice:
        """Which of `count` rows are this process's."""
        return self._rows_of(self.rank, count)

    def fewest(self, count: int) -> int:
        """Rows that every process has at least, of `count`."""
        return min(len(range(count)[self._rows_of(rank, count)]) for rank in range(self.world))

    def _rows_of(self, rank: int, count: int) -> slice:
        if not self.divides(count):
            return slice(0, count)
        pairs = count // 2
        stop = count if rank == self.world - 1 else 2 * (pairs * (rank + 1) // self.world)
        return slice(2 * (pairs * rank // self.world), stop)

    def sum(self, tensor: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """The sum over the processes, the same bits on each; for one process the tensor itself.

        Raises:
            ResourceError: a process is gone.
        """
        if self.world == 1:
            return tensor
        total = tensor.detach().contiguous().clone()
        with others_alive():
            dist.all_reduce(total)
        return total

    def largest(self, number: int) -> int:
        """The largest number that any process gives.

        Raises:
            ResourceError: a process is gone.
        """
        if self.world == 1:
            return number
        value = torch.tensor(number)
        with others_alive():
            dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return int(value)

    def from_first(self, make: Callable[[], Value]) -> Value:
        """What the first process makes, on all of them; only there `make` is called.

        Raises:
            ResourceError: a process is gone.
        """
        if self.world == 1:
            return make()
        values: list[Value | None] = [make() if self.first else None]
        with others_alive():
            dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return cast("Value", values[0])

    def align(self, tensors: Iterable[Tensor]) -> None:
        """Give these tensors the numbers that they have on the first process.

        Raises:
            ResourceError: a process is gone.
        """
        for tensor in tensors if self.world > 1 else ():
            sent = tensor.detach().contiguous()
            with others_alive():
                dist.broadcast(sent, src=0)
            if sent.data_ptr() != tensor.data_ptr():
                tensor.detach().copy_(sent)

    def dealt(self, count: int) -> slice:
        """Which of `count` samples this process looks at, each of which is looked at once: every `world`-th."""
        return slice(self.rank, count, self.world)

    def gather(self, rows: Shaped[Tensor, "b *row"] | None) -> Shaped[Tensor, "n *row"]:
        """The next rows of all processes in their order, from the next ones that were `dealt` to this one; on the CPU.

        Args:
            rows: as many as on the first process, or one less; None where none is left.

        Raises:
            ResourceError: a process is gone.
        """
        if self.world == 1:
            assert rows is not None
            return rows
        shape, kind = self.from_first(lambda: (rows.shape, rows.dtype))  # type: ignore[union-attr]
        length = torch.tensor(0 if rows is None else len(rows))
        padded = torch.zeros(shape, dtype=kind)
        if rows is not None:
            padded[: len(rows)] = rows
        sent = padded.reshape(shape[0], -1).view(torch.uint8)  # as bytes: gloo does not know all types
        parts = [torch.empty_like(sent) for _ in range(self.world)]
        with others_alive():
            dist.all_reduce(length)
            dist.all_gather(parts, sent)
        dealt = torch.stack(parts, dim=1).reshape(shape[0] * self.world, -1)
        return dealt.view(kind).reshape(-1, *shape[1:])[: int(length)]


ALONE = Processes()


class Agreement:
    """A number that any process may raise, known to all a call later: nobody waits for the exchange in between.

    Args:
        processes: which ask equally often.
    """

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.value = torch.tensor(0)
        self.work: dist.Work | None = None

    def before(self, number: int) -> int:
        """The largest number that was given in the call before this one; of one process, the number itself.

        Raises:
            ResourceError: a process is gone.
        """
        if self.processes.world == 1:
            return number
        with others_alive():
            if self.work is not None:
                self.work.wait()
            agreed = int(self.value)
            self.value = torch.tensor(number)
            self.work = dist.all_reduce(self.value, op=dist.ReduceOp.MAX, async_op=True)
        return agreed


@contextmanager
def others_alive() -> Iterator[None]:
    """Say in a sentence what the libraries below say when a process has gone."""
    try:
        yield
    except RuntimeError as error:  # torch.distributed's own errors are among them
        first_line = str(error).partition("\n")[0]
        fix = "its own message, if it had time for one, is above; go on with torchrun ... -m striate resume RUN"
        raise ResourceError(
            "processes", "every process", "there", got=f"one that is gone ({first_line})", fix=fix
        ) from error
