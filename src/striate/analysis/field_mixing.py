"""Receptive fields through operations that mix entries: products, sums, normalisation, and what is looked up."""

from collections.abc import Mapping
from dataclasses import replace

from striate.analysis.call import Call
from striate.analysis.field import Field, merged, still
from striate.analysis.field_views import Lookup, Rule, source


def pointwise(call: Call, fields: Lookup) -> Field | None:
    """Each number of the output comes of the numbers in its place."""
    known = [field for field in map(fields, call.inputs()) if field is not None]
    return merged(known, tuple(call.output.shape)) if known else None


def whole(call: Call, fields: Lookup) -> Field | None:
    """Nothing is known of the operation: every output may depend on all that any input depends on."""
    known = [field for field in map(fields, call.inputs()) if field is not None]
    if not known:
        return None
    shape = tuple(call.output.shape)
    axes = len(known[0].intervals)
    seen = [field.spread(range(len(field.dims))) for field in known]
    flat = [replace(field, dims=tuple(still(n, axes) for n in shape)) for field in seen]
    return merged(flat, shape).bound()


def _product(call: Call, fields: Lookup) -> Field | None:
    """(…, n, k) times (…, k, m): an entry sees a row of the first and a column of the second."""
    tensors = list(call.inputs())
    added, (a, b) = tensors[:-2], tensors[-2:]
    shape = tuple(call.output.shape)
    parts = []
    if (left := fields(a)) is not None:
        last = len(left.dims) - 1
        row = left.spread([last])
        columns = still(b.shape[-1], len(row.intervals)) if b.ndim > 1 else ()
        dims = (*row.dims[:last], columns) if b.ndim > 1 else row.dims[:last]
        parts.append(replace(row, dims=dims))
    if (right := fields(b)) is not None:
        depth = len(right.dims) - 2 if b.ndim > 1 else 0
        column = right.spread([depth])
        rows = still(a.shape[-2], len(column.intervals)) if a.ndim > 1 else ()
        dims = column.dims[depth + 1 :]
        before = (*column.dims[:depth], rows) if a.ndim > 1 else column.dims[:depth]
        parts.append(replace(column, dims=(*before, *dims)))
    parts += [field for field in map(fields, added) if field is not None]
    return merged(parts, shape) if parts else None


def _reduce(call: Call, fields: Lookup) -> Field | None:
    """One number of all along some dimensions."""
    field = source(call, fields)
    if field is None:
        return None
    named = call.arguments.get("dim")
    every = range(len(field.dims))
    dims = every if named is None or named == [] else {d % max(len(field.dims), 1) for d in _listed(named)}
    seen = field.spread(dims)
    if call.output.ndim == len(field.dims):  # keepdim
        return replace(seen, dims=tuple(() if d in dims else own for d, own in enumerate(seen.dims)))
    return replace(seen, dims=tuple(own for d, own in enumerate(seen.dims) if d not in dims))


def _listed(named: object) -> list[int]:
    return [named] if isinstance(named, int) else list(named)  # type: ignore[call-overload]


def _along(call: Call, fields: Lookup) -> Field | None:
    """Along a dimension every number depends on all: softmax, sorting."""
    field = source(call, fields)
    if field is None:
        return None
    dim = call["dim"] % max(len(field.dims), 1)
    seen = field.spread([dim])
    return (
        seen
        if seen.shape == tuple(call.output.shape)
        else seen.replaced(dim, still(call.output.shape[dim], len(seen.intervals)))
    )


def _running(call: Call, fields: Lookup) -> Field | None:
    """Running sums: a window over all entries, that ends at its own."""
    field = source(call, fields)
    if field is None or not field.dims:
        return field
    dim = call["dim"] % len(field.dims)
    count = field.shape[dim]
    return field.window(dim, count, before=count - 1, out=count)


def _glu(call: Call, fields: Lookup) -> Field | None:
    """The first half of a dimension, gated by the second."""
    field = source(call, fields)
    if field is None:
        return None
    dim = call["dim"] % len(field.dims)
    half = field.shape[dim] // 2
    return field.window(dim, 2, dilation=half, out=half)


def _layer_norm(call: Call, fields: Lookup) -> Field | None:
    field = fields(call["input"])
    return field and field.spread(range(len(field.dims) - len(call["normalized_shape"]), len(field.dims)))


def _group_norm(call: Call, fields: Lookup) -> Field | None:
    field = fields(call["input"])
    return field and field.spread(range(1, len(field.dims)))


def _batch_norm(call: Call, fields: Lookup) -> Field | None:
    """By running statistics each number for itself; by those of the batch, every number of the channel."""
    field = fields(call["input"])
    if field is None or not call.arguments.get("training"):
        return field
    return field.spread([dim for dim in range(len(field.dims)) if dim != 1])


def _embedding(call: Call, fields: Lookup) -> Field | None:
    field = fields(call["indices"])
    if field is None:
        return None
    return replace(field, dims=(*field.dims, still(call.output.shape[-1], len(field.intervals))))


def _index_select(call: Call, fields: Lookup) -> Field | None:
    field = source(call, fields)
    if field is None:
        return None
    dim = call["dim"] % len(field.dims)
    seen = field.spread([dim]).replaced(dim, still(call.output.shape[dim], len(field.intervals)))
    return seen.bound_along(field.dims[dim])


def _attention(call: Call, fields: Lookup) -> Field | None:
    """Scaled dot products as one operation: every place sees all keys and values, or, masked, some of them."""
    known = [field for field in map(fields, call.inputs()) if field is not None]
    if not known:
        return None
    parts = [field.spread([len(field.dims) - 2, len(field.dims) - 1]) for field in known if len(field.dims) == 4]
    axes, shape = len(known[0].intervals), tuple(call.output.shape)
    sized = [replace(part, dims=(*part.dims[:2], *(still(n, axes) for n in shape[2:]))) for part in parts]
    seen = merged(sized, shape)
    masked = call.arguments.get("is_causal") or any(call.arguments.get(name) is not None for name in _MASKS)
    return seen.bound() if masked else seen


def _same(call: Call, fields: Lookup) -> Field | None:
    return source(call, fields)


def _written(call: Call, fields: Lookup) -> Field | None:
    """copy_: what is written replaces what was there."""
    field = fields(call["src"])
    return field and field.expanded(call.output.shape)


def _nothing(_call: Call, _fields: Lookup) -> Field | None:
    """Numbers that come of no input."""
    return None


_PRODUCTS = "mm bmm addmm baddbmm matmul mv addmv dot vdot _int_mm _addmm_activation".split()
_REDUCTIONS = (
    "mean sum amax amin max min prod var std var_mean std_mean norm linalg_vector_norm logsumexp argmax argmin any all"
    " nansum".split()
)
_ALONG = "_softmax _log_softmax _safe_softmax sort topk".split()
_RUNNING = "cumsum cumprod logcumsumexp cummax cummin".split()
_MASKS = ("attn_mask", "attn_bias")
_SAME = "_to_copy detach alias lift_fresh native_dropout _prelu_kernel hardswish bernoulli rrelu_with_noise".split()
_NORMS = (
    "native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training cudnn_batch_norm"
    " _batch_norm_with_update".split()
)
_ATTENTION = "flash_attention_for_cpu flash_attention efficient_attention cudnn_attention".split()
_CONSTANT = (
    "zero fill zeros_like ones_like empty_like full_like rand_like randn_like new_zeros new_ones new_empty new_full"
    " uniform normal".split()
)
MIXING: Mapping[str, Rule] = {
    **dict.fromkeys(_PRODUCTS, _product),
    **dict.fromkeys(_REDUCTIONS, _reduce),
    **dict.fromkeys(_ALONG, _along),
    **dict.fromkeys(_RUNNING, _running),
    "glu": _glu,
    **dict.fromkeys(_SAME, _same),
    **dict.fromkeys(_NORMS, _batch_norm),
    **dict.fromkeys((f"_scaled_dot_product_{kind}" for kind in _ATTENTION), _attention),
    **dict.fromkeys(_CONSTANT, _nothing),
    "native_layer_norm": _layer_norm,
    "native_group_norm": _group_norm,
    "embedding": _embedding,
    "index_select": _index_select,
    "copy": _written,
}
