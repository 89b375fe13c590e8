"""How a process finds the others that torchrun has started with it, and how it leaves them.

torchrun tells each process its place by the environment (RANK of WORLD_SIZE, LOCAL_RANK on its machine) and keeps a
store of keys and values in which they find each other (MASTER_ADDR, MASTER_PORT).  The store outlives processes: those
that are started anew in their place would read the addresses of the dead, so they first agree on a part of it that
nobody has written to.
"""

import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from striate.base.errors import ConfigError
from striate.training.processes import ALONE, Processes, others_alive

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

PATIENCE = timedelta(minutes=30)  # a machine that is silent for so long is lost; a process does not end silently
FIRST_TELLS = timedelta(seconds=3)  # for the first process to say that it tells what went wrong
HEAD_START = 0.5  # seconds for it to tell, before torchrun sees another one leave and ends it
LOOK = 0.01  # seconds between two looks at the store


@contextmanager
def joined() -> Iterator[Processes]:
    """The processes that torchrun started together with this one, joined inside the block; else this one alone.

    Each takes the GPU of its number on its machine, if there is one.  An error is told by one of them: the first, or
    where that is gone the first to notice.  The others leave quietly with its exit code, and none listens to SIGTERM
    any more, which torchrun sends when one has left.

    Raises:
        ConfigError: the environment is not one of torchrun's.
        ResourceError: the others do not come.
        SystemExit: an error that another process tells.
    """
    processes = of_environment()
    if processes.world == 1:
        yield processes
        return
    gpu = torch.cuda.is_available() and processes.local_rank < torch.cuda.device_count()
    if gpu:
        torch.cuda.set_device(processes.local_rank)
    backend = "cpu:gloo,cuda:nccl" if gpu else "gloo"
    with others_alive():
        store = _unused(next(iter(rendezvous("env://", timeout=PATIENCE)))[0], processes)
        dist.init_process_group(backend, store=store, rank=processes.rank, world_size=processes.world, timeout=PATIENCE)
    try:
        yield processes
    except Exception as error:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if _tells(processes, store):
            raise
        raise SystemExit(getattr(error, "exit_code", 1)) from error
    finally:
        dist.destroy_process_group()


def _unused(store: "Store", processes: Processes) -> "Store":
    """A part of the store that only these processes write to.

    Every process but the first leaves a question that nobody has asked before, and the first answers all it finds with
    the part's name, also old ones, until all have said that they know it.

    Raises:
        RuntimeError: the others do not come.
    """
    if not processes.first:
        question = uuid.uuid4().hex
        store.set(f"question/{processes.rank}", question)
        name = store.get(f"answer/{question}").decode()  # waits
        store.add(f"{name}/known", 1)
        return dist.PrefixStore(name, store)  # type: ignore[attr-defined]
    name, until = uuid.uuid4().hex, time.monotonic() + PATIENCE.total_seconds()
    while store.add(f"{name}/known", 0) < processes.world - 1:
        for key in (f"question/{rank}" for rank in range(1, processes.world)):
            if store.check([key]):
                store.set(f"answer/{store.get(key).decode()}", name)
        if time.monotonic() > until:
            raise RuntimeError("they did not all come")
        time.sleep(LOOK)
    return dist.PrefixStore(name, store)  # type: ignore[attr-defined]


def _tells(processes: Processes, store: "Store") -> bool:
    """Whether it is this process that tells what went wrong."""
    try:
        if processes.first:
            store.set("told", "by the first")
            return True
        try:
            store.wait(["told"], FIRST_TELLS)
        except RuntimeError:  # it is gone, or knows of nothing
            return store.add("tellers", 1) == 1
    except RuntimeError:  # the store went with the first
        return True
    time.sleep(HEAD_START)
    return False


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
        fix = "start it with torchrun --nproc-per-node N -m -- striate ..., or unset WORLD_SIZE for one process"
        got = ", ".join(f"{name}={value}" for name, value in given.items())
        raise ConfigError("processes", "RANK, WORLD_SIZE and LOCAL_RANK", "as torchrun sets them", got=got, fix=fix)
    return Processes(rank, world, local_rank)


@dataclass(frozen=True, slots=True)
class Launch:
    """What torchrun tells of the start of this process.

    Args:
        name: tells one start of torchrun from others, and stays when it starts processes anew; None without torchrun.
        restarts: how often it would start all processes anew when one has failed.
    """

    name: str | None
    restarts: int


def launch() -> Launch:
    """How this process was started."""
    name = os.environ.get("TORCHELASTIC_RUN_ID")
    if name == "none":  # nobody gave a name: the process of torchrun stands for it
        name = f"{socket.gethostname()}-{os.getppid()}"
    return Launch(name, int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")))


def own_device(processes: Processes, device: str) -> str:
    """Where this process's batches go: "cpu", "cuda", or among several processes the GPU that is its own, by number.

    The number is needed: a thread that makes batches does not know which GPU another thread has taken.

    Raises:
        ConfigError: there are fewer GPUs than processes.
    """
    if device == "cpu" or processes.world == 1:
        return device
    count = torch.cuda.device_count()
    if processes.local_rank >= count:
        fix = f"torchrun --nproc-per-node {count}, or --device cpu"
        raise ConfigError("processes", "GPUs of this machine", "one a process", got=count, fix=fix)
    return f"{device}:{processes.local_rank}"
