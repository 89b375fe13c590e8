"""What every equation that is shown has to stand: it is read, computed and held against the layer."""

import torch
from tests.analysis.read_equations import Entries, arithmetic, compute
from torch.testing import assert_close

from striate.analysis.equations import equations
from striate.analysis.inspect import inspect

DRAW = torch.Generator().manual_seed(0)


def drawn(*shape):
    return torch.randn(shape, generator=DRAW, dtype=torch.float64)


def only(model, shape):
    """The one row of a model and its one step."""
    (row,) = inspect(model, shape)
    (step,) = equations(row)
    return row, step.formula


def check_arithmetic(row, formula, sizes):
    """Every right-hand side comes to the number beside it, and the number is the row's."""
    known = [one for one in (*formula.sizes, formula.parameters, formula.macs) if one]
    for one in known:
        assert arithmetic(one.right) == one.value, str(one)
    told = [one.value for one in formula.sizes]
    assert told == list(sizes) or (len(told) == 1 and set(sizes) == set(told))
    assert formula.parameters is None or formula.parameters.value == row.parameters
    assert formula.macs is None or formula.macs.value == row.macs


def check_weighted(model, shape):
    """A layer with weights: its equation, read and computed, gives what the layer gives."""
    row, formula = only(model.float(), shape)
    model = model.double()
    x = drawn(1, *shape)
    with torch.no_grad():
        y = model(x)[0]
    bias = {"b": Entries(model.bias.detach())} if model.bias is not None else {}
    mine = compute(formula.equation, y, x=Entries(x[0]), w=Entries(model.weight.detach()), **bias)
    assert_close(mine, y)
    check_arithmetic(row, formula, tuple(y.shape[1:]) if formula.sizes else ())
    assert formula.macs is not None
    assert formula.parameters is not None
