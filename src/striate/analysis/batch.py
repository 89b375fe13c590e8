"""Which axis of a tensor is the batch: the one that grows when there are more samples."""

from collections.abc import Callable, Sequence

from striate.analysis.units import Unit
from striate.base.operations import Shape


def without_batch(units: Sequence[Unit], again: Callable[[], Sequence[Unit]]) -> None:
    """Write down in each row the shapes of one sample.

    Where all tensors have one sample along their first axis, that is the batch.  Elsewhere (sequences that come first,
    samples that are folded into other axes) a second run tells.

    Args:
        units: rows of a run of one sample.
        again: runs two samples; no rows where that cannot be.
    """
    usual = all(shape[:1] == (1,) for unit in units for shape in (*unit.inputs, unit.output))
    doubled = units if usual else again()
    if [unit.kind for unit in doubled] != [unit.kind for unit in units]:
        doubled = units  # another batch, another way, or none
    for one, two in zip(units, doubled, strict=True):
        one.sample_inputs = tuple(map(_sample, one.inputs, two.inputs))
        one.sample_output = _sample(one.output, two.output)


def _sample(shape: Shape, doubled: Shape) -> Shape:
    """The shape of one sample.

    >>> _sample((10, 1, 16), (10, 2, 16)), _sample((4, 10, 8), (8, 10, 8)), _sample((1, 3, 5, 5), (1, 3, 5, 5))
    ((10, 16), (4, 10, 8), (3, 5, 5))
    """
    grown = [axis for axis, (one, two) in enumerate(zip(shape, doubled, strict=False)) if one != two]
    batch = grown[0] if grown else 0
    return (*shape[:batch], *shape[batch + 1 :]) if shape[batch : batch + 1] == (1,) else shape
