"""Gradients added up over processes, bucket by bucket, while backward still makes the rest.

    g = sum_r g_r        g_r = dL/dw of process r's rows, each row in proportion to what it counts in the whole batch

A network's last layers have their gradients first.  As soon as a bucket of them is complete it is on its way, so that
most of the sending hides behind the computing (Li et al. 2020, "PyTorch distributed", VLDB 13:3005).

Why not torch's DistributedDataParallel, which does this too: it takes the mean over processes where a sum of parts is
wanted, wraps the network under other names, must be made once and kept, and stops at a parameter that has no gradient.
Such a parameter is left alone here if no process has one for it, as one process leaves it alone.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn

from striate.training.processes import Processes, others_alive

BUCKET_BYTES = 25 << 20  # what DistributedDataParallel takes: large enough for the network, small enough to overlap


@dataclass(slots=True)
class Bucket:
    """Parameters of one type that are sent together.

    Args:
        parameters: in the order in which their gradients are expected.
        waiting: how many of them have none yet in this backward pass.
        flat: their gradients on the way, and for each whether there is one.
        work: the sending under way.
    """

    parameters: list[nn.Parameter]
    waiting: int = 0
    flat: Tensor | None = None
    work: dist.Work | None = field(default=None, repr=False)

    def send(self) -> None:
        """Start adding up; every process sends its buckets in the same order."""
        first = self.parameters[0]
        present = torch.tensor([p.grad is not None for p in self.parameters]).to(first)
        parts = [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in self.parameters]
        self.flat = torch.cat([*parts, present])
        with others_alive():
            self.work = dist.all_reduce(self.flat, async_op=True)

    def receive(self) -> None:
        """Wait, and put the sums where the gradients were."""
        assert self.work is not None
        assert self.flat is not None
        with others_alive():
            self.work.wait()
        *sums, present = torch.split(self.flat, [*(p.numel() for p in self.parameters), len(self.parameters)])
        for number, (parameter, total) in enumerate(zip(self.parameters, sums, strict=True)):
            if parameter.grad is not None:
                parameter.grad.copy_(total.view(parameter.shape))
            elif present[number] > 0:
                parameter.grad = torch.empty_like(parameter).copy_(total.view(parameter.shape))
        self.flat = self.work = None


class GradientSum:
    """Adds up over processes what a backward pass makes.

    Args:
        buckets: the trained parameters, by `filled`; none for one process, which has nothing to add.
    """

    def __init__(self, buckets: list[Bucket]) -> None:
        self.buckets = buckets
        self.sent = len(buckets)

    def arrived(self, bucket: Bucket) -> None:
        """A gradient of this bucket is complete: send what can go, in order."""
        bucket.waiting -= 1
        while self.sent < len(self.buckets) and self.buckets[self.sent].waiting == 0:
            self.buckets[self.sent].send()
            self.sent += 1

    @contextmanager
    def over(self) -> Iterator[None]:
        """Inside the block goes the backward pass, the last one where there are several; behind it are the sums.

        Raises:
            ResourceError: a process is gone.
        """
        for bucket in self.buckets:
            bucket.waiting = len(bucket.parameters)
        self.sent = 0
        try:
            yield
            for bucket in self.buckets[self.sent :]:  # some parameter took no part
                bucket.send()
        finally:
            self.sent = len(self.buckets)  # passes outside of the block send nothing
        for bucket in self.buckets:
            bucket.receive()


@contextmanager
def gradient_sum(
    processes: Processes, parameters: Iterable[nn.Parameter], limit: int = BUCKET_BYTES
) -> Iterator[GradientSum]:
    """Watch the gradients of these parameters inside the block.

    Args:
        processes: whose gradients are added up; of one, nothing is.
        parameters: those of a network, in its order.
        limit: bytes a bucket.
    """
    trained = [p for p in parameters if p.requires_grad] if processes.world > 1 else []
    total = GradientSum(filled(reversed(trained), limit))
    hooks = [
        parameter.register_post_accumulate_grad_hook(_telling(total, bucket))  # type: ignore[no-untyped-call]
        for bucket in total.buckets
        for parameter in bucket.parameters
    ]
    try:
        yield total
    finally:
        for hook in hooks:
            hook.remove()


def _telling(total: GradientSum, bucket: Bucket) -> Callable[[Tensor], None]:
    return lambda _: total.arrived(bucket)


def filled(parameters: Iterable[nn.Parameter], limit: int) -> list[Bucket]:
    """The parameters in buckets, in their order; one begins where the type changes or the limit would be passed.

    >>> wide, narrow = (nn.Parameter(torch.zeros(size)) for size in (100, 10))
    >>> [len(bucket.parameters) for bucket in filled([narrow, narrow, wide, narrow], limit=100)]
    [2, 1, 1]
    """
    buckets: list[Bucket] = []
    room = 0
    for parameter in parameters:
        size = parameter.numel() * parameter.element_size()
        if not buckets or size > room or parameter.dtype != buckets[-1].parameters[0].dtype:
            buckets.append(Bucket([]))
            room = limit
        buckets[-1].parameters.append(parameter)
        room -= size
    return buckets
