"""What kind of work a row does, with a colour for each kind, and the few words that a picture has room for.

Colours: Okabe and Ito 2008, "Color universal design", told apart by colour-blind people too.
"""

from collections.abc import Mapping

from striate.analysis.call import Record
from striate.analysis.summary import Row
from striate.base.operations import Shape, written

COLOURS: Mapping[str, str] = {
    "input": "#6b6b6b",
    "convolution": "#0072b2",
    "pooling": "#d55e00",
    "matrix product": "#009e73",
    "normalisation": "#cc79a7",
    "activation": "#e69f00",
    "join": "#56b4e9",
    "other": "#999999",
}
_POOLS = ("max_pool", "avg_pool", "adaptive", "_adaptive", "mkldnn_max", "mean", "amax")
_NORMS = ("native_batch_norm", "native_layer_norm", "native_group_norm", "cudnn_batch_norm", "rsqrt")
_JOINS = ("add", "sub", "mul", "div", "cat", "stack", "maximum", "minimum")
_ACTIVE = frozenset(
    "relu leaky_relu elu celu gelu silu mish sigmoid tanh hardtanh hardswish hardsigmoid softplus threshold clamp"
    " _prelu_kernel _softmax _log_softmax _safe_softmax log_sigmoid_forward glu exp sign".split()
)


def family(row: Row) -> str:
    """One of `COLOURS`, by the operations that a row comes to.

    A row of many is what costs most: a convolution, then a product, then a norm.
    """
    names = {record.name for record in row.records}
    if "convolution" in names:
        return "convolution"
    if row.macs and not any(name.startswith(_POOLS) for name in names):
        return "matrix product"
    if any(name.startswith(_NORMS) for name in names) or "norm" in row.kind.lower():
        return "normalisation"
    if any(name.startswith(_POOLS) for name in names):
        return "pooling"
    if names & _ACTIVE:
        return "activation"
    return "join" if any(map(_joins, row.records)) else "other"


def _joins(record: Record) -> bool:
    tensors = [value for value in record.arguments.values() if isinstance(value, tuple)]
    return record.name in _JOINS and (len(tensors) > 1 or record.name in ("cat", "stack"))


def caption(row: Row) -> str:
    """The kind, with the window and its stride where there is one: "Conv2d 5x5 / 2"."""
    for record in row.records if family(row) in ("convolution", "pooling") else ():
        a = record.arguments
        window = a["weight"][2:] if record.name == "convolution" else a.get("kernel_size")
        if window:
            axes = min(len(window), max(len(row.output_shape) - 1, 1))  # torch puts an axis before a lone one
            stride = tuple(a.get("stride") or window)
            return f"{row.kind} {written(tuple(window)[-axes:])}{_stride(stride[-axes:])}"
    return row.kind


def _stride(stride: Shape) -> str:
    if set(stride) == {1}:
        return ""
    return f" / {stride[0] if len(set(stride)) == 1 else written(stride)}"
