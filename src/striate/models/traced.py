"""Any module to its description, by running it once: what `describe` reads off a row is here seen to happen.

Layers that `describe` knows are noted as they run, and a few functions between them: flatten, activations, sums,
concatenation.  All else that touches the numbers is refused by the name of the module that calls it.  The graph that
comes out must be a row with branches within it: each sum or concatenation goes back to one value that all of its inputs
come from.

A network that decides by its numbers which way to go is described as it went: who needs to be sure compares.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from striate.base.errors import ConfigError
from striate.base.network import Branches, Network, Operations
from striate.base.operations import Activation, Dropout, Flatten, Operation, Shape
from striate.base.windowed import AdaptiveMeanPool
from striate.models.describe import TELLERS

INPUT = 0  # the number of the input among the values

ACTIVATIONS: Mapping[Any, str] = {
    **dict.fromkeys((torch.relu, torch.relu_, F.relu, Tensor.relu, Tensor.relu_), "relu"),
    **dict.fromkeys((torch.sigmoid, F.sigmoid, Tensor.sigmoid), "sigmoid"),
    **dict.fromkeys((torch.tanh, F.tanh, Tensor.tanh), "tanh"),
    F.silu: "swish",
}
SUMS = frozenset((torch.add, Tensor.add, Tensor.add_, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__))
CONCATENATIONS = frozenset((torch.cat, torch.concat, torch.concatenate))
RESHAPES = frozenset((torch.flatten, Tensor.flatten, Tensor.view, Tensor.reshape, torch.reshape))
DROPOUTS = frozenset((F.dropout, torch.dropout))  # which in evaluation give the same numbers again
SAME = frozenset((Tensor.contiguous, Tensor.float))


@dataclass(frozen=True, slots=True)
class Traced:
    """What was seen.

    Args:
        network: the description.
        tensors: its parameters and buffers by place, "0.weight".
        names: of its layers by place, as the module calls them.
    """

    network: Network
    tensors: Mapping[str, Tensor]
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Seen:
    """One value and what made it: an operation on one input, or a join of several."""

    inputs: tuple[int, ...]
    operation: Operation | None = None  # None: the input itself, or the same numbers again
    join: str = ""
    name: str = ""
    layer: nn.Module | None = None


def traced(module: nn.Module, input_shape: Shape) -> Traced:
    """Describe a module in evaluation mode.

    Args:
        module: any; it is run once on zeros, on its device.
        input_shape: of one sample.

    Raises:
        ConfigError: something that has no description, by the name of the module that does it, or branches that do
            not nest.
    """
    recorder = _Recorder(module)
    like = next(module.parameters(), torch.zeros(()))
    x = torch.zeros(1, *input_shape, dtype=like.dtype, device=like.device)
    recorder.note(x, _Seen(()))
    with torch.inference_mode(), _evaluating(module), recorder.listening():
        y = module(x)
    if not isinstance(y, Tensor) or id(y) not in recorder.values:
        fix = "give a module whose forward returns one tensor"
        raise ConfigError("export", "what the network returns", "one tensor", got=type(y).__name__, fix=fix)
    return _described(recorder.seen, recorder.values[id(y)], input_shape)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode, and afterwards every part as it was."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training


class _Recorder(TorchFunctionMode):
    """Notes what layers and functions do.

    Args:
        module: the network.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.seen: list[_Seen] = []
        self.values: dict[int, int] = {}  # tensors by id -> number of the value
        self._kept: list[Tensor] = []  # so that no id is given twice
        self._module = module
        self._running: list[str] = [""]
        self._inside = 0  # a layer that is known: what it calls is its own affair

    def note(self, tensor: Tensor, seen: _Seen) -> None:
        """A tensor is that value from now on."""
        self._kept.append(tensor)
        self.values[id(tensor)] = len(self.seen)
        self.seen.append(seen)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hooks at all modules, and this mode."""
        with ExitStack() as stack:
            for name, part in self._module.named_modules():
                stack.callback(part.register_forward_pre_hook(self._entering(name)).remove)
                stack.callback(part.register_forward_hook(self._left(name)).remove)
            stack.enter_context(self)
            yield

    def _entering(self, name: str) -> Callable[..., None]:
        def hook(part: nn.Module, _args: Any) -> None:
            self._running.append(name)
            self._inside += type(part) in TELLERS

        return hook

    def _left(self, name: str) -> Callable[..., None]:
        def hook(part: nn.Module, args: Any, output: Any) -> None:
            self._running.pop()
            if type(part) not in TELLERS:
                return
            self._inside -= 1
            if self._inside == 0 and args and id(args[0]) in self.values:
                operation = self._told(part, args[0], name)
                before = (self.values[id(args[0])],)
                self.note(output, _Seen(before, operation, name=name or type(part).__name__, layer=part))

        return hook

    def _told(self, part: nn.Module, x: Tensor, name: str) -> Operation:
        try:
            return TELLERS[type(part)](part, tuple(x.shape[1:]))
        except ConfigError as fault:
            where = f"module {name} ({type(part).__name__})"
            raise ConfigError(where, fault.what, fault.must, got=fault.got, fix=fault.fix) from None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """One function of torch's that the network calls."""
        kwargs = kwargs or {}
        shape = tuple(args[0].shape) if args and isinstance(args[0], Tensor) else ()
        before = self._known((args, kwargs))
        result = func(*args, **kwargs)
        if self._inside or not before or not isinstance(result, Tensor):
            return result
        self.note(result, self._function(_Called(func, args, kwargs, shape, result), before))
        return result

    def _known(self, given: Any) -> tuple[int, ...]:
        """The values among arguments."""
        if isinstance(given, Tensor):
            return (self.values[id(given)],) if id(given) in self.values else ()
        inner = given.values() if isinstance(given, dict) else given if isinstance(given, tuple | list) else ()
        return tuple(number for entry in inner for number in self._known(entry))

    def _function(self, call: "_Called", before: tuple[int, ...]) -> _Seen:
        name = getattr(call.func, "__name__", str(call.func))
        if call.func in SUMS and len(before) == 2 and call.y.shape == call.shape and "alpha" not in call.kwargs:
            return _Seen(before, join="add", name=name)
        if call.func in CONCATENATIONS and len(before) == len(call.args[0]) and call.axis() == 1:
            return _Seen(before, join="concatenate", name=name)
        operation = call.single() if len(before) == 1 else None
        if operation is not None:
            return _Seen(before, operation, name=f"{self._running[-1]}.{name}".strip("."))
        path = self._running[-1]
        part = type(self._module.get_submodule(path)).__name__
        where, what = f"module {path} ({part})" if path else f"network {part}", "what it computes"
        fix = "build the network of layers of torch and of striate.layers that `striate inspect` names"
        raise ConfigError(where, what, "layers, sums and concatenations", got=f"torch's {name}", fix=fix)


@dataclass(frozen=True, slots=True)
class _Called:
    """A function, what it got and what came; `shape` is that of its first argument, before."""

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: Shape
    y: Tensor

    def axis(self) -> int:
        """Which axis it is told."""
        axis = self.kwargs.get("dim", self.kwargs.get("axis", self.args[1] if len(self.args) > 1 else 0))
        return axis % self.y.ndim

    def single(self) -> Operation | None:
        """What a function of one value does; None where there is no description for it."""
        func, y = self.func, self.y
        if func in ACTIVATIONS:
            return Activation(ACTIVATIONS[func])
        if func is F.gelu and self.kwargs.get("approximate", "none") == "none":
            return Activation("gelu")
        if func in RESHAPES and y.ndim == 2 and y.shape[0] == 1 == self.shape[0]:
            return Flatten()
        if func in DROPOUTS or (func in SAME and tuple(y.shape) == self.shape):
            return Dropout(0.0)
        if func is F.adaptive_avg_pool2d and y.ndim == 4:
            return AdaptiveMeanPool(tuple(y.shape[2:]))
        return None


def _described(seen: list[_Seen], end: int, input_shape: Shape) -> Traced:
    """The graph as a row with branches."""
    tensors: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    reader = _Reader(seen)
    chain = reader.row(INPUT, end)
    operations = _placed(chain, "", tensors, names)
    if reader.visited != len(_behind(seen, end)):
        fix = "let every sum or concatenation go back to one value, as in residual and inception blocks"
        raise ConfigError("export", "the network", "a row with branches within it", got="branches that cross", fix=fix)
    return Traced(Network(input_shape, operations), tensors, names)


def _behind(seen: list[_Seen], end: int) -> set[int]:
    """All values that one comes from, itself included, without the input."""
    found: set[int] = set()
    waiting = [end]
    while waiting:
        number = waiting.pop()
        if number not in found and number != INPUT:
            found.add(number)
            waiting += seen[number].inputs
    return found


@dataclass(frozen=True, slots=True)
class _Fork:
    """Branches, each a chain, and how they meet."""

    rows: tuple[tuple["_Seen | _Fork", ...], ...]
    join: str
    name: str


_Chain = tuple[_Seen | _Fork, ...]


class _Reader:
    """Turns a graph into chains, from the end.

    Args:
        seen: all values; the inputs of each come before it.
    """

    def __init__(self, seen: list[_Seen]) -> None:
        self.seen = seen
        self.visited = 0  # values that are in a chain; one that is in two chains counts twice
        self._above: dict[int, int] = {INPUT: INPUT}  # the nearest value that every way to it goes through
        self._depth = {INPUT: 0}
        for number in range(1, len(seen)):
            above = self._meeting(seen[number].inputs)
            self._above[number], self._depth[number] = above, self._depth[above] + 1

    def row(self, start: int, end: int) -> _Chain:
        """From one value to another that all of it leads to."""
        chain: list[_Seen | _Fork] = []
        while end != start:
            self.visited += 1
            own = self.seen[end]
            if not own.join:
                chain.append(own)
                (end,) = own.inputs
                continue
            end = self._meeting(own.inputs)
            chain.append(_Fork(tuple(self.row(end, branch) for branch in own.inputs), own.join, own.name))
        return tuple(reversed(chain))

    def _meeting(self, numbers: tuple[int, ...]) -> int:
        """The nearest value that every way to all of these goes through, one of them included."""
        first, *others = numbers
        for other in others:
            while first != other:
                if self._depth[first] >= self._depth[other]:
                    first = self._above[first]
                else:
                    other = self._above[other]
        return first


def _placed(chain: _Chain, prefix: str, tensors: dict[str, Tensor], names: dict[str, str]) -> Operations:
    """The operations of a chain; parameters and names are noted by place."""
    row: list[Operation] = []
    for number, entry in enumerate(chain):
        place = f"{prefix}{number}"
        names[place] = entry.name
        if isinstance(entry, _Fork):
            rows = [_placed(own, f"{place}.{b}.", tensors, names) for b, own in enumerate(entry.rows)]
            row.append(Branches(tuple(rows), entry.join))
            continue
        assert entry.operation is not None
        row.append(entry.operation)
        held = entry.layer.state_dict() if entry.layer is not None else {}
        tensors.update({f"{place}.{name}": tensor for name, tensor in held.items() if name != "num_batches_tracked"})
    return tuple(row)
