"""The receptive field of what an operation makes, from those of what it takes: one table over torch's operations.

What stands in no table and is not marked by torch as pointwise is taken to depend on everything: a bound, never wrong.
"""

from torch import Tensor

from striate.analysis.call import Call
from striate.analysis.field import Field, still
from striate.analysis.field_mixing import MIXING, pointwise, whole
from striate.analysis.field_views import SEVERAL, VIEWS, Lookup
from striate.analysis.field_windows import WINDOWS

RULES = {**VIEWS, **WINDOWS, **MIXING}


def fields_of(call: Call, fields: Lookup) -> list[Field | None]:
    """The field of every output; None for what does not depend on the input."""
    if not any(fields(tensor) for tensor in call.inputs()):
        return [None] * len(call.outputs)
    if call.name in SEVERAL:
        return SEVERAL[call.name](call, fields)
    rule = RULES.get(call.name) or (pointwise if call.pointwise else whole)
    return [_of(rule(call, fields), output) for output in call.outputs]


def _of(field: Field | None, output: Tensor) -> Field | None:
    """The first output's field for another output: of another shape, it may depend on all that the first does."""
    if field is None or field.shape == tuple(output.shape):
        return field
    seen = field.spread(range(len(field.dims)))
    return Field(tuple(still(n, len(seen.intervals)) for n in output.shape), seen.intervals).bound()
