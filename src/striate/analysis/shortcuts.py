"""Shapes of the commonest operations on tensors without numbers, faster than torch's own.

torch works these out in Python, and imports its symbolic mathematics and its compiler for it, which takes longer than
the whole analysis.  What a shortcut does not recognise goes to torch, which also words the error.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from striate.base.errors import ConfigError
from striate.base.shapes import output_size, pool_places, transposed_size

Arguments = Mapping[str, Any]


def shortcut(func: OpOverload, arguments: Arguments) -> Any:
    """The outputs of an operation on tensors of the "meta" device; None if torch has to say."""
    tensors = [value for value in arguments.values() if isinstance(value, Tensor)]
    listed = arguments.get("tensors", ())
    if not all(tensor.is_meta for tensor in (*tensors, *listed)) or not (tensors or listed):
        return None
    name = func.overloadpacket.__name__
    rule = _RULES.get(name)
    if rule is not None:
        return rule(arguments)
    if torch.Tag.pointwise in func.tags and arguments.get("memory_format") is None:
        return _pointwise(name, tensors, arguments)
    if name.endswith("_backward") and len(func._schema.returns) == 1:
        return _like_the_input(arguments)
    return None


def _pointwise(name: str, tensors: list[Tensor], arguments: Arguments) -> Tensor | None:
    """One number of the output for each place; what is not of one kind of float, masks apart, is left to torch."""
    shape = _broadcast([tensor.shape for tensor in tensors])
    floats = [tensor for tensor in tensors if tensor.dtype.is_floating_point]
    kinds = {tensor.dtype for tensor in tensors} - {torch.bool}
    whole = [tensor for tensor in tensors if tensor.shape == shape]
    agree = len({tensor.stride() for tensor in whole}) < 2 or all(map(_in_order, whole))  # else the order is torch's
    plain = bool(floats) and name.rstrip("_") not in _NOT_FLOAT
    if shape is None or len(kinds) > 1 or not agree or not plain:
        return None
    if name.endswith("_"):
        return tensors[0] if tensors[0].shape == shape and tensors[0] is floats[0] else None
    out = arguments.get("out")
    if isinstance(out, Tensor):
        return out if out.shape == shape else None
    return _shaped(floats[0], shape)


def _in_order(x: Tensor) -> bool:
    """Whether the last axis runs fastest, the one before it next, as in a contiguous tensor or a slice of one."""
    steps = [step for step, n in zip(x.stride(), x.shape, strict=True) if n != 1]
    return all(a >= b for a, b in pairwise(steps))


def _broadcast(shapes: Sequence[Sequence[int]]) -> tuple[int, ...] | None:
    """The shape of all together; None where they do not fit."""
    rank = max(map(len, shapes))
    columns = zip(*((*([1] * (rank - len(shape))), *shape) for shape in shapes), strict=True)
    sizes = []
    for column in columns:
        wide = {n for n in column if n != 1}
        if len(wide) > 1:
            return None
        sizes.append(wide.pop() if wide else 1)
    return tuple(sizes)


def _shaped(x: Tensor, shape: Sequence[int]) -> Tensor:
    """A tensor of a shape and of the kind of x, in x's own order in memory where the shape is the same."""
    dense = x.untyped_storage().nbytes() == x.numel() * x.element_size()
    if tuple(shape) == tuple(x.shape) and dense and not x.is_contiguous():
        return torch.empty_strided(tuple(shape), x.stride(), dtype=x.dtype, device=x.device)
    return torch.empty(tuple(shape), dtype=x.dtype, device=x.device)


def _like_the_input(a: Arguments) -> Tensor | None:
    """The gradient of an input has its shape."""
    for name in ("self", "input"):
        if isinstance(a.get(name), Tensor):
            return _shaped(a[name], a[name].shape)
    return None


def _each(values: Any, count: int) -> list[int]:
    return list(values) * count if len(values) == 1 else list(values)


def _convolution(a: Arguments) -> Tensor | None:
    x, weight, axes = a["input"], a["weight"], a["weight"].ndim - 2
    inside = weight.shape[0] if a["transposed"] else weight.shape[1] * a["groups"]
    if a["transposed"] and x.ndim == axes + 2 and x.shape[1] != inside:
        raise RuntimeError(f"{inside} channels expected, {x.shape[1]} came")  # torch would not notice without numbers
    if x.ndim != axes + 2 or x.shape[1] != inside or weight.shape[0] % a["groups"] or x.dtype != weight.dtype:
        return None
    names = ("stride", "padding", "dilation", "output_padding")
    stride, padding, dilation, extra = (_each(a[name], axes) for name in names)
    zipped = zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, extra, strict=True)
    try:
        if a["transposed"]:
            channels = weight.shape[1] * a["groups"]
            sizes = [transposed_size(n, k, s, (p, p), e, d) for n, k, s, p, d, e in zipped]
        else:
            channels = weight.shape[0]
            sizes = [output_size(n, k, s, p, p, d) for n, k, s, p, d, _ in zipped]
    except ConfigError:
        return None
    return _shaped(x, (x.shape[0], channels, *sizes))


def _convolution_backward(a: Arguments) -> tuple[Tensor | None, ...]:
    shapes = (a["input"].shape, a["weight"].shape, a["bias_sizes"])
    wanted = zip(shapes, a["output_mask"], strict=True)
    return tuple(_shaped(a["grad_output"], shape) if asked else None for shape, asked in wanted)


def _batch_norm(a: Arguments) -> tuple[Tensor, ...]:
    x = a["input"]
    count = x.shape[1] if a["training"] else 0
    return _shaped(x, x.shape), _shaped(x, (count,)), _shaped(x, (count,))


def _batch_norm_backward(a: Arguments) -> tuple[Tensor | None, ...]:
    x = a["input"]
    wanted = zip((x.shape, x.shape[1:2], x.shape[1:2]), a["output_mask"], strict=True)
    return tuple(_shaped(x, shape) if asked else None for shape, asked in wanted)


def _pool(a: Arguments) -> Tensor | None:
    """Pooling over two axes."""
    x = a["self"]
    kernel, padding, dilation = (tuple(_each(a.get(name, [1]), 2)) for name in ("kernel_size", "padding", "dilation"))
    stride = tuple(_each(a["stride"], 2)) if a["stride"] else None
    sizes, ceil_mode = tuple(x.shape[-2:]), a["ceil_mode"]
    try:
        places = pool_places(sizes, kernel, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode)
    except ConfigError:
        return None
    return _shaped(x, (*x.shape[:-2], *places.out))


def _max_pool(a: Arguments) -> tuple[Tensor, Tensor] | None:
    y = _pool(a)
    return None if y is None else (y, torch.empty(y.shape, dtype=torch.int64, device=y.device))


def _adaptive_pool(a: Arguments) -> Tensor:
    x, size = a["self"], a["output_size"]
    return _shaped(x, (*x.shape[: x.ndim - len(size)], *size))


def _upsample(a: Arguments) -> Tensor | None:
    x, size = a.get("self"), a.get("output_size")
    if x is None or size is None:
        return None
    return _shaped(x, (*x.shape[:2], *size))


def _reduce(a: Arguments) -> Tensor | None:
    x = a["self"]
    if a.get("dtype") is not None or not x.dtype.is_floating_point:
        return None
    named = a.get("dim")
    dims = {d % max(x.ndim, 1) for d in named} if named else set(range(x.ndim))
    kept = (1 if d in dims else n for d, n in enumerate(x.shape))
    shape = tuple(kept) if a.get("keepdim") else tuple(n for d, n in enumerate(x.shape) if d not in dims)
    return _shaped(x, shape)


def _product(a: Arguments) -> Tensor | None:
    """mm, bmm, addmm, baddbmm."""
    *_, left, right = (value for value in a.values() if isinstance(value, Tensor))
    if left.shape[-1] != right.shape[-2] or left.shape[:-2] != right.shape[:-2] or left.dtype != right.dtype:
        return None
    return _shaped(left, (*left.shape[:-1], right.shape[-1]))


def _cat(a: Arguments) -> Tensor | None:
    tensors = a["tensors"]
    first, rank = tensors[0], tensors[0].ndim
    dim = a["dim"] % max(rank, 1)
    around = {(*t.shape[:dim], *t.shape[dim + 1 :]) for t in tensors}
    if len(around) > 1 or {t.ndim for t in tensors} != {rank} or len({t.dtype for t in tensors}) > 1:
        return None
    return _shaped(first, (*first.shape[:dim], sum(t.shape[dim] for t in tensors), *first.shape[dim + 1 :]))


def _stack(a: Arguments) -> Tensor | None:
    tensors = a["tensors"]
    shape = tensors[0].shape
    if {t.shape for t in tensors} != {shape} or len({t.dtype for t in tensors}) > 1:
        return None
    dim = a["dim"] % (len(shape) + 1)
    return _shaped(tensors[0], (*shape[:dim], len(tensors), *shape[dim:]))


def _pad(a: Arguments) -> Tensor | None:
    x, pads = a["self"], a["pad"]
    sizes = list(x.shape)
    for axis in range(len(pads) // 2):
        sizes[-1 - axis] += pads[2 * axis] + pads[2 * axis + 1]
    return None if min(sizes) < 0 else _shaped(x, sizes)


def _same(a: Arguments) -> Tensor | None:
    x = a["self"]
    kept = a.get("memory_format") in _KEPT and a.get("dtype") in (None, x.dtype) and not a.get("half_to_float")
    return _shaped(x, x.shape) if kept else None


def _clone(a: Arguments) -> Tensor | None:
    x, order = a["self"], a["memory_format"]
    if order == torch.contiguous_format:
        return torch.empty(x.shape, dtype=x.dtype, device=x.device)
    return _shaped(x, x.shape) if order in _KEPT else None


def _itself(a: Arguments) -> Tensor:
    return a["self"]


def _layer_norm(a: Arguments) -> tuple[Tensor, ...] | None:
    x, count = a["input"], len(a["normalized_shape"])
    if tuple(x.shape[x.ndim - count :]) != tuple(a["normalized_shape"]):
        return None
    outer = (*x.shape[: x.ndim - count], *([1] * count))
    return _shaped(x, x.shape), _shaped(x, outer), _shaped(x, outer)


def _layer_norm_backward(a: Arguments) -> tuple[Tensor | None, ...]:
    x, count = a["input"], len(a["normalized_shape"])
    inner = x.shape[x.ndim - count :]
    wanted = zip((x.shape, inner, inner), a["output_mask"], strict=True)
    return tuple(_shaped(x, shape) if asked else None for shape, asked in wanted)


def _softmax_backward(a: Arguments) -> Tensor | None:
    return _shaped(a["grad_output"], a["output"].shape) if a["grad_output"].is_contiguous() else None


def _embedding(a: Arguments) -> Tensor:
    weight, indices = a["weight"], a["indices"]
    return _shaped(weight, (*indices.shape, weight.shape[1]))


_KEPT = (None, torch.preserve_format)  # the order in memory that stays
_NOT_FLOAT = frozenset(  # whose numbers are true or false, or whole, or chosen by such
    "eq ne lt le gt ge logical_and logical_or logical_not logical_xor isnan isinf isfinite isposinf isneginf signbit"
    " bitwise_and bitwise_or bitwise_not bitwise_xor where masked_fill".split()
)
_RULES: Mapping[str, Callable[[Arguments], Any]] = {
    "convolution": _convolution,
    "convolution_backward": _convolution_backward,
    "native_batch_norm": _batch_norm,
    "native_batch_norm_backward": _batch_norm_backward,
    "native_layer_norm": _layer_norm,
    "native_layer_norm_backward": _layer_norm_backward,
    "max_pool2d_with_indices": _max_pool,
    "avg_pool2d": _pool,
    "_adaptive_avg_pool2d": _adaptive_pool,
    "constant_pad_nd": _pad,
    "cat": _cat,
    "stack": _stack,
    "clone": _clone,
    "embedding": _embedding,
    **dict.fromkeys(("upsample_nearest2d", "upsample_bilinear2d", "upsample_bicubic2d"), _upsample),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), _reduce),
    **dict.fromkeys(("mm", "bmm", "addmm", "baddbmm"), _product),
    **dict.fromkeys(("_softmax", "_log_softmax", "_safe_softmax", "empty_like", "zeros_like", "ones_like"), _same),
    **dict.fromkeys(("_softmax_backward_data", "_log_softmax_backward_data"), _softmax_backward),
    **dict.fromkeys(("bernoulli_", "zero_", "fill_", "uniform_", "normal_"), _itself),
}
