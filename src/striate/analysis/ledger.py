"""What is known of every tensor that lives while a network runs: what it sees, who made it, how much memory there is.

A tensor is known by its memory and its view of it, so that the same numbers under another name stay the same.  When
torch frees memory, what was known of it goes, and the meter falls: eager execution as it happens, without a number.
"""

import weakref
from dataclasses import dataclass, field, replace

from torch import Tensor

from striate.analysis.field import Field, merged, still

View = tuple[int, tuple[int, ...], tuple[int, ...]]  # offset, sizes, strides


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a tensor.

    Args:
        field: what its entries see; None: it does not depend on the input.
        makers: the rows of the table whose work it holds; -1 is the input.
    """

    field: Field | None = None
    makers: frozenset[int] = frozenset()


@dataclass(slots=True)
class _Memory:
    """One piece of memory: its views, a reference that tells when it is freed, and what it has been counted for."""

    bytes: int
    views: dict[View, Known] = field(default_factory=dict)
    alive: object = None
    claimed: bool = False
    kept: bool = False


UNKNOWN = Known()


class Ledger:
    """The tensors of one run."""

    def __init__(self) -> None:
        self._memory: dict[int, _Memory] = {}
        self.live = 0  # bytes that the run has taken and not given back
        self.peak = 0

    def give(self, tensor: Tensor, known: Known = UNKNOWN) -> None:
        """A tensor that was there before the run: its memory is not counted."""
        self._enter(tensor, 0).views[_view(tensor)] = known

    def __getitem__(self, tensor: Tensor) -> Known:
        memory = self._memory.get(address(tensor))
        if memory is None:
            return UNKNOWN
        known = memory.views.get(_view(tensor))
        return _of_all(memory, tensor) if known is None else known

    def put(self, tensor: Tensor, known: Known) -> None:
        """Note what an operation has made, or that it is known under another name."""
        self._enter(tensor, tensor.untyped_storage().nbytes()).views[_view(tensor)] = known

    def claim(self, tensor: Tensor) -> int:
        """Bytes of a tensor's memory, the first time; 0 afterwards and for what was there before the run."""
        memory = self._enter(tensor, 0)
        bytes_, memory.claimed = 0 if memory.claimed else memory.bytes, True
        return bytes_

    def keep(self, tensor: Tensor) -> int:
        """The same, for those that the backward pass needs."""
        memory = self._enter(tensor, 0)
        bytes_, memory.kept = 0 if memory.kept else memory.bytes, True
        return bytes_

    def overwrite(self, tensor: Tensor, known: Known) -> None:
        """Note what an operation has written into memory that was there: other views of it see the change."""
        own = _view(tensor)
        memory = self._enter(tensor, 0)
        for view, old in memory.views.items():
            if view != own:
                memory.views[view] = _touched(view, old, own, known)
        memory.views[own] = known

    def _enter(self, tensor: Tensor, size: int) -> _Memory:
        place = address(tensor)
        if place not in self._memory:
            memory = self._memory[place] = _Memory(size)
            memory.alive = weakref.ref(tensor.untyped_storage(), lambda _: self._freed(place, memory))
            self.live += size
            self.peak = max(self.peak, self.live)
        return self._memory[place]

    def _freed(self, place: int, memory: _Memory) -> None:
        self.live -= memory.bytes
        if self._memory.get(place) is memory:
            del self._memory[place]


def address(tensor: Tensor) -> int:
    """A number that tells a tensor's memory from all other memory that lives."""
    return int(tensor.untyped_storage()._cdata)


def _view(tensor: Tensor) -> View:
    return int(tensor.storage_offset()), tuple(tensor.shape), tuple(tensor.stride())


def _everywhere(known: Known, shape: tuple[int, ...]) -> Field | None:
    """What any entry of a tensor sees, for every entry of a shape."""
    if known.field is None:
        return None
    seen = known.field.spread(range(len(known.field.dims))).bound()
    return replace(seen, dims=tuple(still(n, len(seen.intervals)) for n in shape))


def _of_all(memory: _Memory, tensor: Tensor) -> Known:
    """A view that nobody has announced: it may hold what any known view holds."""
    known = UNKNOWN
    for other in memory.views.values():
        known = _united(known, other, tuple(tensor.shape))
    return known


def _touched(view: View, old: Known, written: View, new: Known) -> Known:
    """What is known of a view when another of the same memory has been written over: each entry may be old or new."""
    places = _placed(written, view)
    if places is None or new.field is None:
        return _united(old, new, view[1])
    field = new.field
    for dim, (start, step) in enumerate(places):
        field = field.lengthened(dim, start, view[1][dim], step=step)
    both = field if old.field is None else merged([old.field, field], view[1])
    parts = [dim for dim, (n, m) in enumerate(zip(written[1], view[1], strict=True)) if n != m]
    moves = any(atom.moves for one in (field, old.field) if one for dim in parts for atom in one.dims[dim])
    return Known(both.bound() if moves else both, old.makers | new.makers)


def _placed(part: View, view: View) -> list[tuple[int, int]] | None:
    """Where the entries of one view stand in another, as first and step along each dimension; None if not so."""
    (begin, sizes, steps), (origin, room, strides) = part, view
    if len(sizes) != len(room) or begin < origin:
        return None
    left, starts = begin - origin, [0] * len(room)
    for dim in sorted(range(len(room)), key=lambda dim: -strides[dim]):
        if room[dim] > 1 and strides[dim] > 0:
            starts[dim] = min(left // strides[dim], room[dim] - 1)
            left -= starts[dim] * strides[dim]
    places = []
    for dim, first in enumerate(starts):
        step = steps[dim] // max(strides[dim], 1) if sizes[dim] > 1 else 1
        inside = first + (sizes[dim] - 1) * step < room[dim]
        if not inside or step < 1 or (sizes[dim] > 1 and step * strides[dim] != steps[dim]):
            return None
        places.append((first, step))
    return None if left else places


def _united(a: Known, b: Known, shape: tuple[int, ...]) -> Known:
    """Both, for every entry of a shape: a bound."""
    makers = a.makers | b.makers
    known = [one for one in (_everywhere(a, shape), _everywhere(b, shape)) if one is not None]
    if len(known) < 2:
        return Known(known[0] if known else None, makers)
    hull = tuple(p.hull(q) for p, q in zip(known[0].intervals, known[1].intervals, strict=True))
    return Known(replace(known[0], intervals=hull), makers)
