"""A network that trains by the formulas of this room alone: no autograd, no modules.

The four phases that the textbooks name are four functions:

    forward    x -> every operation's output, kept in a trace        y_l = f_l(y_(l-1), w_l)
    loss       logits and labels -> L and dL/dlogits
    backward   dL/dy_L -> every parameter's gradient, from the last operation to the first (the chain rule)
    update     parameters and gradients -> the next parameters

Nothing is changed in place: parameters, buffers (running statistics) and states go in and come out, by the names that
`base/network.py` gives them.  Branches carry the input forward along each row and sum their errors on the way back.
Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", Nature 323 (1986).

`python -m striate.calculus.network` shows one step of training with its numbers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from striate.base.errors import ConfigError
from striate.base.network import Branches, Network, Operations
from striate.base.operations import Activation, BatchNorm, Dropout, Flatten, Linear, Operation, PReLU, written
from striate.base.random import Purpose, StepRandomness, derive
from striate.base.windowed import Conv, ConvTranspose, StochasticPool
from striate.calculus.branches import add, add_pullback, concatenate, concatenate_pullback
from striate.calculus.cross_entropy import cross_entropy, cross_entropy_pullback
from striate.calculus.initialise import fans, he_normal
from striate.calculus.pencil import beside, grid, number
from striate.calculus.softmax import softmax
from striate.calculus.steps import STEPS, Given, Tensors
from striate.calculus.updates import UPDATES

Parameters = dict[str, Tensor]  # by name, "0.weight"


@dataclass(frozen=True, slots=True)
class Record:
    """What one operation did: all that a reader, and the way back, may ask for.

    Args:
        place: "3", or "3.1.0" within branches.
        operation: its description.
        x: its input, with the batch.
        y: its output.
        given: its parameters, buffers and the step of training.
        kept: what else backward needs, such as a pooling's winners.
        branches: of branches, the records of every row.
    """

    place: str
    operation: Operation
    x: Tensor
    y: Tensor
    given: Given
    kept: Tensors
    branches: tuple[tuple["Record", ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """A forward pass, with everything it went through.

    Args:
        x: the input.
        records: one for each operation of the outer row.
        buffers: every buffer after this pass: in training, the running statistics have moved.
    """

    x: Tensor
    records: tuple[Record, ...]
    buffers: Parameters

    @property
    def output(self) -> Tensor:
        """What came out: the logits."""
        return self.records[-1].y if self.records else self.x

    def every(self) -> Iterator[Record]:
        """All records, those within branches before their branches."""
        return _every(self.records)


def _every(records: tuple[Record, ...]) -> Iterator[Record]:
    for record in records:
        for branch in record.branches:
            yield from _every(branch)
        yield record


@torch.no_grad()
def initial(network: Network, seed: int, *, dtype: torch.dtype = torch.float32) -> tuple[Parameters, Parameters]:
    """The first parameters and buffers, a pure function of the seed.

    Weights are He's (He et al. 2015, equation 10), each drawn by a generator of its own, so that an operation added at
    the end leaves those before it alone; biases are 0, gains 1.
    """
    shapes, place = network.parameter_shapes(), 0
    parameters = {name: torch.zeros(shape, dtype=dtype) for name, shape in shapes.items()}
    for step in network.steps:
        name = f"{step.place}.weight"
        match step.operation:
            case Conv() | ConvTranspose() | Linear():
                generator = Generator().manual_seed(derive(seed, Purpose.INITIALISE, place))
                transposed = isinstance(step.operation, ConvTranspose)
                groups = getattr(step.operation, "groups", 1)
                stride = getattr(step.operation, "stride", 1)
                fan = fans(shapes[name], groups=groups, transposed=transposed, stride=stride)
                parameters[name] = he_normal(shapes[name], generator, fan=fan, dtype=dtype)
                place += 1
            case PReLU(init=slope):
                parameters[name] = torch.full(shapes[name], float(slope), dtype=dtype)
            case BatchNorm():
                parameters[name] = torch.ones(shapes[name], dtype=dtype)
    buffers = {name: torch.zeros(shape, dtype=dtype) for name, shape in network.buffer_shapes().items()}
    return parameters, {name: b + 1 if name.endswith("running_var") else b for name, b in buffers.items()}


@torch.no_grad()
def forward(
    network: Network,
    parameters: Mapping[str, Tensor],
    x: Float[Tensor, "B *sample"],
    *,
    training: StepRandomness | None,
    buffers: Mapping[str, Tensor] | None = None,
) -> Trace:
    """Phase 1: through every operation in order.

    Args:
        network: what to run.
        parameters: every parameter by its name.
        x: a batch of samples of the network's input shape.
        training: which step of training this is: it keys what dropout and stochastic pooling draw, and batch
            normalisation uses the batch's statistics.  None: evaluation.
        buffers: every buffer by its name, if the network has any.

    Raises:
        ConfigError: a batch of another shape, or a parameter or buffer that is missing or of another shape.
    """
    buffers = buffers or {}
    if tuple(x.shape[1:]) != network.input_shape:
        got, fix = written(tuple(x.shape)), f"give (batch, {', '.join(map(str, network.input_shape))})"
        raise ConfigError("forward", "the batch", f"samples of {written(network.input_shape)}", got=got, fix=fix)
    _same_names("parameters", parameters, network.parameter_shapes())
    _same_names("buffers", buffers, network.buffer_shapes())
    run = _Run(parameters, buffers, training, _streams(network), dict(buffers))
    records = run.row(network.operations, x, "")
    return Trace(x, records, run.after)


def _same_names(what: str, given: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    got = {name: tuple(value.shape) for name, value in given.items()}
    if got != shapes:
        odd = sorted({name for name in got.keys() | shapes.keys() if got.get(name) != shapes.get(name)})
        shown = ", ".join(f"{name}: {got.get(name, 'missing')}" for name in odd[:3])
        must = ", ".join(f"{name}: {shapes.get(name, 'not there')}" for name in odd[:3])
        raise ConfigError("forward", what, must, got=shown, fix="start from initial(network, seed)")


def _streams(network: Network) -> dict[str, int]:
    """The number of every operation that draws, in order, as the layers of a module are numbered."""
    drawing = (step.place for step in network.steps if isinstance(step.operation, Dropout | StochasticPool))
    return {place: stream for stream, place in enumerate(drawing)}


@dataclass(frozen=True, slots=True)
class _Run:
    """What all operations of one forward pass share; `after` collects the buffers that move."""

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    training: StepRandomness | None
    streams: Mapping[str, int]
    after: Parameters

    def row(self, operations: Operations, x: Tensor, prefix: str) -> tuple[Record, ...]:
        """A row of operations, one after the other."""
        records: list[Record] = []
        for index, operation in enumerate(operations):
            place = f"{prefix}{index}"
            done = self.branches if isinstance(operation, Branches) else self.step
            records.append(done(operation, x, place))
            x = records[-1].y
        return tuple(records)

    def step(self, operation: Operation, x: Tensor, place: str) -> Record:
        """A single operation."""
        own = Given(_own(self.parameters, place), _own(self.buffers, place), self.training, self.streams.get(place, 0))
        made = STEPS[type(operation)].forward(operation, x, own)
        self.after.update({f"{place}.{name}": value for name, value in made.buffers.items()})
        return Record(place, operation, x, made.y, own, made.kept)

    def branches(self, operation: Any, x: Tensor, place: str) -> Record:
        """The same input along every row, then the rows joined."""
        rows = tuple(self.row(branch, x, f"{place}.{b}.") for b, branch in enumerate(operation.branches))
        ends = [row[-1].y if row else x for row in rows]
        y = add(ends) if operation.join == "add" else concatenate(ends)
        return Record(place, operation, x, y, Given(training=self.training), {}, rows)


def _own(named: Mapping[str, Tensor], place: str) -> Parameters:
    """The entries of one operation, by their short names."""
    split = ((*name.rpartition("."), value) for name, value in named.items())
    return {name: value for owner, _, name, value in split if owner == place}


@torch.no_grad()
def loss(trace: Trace, labels: Int[Tensor, " B"]) -> tuple[Float[Tensor, ""], Float[Tensor, "B classes"]]:
    """Phase 2: the mean cross-entropy of the output, and its derivative dL/dlogits."""
    value = cross_entropy(trace.output, labels)
    return value, cross_entropy_pullback(torch.ones_like(value), trace.output, labels)


@torch.no_grad()
def backward(trace: Trace, dy: Float[Tensor, "B *out"]) -> tuple[Parameters, Float[Tensor, "B *sample"]]:
    """Phase 3: the error of the output, back through every operation.

    The trace holds the network and the parameters that it ran with, so no others can be meant.

    Returns:
        The gradient of every parameter by its name, and dL/dx of the network's input.
    """
    gradients: Parameters = {}
    dx = _row_back(trace.records, dy, gradients)
    order = (f"{r.place}.{name}" for r in trace.every() for name in r.given.parameters)
    return {name: gradients[name] for name in order}, dx


def _row_back(records: tuple[Record, ...], dy: Tensor, gradients: Parameters) -> Tensor:
    for record in reversed(records):
        dy = _branches_back(record, dy, gradients) if record.branches else _step_back(record, dy, gradients)
    return dy


def _step_back(record: Record, dy: Tensor, gradients: Parameters) -> Tensor:
    pair = STEPS[type(record.operation)]
    error = pair.backward(record.operation, dy, record.x, record.given, record.kept)
    gradients.update({f"{record.place}.{name}": value for name, value in error.parameters.items()})
    return error.dx


def _branches_back(record: Record, dy: Tensor, gradients: Parameters) -> Tensor:
    """Each row gets its part of the error; what comes back along the rows is summed: the input went to all."""
    ends = [row[-1].y if row else record.x for row in record.branches]
    if getattr(record.operation, "join", "") == "add":
        parts = add_pullback(dy, len(ends))
    else:
        parts = concatenate_pullback(dy, [end.shape[1] for end in ends])
    back = [_row_back(row, part, gradients) for row, part in zip(record.branches, parts, strict=True)]
    return reduce(torch.add, back)


def start(parameters: Mapping[str, Tensor], rule: str) -> dict[str, Any]:
    """The state of an update rule before its first step, for every parameter.

    Raises:
        ConfigError: no such rule.
    """
    _known(rule)
    return {name: UPDATES[rule][1](w) for name, w in parameters.items()}


@torch.no_grad()
def update(
    parameters: Mapping[str, Tensor], gradients: Mapping[str, Tensor], state: Mapping[str, Any], *, rule: str, lr: float
) -> tuple[Parameters, dict[str, Any]]:
    """Phase 4: one step of a rule of `updates.py` for every parameter.

    Args:
        parameters: every parameter by its name.
        gradients: of `backward`.
        state: of `start` or of the step before.
        rule: a name of `UPDATES`, with its own defaults (momentum: 0.9).
        lr: the learning rate.

    Raises:
        ConfigError: no such rule.
    """
    _known(rule)
    step = UPDATES[rule][0]
    moved = {name: step(w, gradients[name], state[name], lr=lr) for name, w in parameters.items()}
    return {name: w for name, (w, _) in moved.items()}, {name: s for name, (_, s) in moved.items()}


def _known(rule: str) -> None:
    if rule not in UPDATES:
        raise ConfigError("update", "rule", f"one of {', '.join(UPDATES)}", got=repr(rule), fix="momentum is usual")


def demonstrate() -> str:
    """One step of training: a 3x3 picture, a 2x2 kernel, ReLU, flatten and two linear outputs, class 0 being right."""
    net = Network((1, 3, 3), (Conv(1, 2, bias=False), Activation("relu"), Flatten(), Linear(2, bias=False)))
    x = torch.tensor([[[[1.0, 0.0, 2.0], [0.0, 1.0, 0.0], [3.0, 0.0, 1.0]]]])
    w = {"0.weight": torch.tensor([[[[1.0, -1.0], [0.0, 1.0]]]]), "3.weight": torch.zeros(2, 4)}
    w["3.weight"][:, :2] = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    trace = forward(net, w, x, training=StepRandomness(seed=0, step=0))
    value, dlogits = loss(trace, torch.tensor([0]))
    gradients, _ = backward(trace, dlogits)
    after, _ = update(w, gradients, start(w, "gradient_descent"), rule="gradient_descent", lr=0.5)
    again, _ = loss(forward(net, after, x, training=None), torch.tensor([0]))
    z, y, flat, logits = (record.y for record in trace.records)
    p = softmax(logits, dim=1)
    return "\n\n".join(
        [
            "FORWARD   x * w -> conv -> relu -> flatten -> linear",
            beside(grid(x[0, 0]), "*", grid(w["0.weight"][0, 0]), "=", grid(z[0, 0]), "->", grid(y[0, 0])),
            beside("logits =", grid(w["3.weight"]), "times", grid(flat), "=", grid(logits)),
            f"LOSS   p = softmax = {grid(p)}    L = -log p[0] = {number(value.item())}    "
            f"dL/dlogits = p - (1 0) = {grid(dlogits)}",
            "BACKWARD   linear: dW = dlogits times the flattened map",
            beside(grid(gradients["3.weight"]), "   conv: dw =", grid(gradients["0.weight"][0, 0])),
            "UPDATE   w - 0.5 dw",
            beside(grid(after["0.weight"][0, 0]), "   and", grid(after["3.weight"])),
            f"the same picture now costs {number(again.item())}, less than {number(value.item())}",
        ]
    )


if __name__ == "__main__":
    print(demonstrate())
