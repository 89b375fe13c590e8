"""What an operation costs: multiply-accumulates (MACs) and connections, from its shapes alone.

    convolution            MACs = B O (I / G) prod(kernel) prod(output sizes)          transposed: prod(input sizes)
    matrix product         MACs = B n k m                                              for (n, k) times (k, m)
    attention              MACs = B heads L S (E + E_v)                                q k^T, then weights times values

A MAC is one multiplication and one addition, 2 FLOPs.  Windows that stand partly on padding count in full.  What works
number by number (bias, activation, normalisation, pooling) counts for nothing.  Connections are LeCun's count (1998,
section II.B): weights and biases, each as often as it is used.
"""

from collections.abc import Callable, Mapping
from math import prod

from torch import Tensor

from striate.analysis.call import Call

Constant = Callable[[Tensor], bool]  # whether a tensor does not depend on the input: weights


def macs(call: Call) -> int:
    """Multiply-accumulates of an operation, for the whole batch."""
    rule = _MACS.get(call.name)
    return rule(call) if rule else 0


def connections(call: Call, constant: Constant) -> int:
    """Weights and biases, each as often as the operation uses it, for the whole batch.

    Products of two tensors that both depend on the input, as in attention, have no weights.  A tensor of numbers that
    is added is a bias of its own for every unit.
    """
    if call.name == "add":
        return call.output.numel() if any(constant(t) and t.ndim for t in call.inputs()) else 0
    factors = [t for t in call.inputs() if t.ndim > 1]
    if call.name not in _MACS or not any(constant(factor) for factor in factors):
        return 0
    bias = call.arguments.get("bias") if call.name == "convolution" else call.arguments.get("self")
    biased = isinstance(bias, Tensor) and call.name in ("convolution", "addmm", "baddbmm", "addmv") and constant(bias)
    return macs(call) + (call.output.numel() if biased else 0)


def _convolution(call: Call) -> int:
    weight, places = call["weight"], call["input"] if call["transposed"] else call.output
    return places.numel() * prod(weight.shape[1:])  # a group's share of channels is an axis of the weight


def _product(call: Call) -> int:
    *_, a, b = call.inputs()
    return a.numel() * (b.shape[-1] if b.ndim > 1 else 1)


def _attention(call: Call) -> int:
    q, k, v = call["query"], call["key"], call["value"]
    return prod(q.shape[:-1]) * k.shape[-2] * (q.shape[-1] + v.shape[-1])


def _distances(call: Call) -> int:
    a, b = call["x1"], call["x2"]
    return a.numel() * b.shape[-2]


def _recurrent(call: Call) -> int:
    """One layer of an LSTM as a single operation of the CPU library: weights (4 H, I) and (4 H, H) at every step."""
    x, w_x, w_h = call["input"], call["weight0"], call["weight1"]
    return prod(x.shape[:-1]) * (w_x.numel() + w_h.numel())


_PRODUCTS = "mm bmm addmm baddbmm mv addmv dot".split()
_ATTENTION = "flash_attention_for_cpu flash_attention efficient_attention cudnn_attention".split()
_MACS: Mapping[str, Callable[[Call], int]] = {
    "convolution": _convolution,
    "_cdist_forward": _distances,
    "mkldnn_rnn_layer": _recurrent,
    **dict.fromkeys(_PRODUCTS, _product),
    **dict.fromkeys((f"_scaled_dot_product_{kind}" for kind in _ATTENTION), _attention),
}
