"""The rows of an analysis as they arise: a layer's call, or a function's call outside of any layer."""

from dataclasses import dataclass, field
from math import prod
from typing import Any

from torch import Tensor, nn

from striate.analysis.call import Record
from striate.analysis.field import Field
from striate.base.operations import Shape

VIEWS = frozenset("view _unsafe_view _reshape_alias reshape".split())
SILENT = frozenset(  # move numbers about or make new ones
    "detach alias t permute transpose expand unsqueeze squeeze select slice split unsafe_split split_with_sizes unbind"
    " unfold clone copy _to_copy lift_fresh empty zeros ones full arange empty_like zeros_like ones_like new_zeros"
    " new_ones new_empty fill zero".split()
)
RUNNING = "torch.nn.", "striate.layers."  # where classes come from whose calls are one row


@dataclass(slots=True, eq=False)
class Unit:
    """One row.

    Args:
        path: of the module that it is or that it runs in.
        kind: the layer's class, or the function's name.
        layer: the module, where a layer's call is the row.
        inside: the number of the module call that a function runs in.
        inputs: shapes of the tensors that go in, with the batch.
        sources: the rows that these come from; -1 is the input.
        before: the receptive fields of what goes in.
        output: the shape of what comes out.
        after: its receptive fields.
        records: its operations.
        parameters: names of the parameters it uses, where it is no layer.
        output_bytes: memory of its own that the output takes.
        moved_bytes: of all numbers that go in and come out.
        saved_bytes: what is kept for the backward pass.
        sample_inputs: shapes of what goes in for one sample.
        sample_output: the shape of what comes out for one sample.
    """

    path: str
    kind: str
    layer: nn.Module | None = None
    inside: int = 0
    inputs: tuple[Shape, ...] = ()
    sources: frozenset[int] = frozenset()
    before: Field | None = None
    output: Shape = ()
    after: Field | None = None
    records: list[Record] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)
    output_bytes: int = 0
    moved_bytes: int = 0
    saved_bytes: int = 0
    sample_inputs: tuple[Shape, ...] = ()
    sample_output: Shape = ()


def is_layer(module: nn.Module) -> bool:
    """Whether the calls of a module are one row: torch's and our own layers that hold no others."""
    inner = [name for name, _ in module.named_children() if name != "parametrizations"]
    if inner or isinstance(module, nn.Identity | nn.Sequential | nn.ModuleList | nn.ModuleDict):
        return False
    return any(kind.__module__.startswith(RUNNING) for kind in type(module).__mro__[:-2])  # all but Module and object


def is_shown(unit: Unit) -> bool:
    """Whether a function's call is worth a row: it computes, copies into more, or changes the number of axes."""
    if not unit.sources and not unit.parameters:
        return False
    names = {record.name for record in unit.records}
    repeats = "clone" in names and prod(unit.output) > prod(unit.inputs[0])
    reshapes = bool(names & VIEWS) and len(unit.output) != len(unit.inputs[0])
    return reshapes or repeats or bool(names - SILENT - VIEWS)


def kind_of(module: nn.Module) -> str:
    """The name of its class, without what parametrisations put before it."""
    return type(module).__name__.removeprefix("Parametrized")


def function_name(func: Any) -> str:
    """The name of a function of torch's, operators by the name of what they do: "add" for `+` and `+=` alike."""
    name = getattr(func, "__name__", type(func).__name__).strip("_")
    return _OPERATORS.get(name, name)


_OPERATORS = {
    **{f"{mark}{name}": name for mark in "ir" for name in ("add", "sub", "mul", "matmul", "pow")},
    **dict.fromkeys(("truediv", "itruediv", "rtruediv", "rdiv"), "div"),
    "getitem": "slice",
    "rsub": "sub",
}


def tensors_of(values: Any) -> list[Tensor]:
    """All tensors in arguments or results, however they are packed."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, list | tuple):
        return []
    return [tensor for value in values for tensor in tensors_of(value)]
