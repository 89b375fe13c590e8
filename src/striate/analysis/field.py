"""Which input pixels a number can depend on: the receptive field of every entry of a tensor, in closed form.

Along each axis a of the input, the entry at index i of a tensor depends on pixels of

    [low_a + sum_t jump_(t,a) i_t,  high_a + sum_t jump_(t,a) i_t]

where t runs over the tensor's atoms: a dimension is a row of atoms, as one writes a number in mixed radix, so that
flattening H and W and taking them apart again loses nothing, and a matrix product over pixels is seen as what it is.

    receptive field  high - low + 1     jump  pixels from neighbour to neighbour     start  low, of the first entry

Pixels below 0 or beyond the input are padding: nothing, or the copies that mirrored padding and the like put there,
which count as padding and not as the pixels they are copies of.  An axis is exact where the first and the last pixel of
the interval are reached, and a bound where they may lie outside of what is reached: strides that disagree, upsampling.
Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill 2019, equations 1 to 8.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor, prod
from typing import NamedTuple

Number = int | Fraction
Jumps = tuple[Number, ...]  # pixels per step, one for each axis of the input


class Atom(NamedTuple):
    """A part of a dimension: `size` steps, each moving by `jumps` over the input."""

    size: int
    jumps: Jumps

    @property
    def moves(self) -> bool:
        """Whether a step along it moves over the input at all."""
        return any(self.jumps)


Dim = tuple[Atom, ...]  # the outer first; none for one entry that is no place


class Interval(NamedTuple):
    """Pixels of one axis of the input, the first and the last."""

    low: Number
    high: Number
    exact: bool = True

    def reach(self, first: Number, last: Number) -> "Interval":
        """The interval with all that is seen from a step of `first` to a step of `last` pixels away."""
        return Interval(self.low + min(first, last), self.high + max(first, last), self.exact)

    def hull(self, other: "Interval") -> "Interval":
        """From the first pixel of either to the last of either."""
        ends = min(self.low, other.low), max(self.high, other.high)
        reached = any(one.exact and (one.low, one.high) == ends for one in (self, other))
        return Interval(*ends, reached or (self.exact and other.exact))

    def within(self, other: "Interval") -> bool:
        """Whether every pixel of this one is of the other."""
        return other.low <= self.low and self.high <= other.high

    def bound(self) -> "Interval":
        """The same, no longer known to be reached."""
        return Interval(self.low, self.high, exact=False)


@dataclass(frozen=True, slots=True)
class Field:
    """The receptive fields of all entries of a tensor.

    Args:
        dims: of the tensor, as atoms.
        intervals: for each axis of the input, what the entry at index 0 sees.
    """

    dims: tuple[Dim, ...]
    intervals: tuple[Interval, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Entries along each dimension."""
        return tuple(prod(atom.size for atom in dim) for dim in self.dims)

    def at(self, index: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """The first and the last pixel that the entry at `index` sees along each axis, padding included.

        >>> image((1, 1, 4, 6)).at((0, 0, 2, 5))
        ((2, 2), (5, 5))
        """
        moved = [Fraction(0)] * len(self.intervals)
        for dim, place in zip(self.dims, index, strict=True):
            for atom in reversed(dim):
                place, step = divmod(place, atom.size)
                moved = [m + jump * step for m, jump in zip(moved, atom.jumps, strict=True)]
        ends = zip(self.intervals, moved, strict=True)
        return tuple((ceil(one.low + m), floor(one.high + m)) for one, m in ends)

    def jumps(self) -> tuple[Number, ...]:
        """For each axis, the pixels from neighbour to neighbour; 0 where no dimension moves along it."""
        steps = [[abs(j) for j in axis if j] for axis in zip(*self._jumps(), strict=True)]
        return tuple(min(axis, default=0) for axis in steps)

    def _jumps(self) -> list[Jumps]:
        return [atom.jumps for dim in self.dims for atom in dim] or [(0,) * len(self.intervals)]

    def replaced(self, dim: int, atoms: Dim) -> "Field":
        """The field with one dimension taken for another; the intervals stay."""
        return replace(self, dims=(*self.dims[:dim], atoms, *self.dims[dim + 1 :]))

    def shifted(self, jumps: Jumps, first: Number, last: Number) -> "Field":
        """Every entry sees, too, what lies from `first` to `last` steps away, a step being `jumps`."""
        zipped = zip(self.intervals, jumps, strict=True)
        return replace(self, intervals=tuple(one.reach(j * first, j * last) for one, j in zipped))

    def bound(self) -> "Field":
        """The same, no longer known to be reached."""
        return replace(self, intervals=tuple(one.bound() for one in self.intervals))

    def bound_along(self, atoms: Iterable[Atom]) -> "Field":
        """The same along the axes of the input that some atoms move over."""
        moved = [any(axis) for axis in zip(*(atom.jumps for atom in atoms), strict=True)] or [False] * len(
            self.intervals
        )
        zipped = zip(self.intervals, moved, strict=True)
        return replace(self, intervals=tuple(one.bound() if moves else one for one, moves in zipped))

    def spread(self, dims: Iterable[int]) -> "Field":
        """Every entry sees what all entries along some dimensions see; these no longer move."""
        result = self
        for dim in dims:
            for atom in result.dims[dim]:
                result = result.shifted(atom.jumps, 0, atom.size - 1)
            result = result.replaced(dim, still(result.shape[dim], len(self.intervals)))
        return result

    def sliding(self, dim: int) -> tuple["Field", Atom]:
        """The field with `dim` as one atom, and that atom: what a window slides over.

        A dimension of several atoms is no even row of places; it is taken for one whose jump is the outer atom's, a
        bound: the steps of the inner ones are added everywhere.
        """
        if len(self.dims[dim]) <= 1:
            return self, self.dims[dim][0] if self.dims[dim] else Atom(1, (0,) * len(self.intervals))
        outer, *inner = self.dims[dim]
        weight = prod(atom.size for atom in inner)
        slope = tuple(Fraction(jump, weight) for jump in outer.jumps)
        field = self.bound_along(self.dims[dim])
        for atom in inner:
            weight //= atom.size
            beside = tuple(jump - s * weight for jump, s in zip(atom.jumps, slope, strict=True))
            field = field.shifted(beside, 0, atom.size - 1)
        even = Atom(self.shape[dim], slope)
        return field.replaced(dim, (even,)), even

    def walked(self, axis: int) -> "Field":
        """The field with one jump in each dimension that moves along one axis of the input and no other.

        Such a dimension of several atoms holds interleaved places, as after a pixel shuffle: a bound.  What is still
        in front of what moves are channels, and left out.
        """
        result = self
        for dim, atoms in enumerate(self.dims):
            first = next((n for n, atom in enumerate(atoms) if atom.moves), len(atoms))
            alone = all(not jump or a == axis for atom in atoms for a, jump in enumerate(atom.jumps))
            if alone and len(atoms) - first > 1:
                result = result.replaced(dim, atoms[first:]).sliding(dim)[0]
        return result

    def window(self, dim: int, size: int, *, stride: int = 1, dilation: int = 1, before: int = 0, out: int) -> "Field":
        """A window of `size` entries slides along `dim`; `before` entries of padding precede the first."""
        field, atom = self.sliding(dim)
        last = (size - 1) * dilation - before
        return field.shifted(atom.jumps, -before, last).replaced(dim, (scaled(atom, stride, out),))

    def stretched(self, dim: int, *, out: int, scale: Fraction, first: Fraction, last: Fraction) -> "Field":
        """Entry o of the output sees entries of `dim` from o scale + first to o scale + last: upsampling, a bound."""
        field, atom = self.sliding(dim)
        wide = field.shifted(atom.jumps, first, last).replaced(dim, (scaled(atom, scale, out),))
        return wide.bound_along([atom])

    def sliced(self, dim: int, start: int, step: int, count: int) -> "Field":
        """Every `step`-th entry of `dim`, `count` of them, from `start`."""
        if count == self.shape[dim]:
            return self
        field, atom = self.sliding(dim)
        return field.shifted(atom.jumps, start, start).replaced(dim, (scaled(atom, step, count),))

    def lengthened(self, dim: int, place: int, size: int, *, step: int = 1) -> "Field":
        """As if the entries stood at `place`, `place + step`, ... of a dimension of `size`, and went on both ways."""
        field, atom = self.sliding(dim)
        slower = scaled(atom, Fraction(1, step) if step != 1 else 1, size)
        return field.shifted(slower.jumps, -place, -place).replaced(dim, (slower,))

    def permuted(self, order: Sequence[int]) -> "Field":
        """The dimensions in another order."""
        return replace(self, dims=tuple(self.dims[dim] for dim in order))

    def reshaped(self, shape: Sequence[int]) -> "Field":
        """The same entries in the same order, in other dimensions."""
        if tuple(shape) == self.shape:
            return self
        atoms = [atom for dim in self.dims for atom in dim if atom.size > 1]
        dims = []
        for size in shape:
            taken = _take(atoms, size)
            if taken is None:  # the sizes do not divide: every entry may be anywhere
                whole = self.spread(range(len(self.dims))).bound()
                return replace(whole, dims=tuple(still(n, len(self.intervals)) for n in shape))
            dims.append(_joined(taken))
        return replace(self, dims=tuple(dims))

    def expanded(self, shape: Sequence[int]) -> "Field":
        """Broadcast to a larger shape, torch's way: new dimensions in front, entries of size 1 repeated."""
        fresh = len(shape) - len(self.dims)
        axes = len(self.intervals)
        old = zip(self.dims, self.shape, shape[fresh:], strict=True)
        kept = tuple(dim if n == m else still(m, axes) for dim, n, m in old)
        return replace(self, dims=(*(still(n, axes) for n in shape[:fresh]), *kept))


def image(shape: Sequence[int], axes: int | None = None) -> Field:
    """The field of the input itself, with `axes` axes of places at its end (None: all but batch and channels).

    >>> image((1, 3, 8, 8)).intervals
    (Interval(low=0, high=0, exact=True), Interval(low=0, high=0, exact=True))
    """
    count = max(len(shape) - 2, 0) if axes is None else axes
    first = len(shape) - count
    unit = [tuple(int(a == b) for b in range(count)) for a in range(count)]
    places = tuple((Atom(n, unit[a]),) for a, n in enumerate(shape[first:]))
    return Field((*(still(n, count) for n in shape[:first]), *places), (Interval(0, 0),) * count)


def still(size: int, axes: int) -> Dim:
    """A dimension whose entries all see the same."""
    return (Atom(size, (0,) * axes),) if size != 1 else ()


def scaled(atom: Atom, step: Number, count: int) -> Atom:
    """`count` steps, each as long as `step` of the atom's."""
    return Atom(count, tuple(jump * step for jump in atom.jumps))


def _take(atoms: list[Atom], size: int) -> list[Atom] | None:
    """Atoms from the front of the list that make up `size` entries, the last of them split where it must be."""
    taken: list[Atom] = []
    while size > 1:
        if not atoms:
            return None
        atom = atoms.pop(0)
        if size % atom.size == 0:
            taken.append(atom)
            size //= atom.size
        elif atom.size % size == 0:
            inner = atom.size // size
            taken.append(scaled(atom, inner, size))
            atoms.insert(0, Atom(inner, atom.jumps))
            size = 1
        else:
            return None
    return taken


def _joined(atoms: list[Atom]) -> Dim:
    """Neighbouring atoms as one wherever the outer goes on where the inner ends."""
    joined: list[Atom] = []
    for atom in atoms:
        outer = joined[-1] if joined else None
        if outer and outer.jumps == tuple(jump * atom.size for jump in atom.jumps):
            joined[-1] = Atom(outer.size * atom.size, atom.jumps)
        else:
            joined.append(atom)
    return tuple(joined)


def merged(fields: Sequence[Field], shape: Sequence[int]) -> Field:
    """What an entry sees that is computed from one entry of each of several tensors, broadcast to `shape`."""
    first, *others = (field.expanded(shape) for field in fields)
    for other in others:
        first = _both(first, other)
    return first


def _both(a: Field, b: Field) -> Field:
    """The union of two fields of one shape."""
    if a.dims == b.dims:
        return Field(a.dims, tuple(map(Interval.hull, a.intervals, b.intervals)))
    for dim, (p, q) in enumerate(zip(a.dims, b.dims, strict=True)):
        if tuple(atom.size for atom in p) != tuple(atom.size for atom in q):  # another way of writing the same size
            a, b = _alike(a, b, dim)
    return _tightest(_over(a, b), _over(b, a), _unmoved(a, b))


def _alike(a: Field, b: Field, dim: int) -> tuple[Field, Field]:
    """Two fields whose atoms of a dimension have the same sizes."""
    sizes_a, sizes_b = ([atom.size for atom in field.dims[dim]] for field in (a, b))
    for source, sizes, target in ((a, sizes_b, "a"), (b, sizes_a, "b")):
        if all(not atom.moves for atom in source.dims[dim]):
            axes = len(source.intervals)
            same = source.replaced(dim, tuple(Atom(n, (0,) * axes) for n in sizes))
            return (same, b) if target == "a" else (a, same)
    return a.spread([dim]).bound(), b.spread([dim]).bound()


def _over(a: Field, b: Field) -> Field:
    """The union of both as a field that moves as `a` does: what `b` sees more on its own way is added everywhere."""
    intervals = list(b.intervals)
    for dim_a, dim_b in zip(a.dims, b.dims, strict=True):
        for p, q in zip(dim_a, dim_b, strict=True):
            apart = [(y - x) * (p.size - 1) for x, y in zip(p.jumps, q.jumps, strict=True)]
            intervals = [one.reach(0, d) for one, d in zip(intervals, apart, strict=True)]
    union = []
    for own, other, before in zip(a.intervals, intervals, b.intervals, strict=True):
        inside = other.within(own)  # then `a` alone is the union, and as exact as it was
        moved = other if other == before else other.bound()
        union.append(own if inside else own.hull(moved))
    return Field(a.dims, tuple(union))


def _unmoved(a: Field, b: Field) -> Field:
    """The union of both, wherever the entry lies along the dimensions in which they differ: a bound."""
    apart = [dim for dim, (p, q) in enumerate(zip(a.dims, b.dims, strict=True)) if p != q]
    first, second = a.spread(apart), b.spread(apart)
    return Field(first.dims, tuple(map(Interval.hull, first.intervals, second.intervals))).bound()


def _tightest(*fields: Field) -> Field:
    """The one that claims least: exact ones before bounds, then the smallest."""

    def claim(field: Field) -> tuple[int, Number]:
        return sum(not one.exact for one in field.intervals), sum(one.high - one.low for one in field.intervals)

    return min(fields, key=claim)
