"""What an operation costs: multiply-accumulates (MACs) and connections, from its shapes alone.

    convolution            MACs = B O (I / G) prod(kernel) prod(output sizes)          transposed: prod(input sizes)
    matrix product         MACs = B n k m                                              for (n, k) times (k, m)
    attention              MACs = B heads L S (E + E_v)                                q k^T, then weights times values
    bilinear               MACs = B O (I J + I)                                        W x_2, then times x_1

A MAC is one multiplication and one addition, 2 FLOPs; of complex numbers it is one, too, where torch multiplies these
as they are, as it does in matrix products.  A complex convolution runs as three real ones, and counts as these.
Windows that stand partly on padding count in full.  What works number by number (bias, activation, normalisation,
pooling) counts for nothing.  Connections are LeCun's count (1998, section II.B): weights and biases, each as often as
it is used.
"""

from collections.abc import Callable, Iterable, Mapping
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
    if call.name == "_trilinear":
        return len(call["i1"]) * call["i2"].numel()
    bias = call.arguments.get("bias") if call.name == "convolution" else call.arguments.get("self")
    biased = isinstance(bias, Tensor) and call.name in ("convolution", "addmm", "baddbmm", "addmv") and constant(bias)
    return macs(call) + (call.output.numel() if biased else 0)


def uncounted(names: Iterable[str]) -> list[str]:
    """Operations among these, by torch's names, that multiply and add and have no count here: they come to 0 MACs.

    >>> uncounted(["mm", "relu", "_fft_r2c", "linalg_vector_norm", "_fft_r2c"])
    ['_fft_r2c']
    """
    unknown = (name for name in names if name not in _MACS and name not in _NO_PRODUCTS)
    return [name for name in dict.fromkeys(unknown) if _MULTIPLYING.intersection(name.split("_"))]


def _convolution(call: Call) -> int:
    weight, places = call["weight"], call["input"] if call["transposed"] else call.output
    return places.numel() * prod(weight.shape[1:])  # a group's share of channels is an axis of the weight


def _product(call: Call) -> int:
    *_, a, b = call.inputs()
    return a.numel() * (b.shape[-1] if b.ndim > 1 else 1)


def _time_convolution(call: Call) -> int:
    """conv_tbc: input (T, B, C), weight (K, C, O)."""
    return call.output.numel() * prod(call["weight"].shape[:2])


def _rank_one(call: Call) -> int:
    """addr: every number of a matrix takes the product of two."""
    return call["vec1"].numel() * call["vec2"].numel()


def _bilinear(call: Call) -> int:
    """Inputs (B, 1, I, 1) and (B, 1, 1, J) by their places, weight (O, I, J)."""
    O, I, J = call["i2"].shape  # noqa: E741 - the letters of the formula
    return len(call["i1"]) * O * (I * J + I)


def _attention(call: Call) -> int:
    q, k, v = call["query"], call["key"], call["value"]
    return prod(q.shape[:-1]) * k.shape[-2] * (q.shape[-1] + v.shape[-1])


def _distances(call: Call) -> int:
    a, b = call["x1"], call["x2"]
    return a.numel() * b.shape[-2]


def _pairs(call: Call) -> int:
    """pdist: the distances between all rows of (n, k), each pair once."""
    n, k = call["self"].shape
    return n * (n - 1) // 2 * k


def _recurrent(call: Call) -> int:
    """One layer of an LSTM as a single operation of the CPU library: weights (4 H, I) and (4 H, H) at every step."""
    x, w_x, w_h = call["input"], call["weight0"], call["weight1"]
    return prod(x.shape[:-1]) * (w_x.numel() + w_h.numel())


_PRODUCTS = "mm bmm addmm baddbmm addbmm mv addmv dot vdot _int_mm _addmm_activation".split()
_ATTENTION = "flash_attention_for_cpu flash_attention efficient_attention cudnn_attention".split()
_MACS: Mapping[str, Callable[[Call], int]] = {
    "convolution": _convolution,
    "conv_tbc": _time_convolution,
    "addr": _rank_one,
    "_trilinear": _bilinear,
    "_cdist_forward": _distances,
    "_euclidean_dist": _distances,
    "_pdist_forward": _pairs,
    "mkldnn_rnn_layer": _recurrent,
    **dict.fromkeys(_PRODUCTS, _product),
    **dict.fromkeys((f"_scaled_dot_product_{kind}" for kind in _ATTENTION), _attention),
}
_MULTIPLYING = frozenset(  # parts of the names of what multiplies and adds
    "mm bmm addmm mv matmul linear conv convolution conv1d conv2d conv3d rnn lstm gru attention fft linalg cholesky qr"
    " lu ormqr triangular solve ldl geqrf householder".split()
)
_NO_PRODUCTS = frozenset("linalg_vector_norm linalg_cross linalg_diagonal".split())
