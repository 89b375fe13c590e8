"""The multiply-accumulates of a network, counted while it runs on samples.

`inspect` runs a network without numbers and says far more; this is for whoever has samples and needs one figure.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import HigherOrderOperator
from torch.utils._python_dispatch import TorchDispatchMode

from striate.analysis.call import arguments_of, call_of
from striate.analysis.costs import macs


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what the operations cost; what operators of other functions run, such as `torch.cond`, is not seen."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # it would import torch's compiler, which takes longer than all the rest

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if isinstance(func, HigherOrderOperator):
            return func(*args, **kwargs)
        with self:  # in inference mode an operation comes as it was called, not as what it is made of
            result = func.decompose(*args, **kwargs)
        if result is not NotImplemented:
            return result
        result = func(*args, **kwargs)
        self.macs += macs(call_of(func, arguments_of(func, args, kwargs), result))
        return result


def macs_of(network: nn.Module, samples: Tensor) -> int:
    """Multiply-accumulates of a sample's forward pass in evaluation; see `costs` for what counts.

    >>> macs_of(nn.Linear(3, 2), torch.zeros(5, 3))
    6
    """
    training = network.training
    with torch.no_grad(), _Counting() as counting:  # in inference mode weight normalisation fails it
        network.eval()(samples)
    network.train(training)
    return counting.macs // len(samples)
