"""Receptive fields through operations that move entries and compute nothing: view, permute, slice, concatenate, pad."""

from collections.abc import Callable, Mapping

from torch import Tensor

from striate.analysis.call import Call
from striate.analysis.field import Atom, Field, Jumps, merged, scaled, still

Lookup = Callable[[Tensor], Field | None]  # None: does not depend on the input
Rule = Callable[[Call, Lookup], Field | None]


def source(call: Call, fields: Lookup) -> Field | None:
    """The field of the operation's first tensor."""
    return fields(next(call.inputs()))


def _reshape(call: Call, fields: Lookup) -> Field | None:
    field = source(call, fields)
    return field and field.reshaped(call.output.shape)


def _permute(call: Call, fields: Lookup) -> Field | None:
    field = source(call, fields)
    return field and field.permuted([dim % len(field.dims) for dim in call["dims"]])


def _transpose(call: Call, fields: Lookup) -> Field | None:
    field = source(call, fields)
    if field is None:
        return None
    if len(field.dims) < 2:
        return field
    order = list(range(len(field.dims)))
    a, b = (0, -1) if call.name == "t" else (call["dim0"], call["dim1"])
    order[a], order[b] = order[b], order[a]
    return field.permuted(order)


def _expand(call: Call, fields: Lookup) -> Field | None:
    field = source(call, fields)
    return field and field.expanded(call.output.shape)


def _unsqueeze(call: Call, fields: Lookup) -> Field | None:
    field = source(call, fields)
    if field is None:
        return None
    dim = call["dim"] % (len(field.dims) + 1)
    return Field((*field.dims[:dim], (), *field.dims[dim:]), field.intervals)


def _squeeze(call: Call, fields: Lookup) -> Field | None:
    field = source(call, fields)
    if field is None:
        return None
    named = call.arguments.get("dim", range(len(field.dims)))
    asked = {dim % len(field.dims) for dim in ([named] if isinstance(named, int) else named)}
    kept = [dim for dim, n in enumerate(field.shape) if n != 1 or dim not in asked]
    return Field(tuple(field.dims[dim] for dim in kept), field.intervals)


def _select(call: Call, fields: Lookup) -> Field | None:
    field = source(call, fields)
    if field is None:
        return None
    dim = call["dim"] % len(field.dims)
    index = call["index"] % max(field.shape[dim], 1)
    one = field.sliced(dim, index, 1, 1)
    return Field((*one.dims[:dim], *one.dims[dim + 1 :]), one.intervals)


def _slice(call: Call, fields: Lookup) -> Field | None:
    field = source(call, fields)
    if field is None:
        return None
    dim = call["dim"] % len(field.dims)
    start = call["start"] or 0
    start = start + field.shape[dim] if start < 0 else start
    return field.sliced(dim, start, call["step"], call.output.shape[dim])


def _pieces(call: Call, fields: Lookup) -> list[Field | None]:
    """The outputs of split and unbind, in order: one field each."""
    field = source(call, fields)
    if field is None:
        return [None] * len(call.outputs)
    dim = call["dim"] % len(field.dims)
    pieces: list[Field | None] = []
    start = 0
    for output in call.outputs:
        count = 1 if call.name == "unbind" else output.shape[dim]
        piece = field.sliced(dim, start, 1, count)
        start += count
        kept = piece.dims[:dim] + piece.dims[dim + (call.name == "unbind") :]
        pieces.append(Field(kept, piece.intervals))
    return pieces


def _flip(call: Call, fields: Lookup) -> Field | None:
    field = source(call, fields)
    if field is None:
        return None
    for dim in call["dims"]:
        field, atom = field.sliding(dim % len(field.dims))
        last = atom.size - 1
        field = field.shifted(atom.jumps, last, last).replaced(dim % len(field.dims), (scaled(atom, -1, atom.size),))
    return field


def _cat(call: Call, fields: Lookup) -> Field | None:
    """Side by side: along channels, the row sees what any piece sees; along places, each goes on where one ends."""
    tensors = list(call.inputs())
    shape = tuple(call.output.shape)
    dim = call["dim"] % len(shape)
    found = _placed(tensors, dim, fields)
    if not found:
        return None
    rows = [field.lengthened(dim, place, shape[dim]) for place, field in found]
    joined = merged(rows, shape)
    moves = any(atom.moves for row in rows for atom in row.dims[dim])
    return joined.bound() if moves and any(row != rows[0] for row in rows) else joined


def _placed(tensors: list[Tensor], dim: int, fields: Lookup) -> list[tuple[int, Field]]:
    found, place = [], 0
    for tensor in tensors:
        field = fields(tensor)
        if field is not None and tensor.numel():
            found.append((place, field))
        place += tensor.shape[dim] if tensor.ndim else 0
    return found


def _stack(call: Call, fields: Lookup) -> Field | None:
    """As one more dimension: one that moves where each tensor sees what the one before does, so many pixels further."""
    known = [field for field in map(fields, call.inputs()) if field is not None]
    if not known:
        return None
    shape = tuple(call.output.shape)
    dim = call["dim"] % len(shape)
    jumps = _steps(known) if len(known) == shape[dim] > 1 else None
    inner = known[0] if jumps else merged(known, (*shape[:dim], *shape[dim + 1 :]))
    own = (Atom(shape[dim], jumps),) if jumps else still(shape[dim], len(inner.intervals))
    return Field((*inner.dims[:dim], own, *inner.dims[dim:]), inner.intervals)


def _steps(known: list[Field]) -> Jumps | None:
    """The pixels from each field to the next; None where these differ, or the fields in more than where they begin."""
    first, second, *_ = known
    jumps = tuple(b.low - a.low for a, b in zip(first.intervals, second.intervals, strict=True))
    even = all(field == first.shifted(jumps, step, step) for step, field in enumerate(known))
    return jumps if even else None


def _pad(call: Call, fields: Lookup) -> Field | None:
    """Entries before and after; they are padding, also where they are copies of entries elsewhere."""
    field = source(call, fields)
    if field is None:
        return None
    amounts = call["pad"] if "pad" in call.arguments else call["padding"]
    for axis in range(len(amounts) // 2):  # from the last dimension
        dim = len(field.dims) - 1 - axis
        before = amounts[2 * axis]
        field = field.window(dim, 1, before=before, out=call.output.shape[dim])
    return field


def _unfold(call: Call, fields: Lookup) -> Field | None:
    """Tensor.unfold: windows of a dimension, as one more dimension at the end."""
    field = source(call, fields)
    if field is None:
        return None
    dim = call["dimension"] % len(field.dims)
    field, atom = field.sliding(dim)
    windows = field.replaced(dim, (scaled(atom, call["step"], call.output.shape[dim]),))
    return Field((*windows.dims, (Atom(call["size"], atom.jumps),)), field.intervals)


def _roll(call: Call, fields: Lookup) -> Field | None:
    field = source(call, fields)
    if field is None:
        return None
    dims = [dim % len(field.dims) for dim in call["dims"]] or list(range(len(field.dims)))
    moving = [atom for dim in dims for atom in field.dims[dim]]
    return field.spread(dims).bound_along(moving) if any(atom.moves for atom in moving) else field


def _repeat(call: Call, fields: Lookup) -> Field | None:
    """Copies side by side: along a repeated dimension an entry may be of any place."""
    field = source(call, fields)
    if field is None:
        return None
    shape = tuple(call.output.shape)
    wide = field.expanded((*([1] * (len(shape) - len(field.dims))), *field.shape))
    repeated = [dim for dim, (n, m) in enumerate(zip(wide.shape, shape, strict=True)) if n != m]
    moving = [atom for dim in repeated for atom in wide.dims[dim]]
    spread = wide.spread(repeated)
    axes = len(field.intervals)
    dims = tuple(still(m, axes) if d in repeated else spread.dims[d] for d, m in enumerate(shape))
    return Field(dims, spread.intervals).bound_along(moving)


def _shuffle(call: Call, fields: Lookup) -> Field | None:
    field = source(call, fields)
    return field and field.spread([1])


def _pixel_unshuffle(call: Call, fields: Lookup) -> Field | None:
    """(…, C, H r, W r) -> (…, C r r, H, W): the places within a square become channels."""
    field, r = source(call, fields), call["downscale_factor"]
    if field is None:
        return None
    *outer, C, H, W = field.shape
    n = len(outer)
    apart = field.reshaped((*outer, C, H // r, r, W // r, r))
    return apart.permuted([*range(n + 1), n + 2, n + 4, n + 1, n + 3]).reshaped(call.output.shape)


def _pixel_shuffle(call: Call, fields: Lookup) -> Field | None:
    """(…, C r r, H, W) -> (…, C, H r, W r): channels become the places within a square."""
    field, r = source(call, fields), call["upscale_factor"]
    if field is None:
        return None
    *outer, C, H, W = field.shape
    n = len(outer)
    apart = field.reshaped((*outer, C // r**2, r, r, H, W))
    return apart.permuted([*range(n + 1), n + 3, n + 1, n + 4, n + 2]).reshaped(call.output.shape)


VIEWS: Mapping[str, Rule] = {
    "view": _reshape,
    "_unsafe_view": _reshape,
    "_reshape_alias": _reshape,
    "reshape": _reshape,
    "channel_shuffle": _shuffle,
    "native_channel_shuffle": _shuffle,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "permute": _permute,
    "transpose": _transpose,
    "t": _transpose,
    "expand": _expand,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "select": _select,
    "slice": _slice,
    "flip": _flip,
    "cat": _cat,
    "stack": _stack,
    "constant_pad_nd": _pad,
    "reflection_pad1d": _pad,
    "reflection_pad2d": _pad,
    "reflection_pad3d": _pad,
    "replication_pad1d": _pad,
    "replication_pad2d": _pad,
    "replication_pad3d": _pad,
    "unfold": _unfold,
    "roll": _roll,
    "repeat": _repeat,
}
SEVERAL: Mapping[str, Callable[[Call, Lookup], list[Field | None]]] = {
    "split": _pieces,
    "split_with_sizes": _pieces,
    "unsafe_split": _pieces,
    "unsafe_split_with_sizes": _pieces,
    "unbind": _pieces,
}
