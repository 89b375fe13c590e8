"""What runs the steps, decided before the first one and said.

Channels-last memory format: on this CPU path oneDNN convolves it 1.1 to 2 times as fast as NCHW, and for
one thread or many it is never slower for the networks here (benchmarks/lenet5_mnist.py).  The allocator keeps memory.
"""

from dataclasses import dataclass

import torch
from torch import nn

from striate.base.allocator import keep_memory
from striate.base.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Plan:
    """The decision.

    Args:
        engine: "torch".
        device: "cpu" or "cuda".
        threads: CPU threads of torch; the sums of one thread and of two differ in the last bits.
    """

    engine: str
    device: str
    threads: int

    def place(self, model: nn.Module) -> nn.Module:
        """Put a network where the plan runs it, in channels-last memory format."""
        return model.to(device=self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __str__(self) -> str:
        on = f"{self.threads} CPU thread{'s' * (self.threads != 1)}" if self.device == "cpu" else "GPU"
        return f"{self.engine} engine, {on}, float32, channels-last"


def make_plan(device: str, threads: int) -> Plan:
    """Decide, and set torch and the allocator accordingly.

    Args:
        device: "auto", "cpu" or "cuda"; auto takes a GPU when there is one.
        threads: 0 is torch's own choice.

    Raises:
        ConfigError: cuda is asked for and absent.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("execution", "device", "there", got="cuda on a machine without it", fix="use --device auto")
    chosen = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if chosen == "cuda":
        torch.backends.cudnn.deterministic = True  # the same seed gives the same bits
    if threads:
        torch.set_num_threads(threads)
    keep_memory()
    return Plan(engine="torch", device=chosen, threads=torch.get_num_threads())
