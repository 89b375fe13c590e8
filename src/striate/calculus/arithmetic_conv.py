"""The terms of one number of a convolution, a transposed convolution or a fully connected layer, and of its gradients.

    conv            y[b,o,m]  = bias[o] + sum_{i,k} weight[o,i,k] x[b,i,s m + d k - before]
                    dx[b,i,j] = sum over the o, m, k that meet pixel j of weight[o,i,k] dy[b,o,m]
                    dw[o,i,k] = sum_{b,m} dy[b,o,m] x[b,i,s m + d k - before]
    conv_transpose  the same three, with the parts of x and y exchanged
    linear          y[b,o] = bias[o] + sum_i weight[o,i] x[b,i]

Sources: those of `conv.py`, `conv_transpose.py` and `linear.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product as every

from torch import Tensor

from striate.base.operations import Linear
from striate.base.padding import explicit
from striate.base.shapes import per_axis
from striate.base.windowed import Conv, ConvTranspose
from striate.calculus.conv import geometry
from striate.calculus.padding import is_constant, sources
from striate.calculus.steps import Given
from striate.calculus.terms import Arithmetic, At, Term, product, total

CONV = "y[b,o,m] = bias[o] + sum over i, k of weight[o,i,k] x[b,i,s m + d k - before]"
CONV_DX = "dx[b,i,j] = sum over the o, m, k that meet pixel j of weight[o,i,k] dy[b,o,m]"
CONV_DW = "dw[o,i,k] = sum over b, m of dy[b,o,m] x[b,i,s m + d k - before]"
TRANSPOSE = "y[b,o,j] = bias[o] + sum over the i, m, k with s m + d k - before = j of weight[i,o,k] x[b,i,m]"
TRANSPOSE_DX = "dx[b,i,m] = sum over o, k of weight[i,o,k] dy[b,o,s m + d k - before]"
TRANSPOSE_DW = "dw[i,o,k] = sum over b, m of dy[b,o,s m + d k - before] x[b,i,m]"
LINEAR = "y[b,o] = bias[o] + sum over i of weight[o,i] x[b,i]"
LINEAR_DX = "dx[b,i] = sum over o of weight[o,i] dy[b,o]"
LINEAR_DW = "dw[o,i] = sum over b of dy[b,o] x[b,i]"
BIAS = "dbias[o] = sum over b, m of dy[b,o,m]"


@dataclass(frozen=True, slots=True)
class Entry:
    """What entry k of a window meets on one axis: a pixel (None in padding that copies none)."""

    pixel: int | None
    inside: bool


Axis = tuple[tuple[Entry, ...], ...]  # for every window, its entries


def looked_at(axes: tuple[Axis, ...], window: At) -> Iterator[tuple[At, At | None, bool]]:
    """Of one window, every entry k, its pixel and whether that lies in the picture."""
    rows = [list(enumerate(axis[o])) for axis, o in zip(axes, window, strict=True)]
    for row in every(*rows):
        pixels = [entry.pixel for _, entry in row]
        at = None if None in pixels else tuple(p for p in pixels if p is not None)
        yield tuple(k for k, _ in row), at, all(entry.inside for _, entry in row)


def lookers(axes: tuple[Axis, ...], pixel: At) -> Iterator[tuple[At, At]]:
    """Of one pixel, every window m that looks at it and the entry k that does."""
    found = [
        [(m, k) for m, window in enumerate(axis) for k, entry in enumerate(window) if entry.pixel == j]
        for axis, j in zip(axes, pixel, strict=True)
    ]
    for row in every(*found):
        yield tuple(m for m, _ in row), tuple(k for _, k in row)


@dataclass(frozen=True, slots=True)
class Comb:
    """What lays the windows of one axis: window w meets the pixels stride w + dilation k - before, k = 0 .. K-1."""

    kernel: int
    stride: int
    dilation: int
    before: int

    def axis(self, windows: int, size: int, copied: list[int] | None = None) -> Axis:
        """All windows on an axis of `size` pixels; `copied` has the source of every padded pixel, if it has one."""
        return tuple(tuple(self._entry(w, k, size, copied) for k in range(self.kernel)) for w in range(windows))

    def _entry(self, w: int, k: int, size: int, copied: list[int] | None) -> Entry:
        p = self.stride * w + self.dilation * k - self.before
        inside = 0 <= p < size
        return Entry(p if inside else (copied[p + self.before] if copied else None), inside)


def conv_axes(o: Conv, sizes: tuple[int, ...]) -> tuple[Axis, ...]:
    """Where the windows of a convolution lie, its border's copies followed to their sources."""
    kernel = per_axis("kernel_size", o.kernel_size, len(sizes), where=o.kind)
    g = geometry(sizes, kernel, o.stride, o.padding, o.dilation)
    windows = o.shape((o.groups, *sizes))[1:]
    axes = []
    for n, m, k, s, d, pair in zip(sizes, windows, kernel, g.stride, g.dilation, g.pairs, strict=True):
        copied = None if is_constant(o.padding_mode) else sources(n, pair, o.padding_mode).tolist()
        axes.append(Comb(k, s, d, pair[0]).axis(m, n, copied))
    return tuple(axes)


def transposed_axes(o: ConvTranspose, sizes: tuple[int, ...]) -> tuple[Axis, ...]:
    """Where every input pixel's stamp lies on the output: the windows of the convolution whose adjoint this is."""
    dims = len(sizes)
    options = (per_axis("size", value, dims, where=o.kind) for value in (o.kernel_size, o.stride, o.dilation))
    befores = (before for before, _ in explicit(o.padding, dims))
    zipped = zip(sizes, o.shape((o.groups, *sizes))[1:], *options, befores, strict=True)
    return tuple(Comb(k, s, d, before).axis(n, m) for n, m, k, s, d, before in zipped)


def _bias(given: Given, channel: int) -> float | None:
    bias = given.parameters.get("bias")
    return None if bias is None else bias[channel].item()


def _turned(o: Conv, k: At, weight: Tensor) -> At:
    """The entry of the weight that stands at k in the window."""
    return tuple(n - 1 - e for n, e in zip(weight.shape[2:], k, strict=True)) if o.flip_kernel else k


def conv_output(o: Conv, x: Tensor, at: At, given: Given) -> Arithmetic:
    """y[b, o, m]."""
    (b, out, *m), weight = at, given.parameters["weight"]
    inputs = weight.shape[1]
    first = out // (o.out_channels // o.groups) * inputs
    terms: list[Term] = []
    entries = list(looked_at(conv_axes(o, tuple(x.shape[2:])), tuple(m)))
    for i in range(inputs):
        for k, pixel, inside in entries:
            w = (out, i, *_turned(o, k, weight))
            where = None if pixel is None else (b, first + i, *pixel)
            value = 0.0 if where is None else x[where].item()
            terms.append(product(where, value, weight[w].item(), channel=first + i, factor_at=w, outside=not inside))
    return total(CONV, terms, bias=_bias(given, out))


def conv_dx(o: Conv, dy: Tensor, x: Tensor, at: At, given: Given) -> Arithmetic:
    """dL/dx[b, i, j]."""
    (b, c, *j), weight = at, given.parameters["weight"]
    inputs, outputs = weight.shape[1], o.out_channels // o.groups
    group, i = divmod(c, inputs)
    meeting = list(lookers(conv_axes(o, tuple(x.shape[2:])), tuple(j)))
    terms = []
    for out in range(group * outputs, (group + 1) * outputs):
        for m, k in meeting:
            w, where = (out, i, *_turned(o, k, weight)), (b, out, *m)
            terms.append(product(where, dy[where].item(), weight[w].item(), channel=out, factor_at=w))
    return total(CONV_DX, terms, names=("dy", "weight"), by="output channel")


def conv_dparameter(o: Conv, dy: Tensor, x: Tensor, name: str, at: At) -> Arithmetic:
    """dL/dweight[o, i, k], or dL/dbias[o]."""
    if name == "bias":
        return bias_gradient(dy, at)
    out, i, *k = at
    inputs, outputs = x.shape[1] // o.groups, o.out_channels // o.groups
    c = out // outputs * inputs + i
    axes = conv_axes(o, tuple(x.shape[2:]))
    if o.flip_kernel:
        k = [len(axis[0]) - 1 - e for axis, e in zip(axes, k, strict=True)]
    terms = []
    for b, *m in every(range(len(x)), *(range(len(axis)) for axis in axes)):
        met = [axis[w][e] for axis, w, e in zip(axes, m, k, strict=True)]
        pixels = [entry.pixel for entry in met]
        where = None if None in pixels else (b, c, *(p for p in pixels if p is not None))
        factor = 0.0 if where is None else x[where].item()
        outside = not all(entry.inside for entry in met)
        error = (b, out, *m)
        terms.append(product(error, dy[error].item(), factor, channel=b, factor_at=where, outside=outside))
    return total(CONV_DW, terms, names=("dy", "x"), by="picture")


def transpose_output(o: ConvTranspose, x: Tensor, at: At, given: Given) -> Arithmetic:
    """y[b, o, j]."""
    (b, out, *j), weight = at, given.parameters["weight"]
    outputs, inputs = weight.shape[1], x.shape[1] // o.groups
    group = out // outputs
    meeting = list(lookers(transposed_axes(o, tuple(x.shape[2:])), tuple(j)))
    terms = []
    for c in range(group * inputs, (group + 1) * inputs):
        for m, k in meeting:
            w, where = (c, out % outputs, *k), (b, c, *m)
            terms.append(product(where, x[where].item(), weight[w].item(), channel=c, factor_at=w))
    return total(TRANSPOSE, terms, bias=_bias(given, out))


def transpose_dx(o: ConvTranspose, dy: Tensor, x: Tensor, at: At, given: Given) -> Arithmetic:
    """dL/dx[b, i, m]; where the stamp hangs over the edge its error is that of a pixel taken away, 0."""
    (b, c, *m), weight = at, given.parameters["weight"]
    outputs, inputs = weight.shape[1], x.shape[1] // o.groups
    entries = list(looked_at(transposed_axes(o, tuple(x.shape[2:])), tuple(m)))
    terms = []
    for out in range(outputs):
        channel = c // inputs * outputs + out
        for k, pixel, inside in entries:
            where, w = None if pixel is None else (b, channel, *pixel), (c, out, *k)
            error = 0.0 if where is None else dy[where].item()
            terms.append(product(where, error, weight[w].item(), channel=channel, factor_at=w, outside=not inside))
    return total(TRANSPOSE_DX, terms, names=("dy", "weight"), by="output channel")


def transpose_dparameter(o: ConvTranspose, dy: Tensor, x: Tensor, name: str, at: At) -> Arithmetic:
    """dL/dweight[i, o, k], or dL/dbias[o]."""
    if name == "bias":
        return bias_gradient(dy, at)
    c, out, *k = at
    inputs, outputs = x.shape[1] // o.groups, o.out_channels // o.groups
    channel = c // inputs * outputs + out
    axes = transposed_axes(o, tuple(x.shape[2:]))
    terms = []
    for b, *m in every(range(len(x)), *(range(len(axis)) for axis in axes)):
        pixels = [axis[w][e].pixel for axis, w, e in zip(axes, m, k, strict=True)]
        where = None if None in pixels else (b, channel, *(p for p in pixels if p is not None))
        error = 0.0 if where is None else dy[where].item()
        source = (b, c, *m)
        terms.append(product(where, error, x[source].item(), channel=b, factor_at=source, outside=where is None))
    return total(TRANSPOSE_DW, terms, names=("dy", "x"), by="picture")


def linear_output(_: Linear, x: Tensor, at: At, given: Given) -> Arithmetic:
    """y[b, o]."""
    (b, out), weight = at, given.parameters["weight"]
    pairs = enumerate(zip(x[b].tolist(), weight[out].tolist(), strict=True))
    terms = [product((b, i), value, w, factor_at=(out, i)) for i, (value, w) in pairs]
    return total(LINEAR, terms, bias=_bias(given, out))


def linear_dx(_: Linear, dy: Tensor, __: Tensor, at: At, given: Given) -> Arithmetic:
    """dL/dx[b, i]."""
    (b, i), weight = at, given.parameters["weight"]
    pairs = enumerate(zip(dy[b].tolist(), weight[:, i].tolist(), strict=True))
    return total(LINEAR_DX, [product((b, o), e, w, factor_at=(o, i)) for o, (e, w) in pairs], names=("dy", "weight"))


def linear_dparameter(_: Linear, dy: Tensor, x: Tensor, name: str, at: At) -> Arithmetic:
    """dL/dweight[o, i], or dL/dbias[o]."""
    if name == "bias":
        return bias_gradient(dy, at)
    out, i = at
    pairs = enumerate(zip(dy[:, out].tolist(), x[:, i].tolist(), strict=True))
    terms = [product((b, out), e, value, channel=b, factor_at=(b, i)) for b, (e, value) in pairs]
    return total(LINEAR_DW, terms, names=("dy", "x"), by="picture")


def bias_gradient(dy: Tensor, at: At) -> Arithmetic:
    """dL/dbias[o]: every error of the channel, once."""
    places = every(range(len(dy)), at, *(range(n) for n in dy.shape[2:]))
    terms = [product(place, dy[place].item(), 1.0, channel=place[0]) for place in places]
    return total(BIAS, terms, names=("dy", "1"), by="picture")
