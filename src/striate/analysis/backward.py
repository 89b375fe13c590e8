"""The way back of a row: what its backward step computes, and of which shapes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from striate.analysis.call import Record
from striate.analysis.families import family
from striate.analysis.summary import Row
from striate.base.operations import Shape, written


@dataclass(frozen=True, slots=True)
class Back:
    """What the gradient does at a row.

    Args:
        learnt: the parameters that get a gradient, by letter, with their shapes, which are the gradients' too.
        way: how dL/dx comes of dL/dy; empty where no gradient has to go further.
        shapes: of dL/dx, one for every input.
    """

    learnt: tuple[tuple[str, Shape], ...]
    way: str
    shapes: tuple[Shape, ...]

    def __str__(self) -> str:
        """For a picture: `dL/dx, dL/dw 6x1x5x5, dL/db 6`; dL/dx has the shapes of what comes in."""
        learnt = [f"dL/d{letter} {written(shape)}" for letter, shape in self.learnt]
        return ", ".join([*(["dL/dx"] if self.way else []), *learnt])


def backwards(rows: Sequence[Row]) -> tuple[Back | None, ...]:
    """For every row its way back in training; None where nothing before it or in it learns."""
    learning: list[bool] = []
    found: list[Back | None] = []
    for row in rows:
        learns = bool(row.trainable) or row.reused
        further = any(number >= 0 and learning[number] for number in row.sources)
        learning.append(learns or further)
        learnt = tuple(_learnt(row)) if learns else ()
        back = Back(learnt, _way(row) if further else "", row.input_shapes if further else ())
        found.append(back if learning[-1] else None)
    return tuple(found)


def _learnt(row: Row) -> Iterator[tuple[str, Shape]]:
    """Weights and biases by the shapes that the module has; their number alone where these are not seen."""
    found = [one for record in row.records for one in _weights(record, row)]
    if sum(prod(shape) for _, shape in found) == row.parameters or (row.reused and found):
        yield from found
    elif row.parameters:
        yield "(parameters)", (row.parameters,)


def _weights(record: Record, row: Row) -> Iterator[tuple[str, Shape]]:
    a = record.arguments
    if record.name == "convolution" and record.connections:
        yield "w", a["weight"]
        if a["bias"]:
            yield "b", a["bias"]
    elif record.name in ("addmm", "mm") and record.connections:
        factor = a["mat2"]
        turned = any(one.name == "t" and one.output == factor for one in row.records)
        yield "w", tuple(reversed(factor)) if turned else factor
        if record.name == "addmm" and record.connections > record.macs:
            yield "b", a["self"]
    elif record.name in _NORMS or record.name == "embedding":
        yield from ((letter, a[name]) for letter, name in (("w", "weight"), ("b", "bias")) if a.get(name))
    elif record.name == "_prelu_kernel":
        yield "w", (max(a["weight"]),)


def _way(row: Row) -> str:
    """How dL/dx comes of dL/dy, in a few words."""
    names = [record.name for record in row.records]
    known = [_WAYS[name] for name in names if name in _WAYS]
    transposed = any(record.arguments.get("transposed") for record in row.records)
    if len(known) == 1 and transposed:
        return "dL/dy convolved with w"
    if len(set(known)) == 1:
        return known[0]
    return _FAMILIES[family(row)]


_NORMS = ("native_batch_norm", "native_layer_norm", "native_group_norm", "cudnn_batch_norm")
_WAYS: Mapping[str, str] = {
    "convolution": "dL/dy spread by w, a transposed convolution",
    "addmm": "dL/dy times w",
    "mm": "dL/dy times w",
    "relu": "dL/dy where x > 0",
    "hardtanh": "dL/dy between the limits",
    "add": "dL/dy to each",
    "sub": "dL/dy to one, -dL/dy to the other",
    "mul": "dL/dy times the other factor",
    "cat": "dL/dy cut into the pieces",
    "max_pool2d_with_indices": "dL/dy to the largest of each window",
    "max_pool3d_with_indices": "dL/dy to the largest of each window",
    "avg_pool2d": "dL/dy shared by each window",
    "avg_pool3d": "dL/dy shared by each window",
    "_adaptive_avg_pool2d": "dL/dy shared by each window",
    "mean": "dL/dy shared by all",
    "sum": "dL/dy to all",
    "view": "dL/dy in the old shape",
    "_softmax": "y (dL/dy - sum of y dL/dy)",
    "_log_softmax": "dL/dy - exp(y) sum of dL/dy",
    "upsample_nearest2d": "dL/dy summed over the copies",
    "native_batch_norm": "dL/dy scaled, its mean and its part along y taken out",
    "native_layer_norm": "dL/dy scaled, its mean and its part along y taken out",
    "native_group_norm": "dL/dy scaled, its mean and its part along y taken out",
}
_FAMILIES: Mapping[str, str] = {
    "convolution": "dL/dy through every step",
    "pooling": "dL/dy to the windows it came of",
    "matrix product": "dL/dy through every product",
    "normalisation": "dL/dy scaled, its share in the norm taken out",
    "activation": "dL/dy times the slope at x",
    "join": "dL/dy to each",
    "other": "dL/dy as it came, in training where it was kept",
}
