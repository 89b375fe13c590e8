"""Several processes that train one network, each on its own rows of every batch.

    torchrun --nproc-per-node N -m striate train ...

starts N processes alike on this machine, or on each of several, and tells each its place by the environment: RANK of
WORLD_SIZE, LOCAL_RANK on its machine.  What they say to each other goes through torch.distributed: gloo between CPUs,
NCCL between GPUs.

The rows of a batch are dealt out in pairs of neighbours, since mixed pictures (`striate.data.augment.mixing`) are mixed
in such pairs; the last one of an odd batch stays with the pair before it.  A batch with fewer pairs than there are
processes is not shared: every process takes all of it, and the mean over processes is the batch's own.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor

from striate.base.errors import ConfigError, ResourceError

PATIENCE = timedelta(minutes=5)  # a process that says nothing for so long is taken for lost
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

    def from_first(self, value: Value) -> Value:
        """What the first process has, on all of them; tensors arrive on the CPU they were sent from.

        Raises:
            ResourceError: a process is gone.
        """
        if self.world == 1:
            return value
        values: list[Value | None] = [value if self.first else None]
        with others_alive():
            dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
        return cast("Value", values[0])

    def gather(self, rows: Shaped[Tensor, "b *row"], count: int) -> Shaped[Tensor, "n *row"]:
        """All of `count` rows, in order, on every process, from this one's `rows(count)` of them.

        Raises:
            ResourceError: a process is gone.
        """
        if not self.divides(count) or self.world == 1:
            return rows
        lengths = [part.stop - part.start for part in (self._rows_of(rank, count) for rank in range(self.world))]
        padded = rows.new_zeros(max(lengths), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in lengths]
        with others_alive():
            dist.all_gather(parts, padded)
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])


ALONE = Processes()


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that torchrun started together with this one, joined inside the block; else this one alone.

    Args:
        device: "cpu" or "cuda"; on cuda each takes the GPU of its number on the machine.

    Raises:
        ConfigError: the environment is not one of torchrun's, or has fewer GPUs than processes.
        ResourceError: the others do not come.
    """
    processes = of_environment()
    if processes.world == 1:
        yield processes
        return
    if device == "cuda":
        _take_gpu(processes.local_rank)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    with others_alive():
        dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield processes
    finally:
        dist.destroy_process_group()


def of_environment() -> Processes:
    """This process's place as the environment has it; alone where it has none.

    Raises:
        ConfigError: numbers that cannot be.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
    given = {name: os.environ[name] for name in names if name in os.environ}
    if "WORLD_SIZE" not in given or given["WORLD_SIZE"] == "1":
        return ALONE
    try:
        rank, world, local_rank = (int(given.get(name, "0")) for name in names)
    except ValueError:
        rank, world, local_rank = 0, 0, 0
    if len(given) < len(names) or not 0 <= local_rank <= rank < world:
        fix = "start it with torchrun --nproc-per-node N -m striate ..., or unset WORLD_SIZE for one process"
        got = ", ".join(f"{name}={value}" for name, value in given.items())
        raise ConfigError("processes", "RANK, WORLD_SIZE and LOCAL_RANK", "as torchrun sets them", got=got, fix=fix)
    return Processes(rank, world, local_rank)


def _take_gpu(local_rank: int) -> None:
    count = torch.cuda.device_count()
    if local_rank >= count:
        fix = f"torchrun --nproc-per-node {max(1, count)}, or --device cpu"
        raise ConfigError("processes", "GPUs of this machine", "one a process", got=count, fix=fix)
    torch.cuda.set_device(local_rank)


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
