"""Run a network without numbers and write down what it does: its rows, their operations, their memory.

Three observers stand one in another: hooks tell which module runs, torch's function mode which function the network
calls, and torch's dispatch mode which operations that comes to, after every decomposition.  So functional calls,
modules that run twice, parametrised weights and branches count as what they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from striate.analysis.call import Call, arguments_of, call_of, record
from striate.analysis.costs import connections, macs
from striate.analysis.field import Field, image
from striate.analysis.field_rules import fields_of
from striate.analysis.ledger import UNKNOWN, Known, Ledger, address
from striate.analysis.misfit import Failure, failure
from striate.analysis.rules import rule_of
from striate.analysis.shortcuts import shortcut
from striate.analysis.units import Unit, function_name, is_layer, is_shown, kind_of, tensors_of

INPUT = -1  # in place of a row's number
ASKING = frozenset(  # functions that ask a tensor about itself; this room asks, too, and often
    "__get__ dim size stride numel storage_offset untyped_storage is_contiguous is_floating_point element_size"
    " __len__ _set_grad_enabled".split()
)


class Trace:
    """What a run has shown so far; complete when the run has ended.

    Args:
        model: the network.
    """

    def __init__(self, model: nn.Module) -> None:
        self.units: list[Unit] = []
        self.ledger = Ledger()
        self.open: Unit | None = None
        self.failed: Failure | None = None  # the call that an error came from
        self.forward = True
        self.gives = False  # whether tensors come out
        self.names: dict[int, str] = {}  # of parameters, by their memory
        self._paths = {id(module): path for path, module in model.named_modules()}
        self._modules: list[tuple[int, nn.Module]] = []  # those that run now, each with the number of its call
        self._calls = 0

    def enter(self, module: nn.Module, args: Any) -> None:
        """A module begins."""
        if not self.forward:
            return
        self._calls += 1
        self._modules.append((self._calls, module))
        if self.open is None and is_layer(module):
            self.open = self._unit(kind_of(module), args, module)

    def leave(self, module: nn.Module, output: Any) -> None:
        """A module ends."""
        if not self.forward:
            return
        self._modules.pop()
        if self.open is not None and self.open.layer is module:
            self._close(self.open, tensors_of(output))

    def function(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The network calls a function of torch's; its result."""
        unit = None if self.open else self._unit(function_name(func), (args, kwargs), None)
        self.open = self.open or unit
        try:
            result = func(*args, **kwargs)
        except Exception:
            path = self._paths.get(id(self._modules[-1][1]), "") if self._modules else ""
            self.failed = self.failed or failure(path, function_name(func), args, kwargs)
            raise
        if unit is not None:
            self._close(unit, tensors_of(result))
        return result

    def operation(self, call: Call, *, overwrites: bool) -> None:
        """An operation has run."""
        if not self.forward:  # on the way back memory alone is of interest
            for tensor in call.outputs:
                self.ledger.put(tensor, UNKNOWN)
            return
        found = fields_of(call, self._field)
        known = [Known(field, self._makers(call.inputs())) for field in found]
        note = self.ledger.overwrite if overwrites else self.ledger.put
        for tensor, own in zip(call.outputs, known, strict=True):
            note(tensor, own)
        if self.open is not None and call.outputs:
            used = connections(call, lambda tensor: self._field(tensor) is None)
            self.open.records.append(record(call, macs(call), used))
            self.open.parameters += [self.names[key] for key in map(address, call.inputs()) if key in self.names]

    def save(self, tensor: Tensor) -> Tensor:
        """Autograd keeps a tensor for the backward pass."""
        if self.open is not None:
            self.open.saved_bytes += self.ledger.keep(tensor)
        return tensor

    def _unit(self, kind: str, args: Any, layer: nn.Module | None) -> Unit:
        tensors = tensors_of(args)
        flowing = [tensor for tensor in tensors if self.ledger[tensor].makers] or tensors[:1]
        call, module = self._modules[-1] if self._modules else (0, None)
        return Unit(
            path=self._paths.get(id(module), ""),
            kind=kind,
            layer=layer,
            inside=call,
            inputs=tuple(tuple(tensor.shape) for tensor in flowing),
            sources=self._makers(tensors),
            moved_bytes=sum(tensor.numel() * tensor.element_size() for tensor in flowing),
            before=self._field(flowing[0]) if flowing else None,
        )

    def _close(self, unit: Unit, outputs: list[Tensor]) -> None:
        self.open = None
        unit.output = tuple(outputs[0].shape) if outputs else ()
        if not outputs or not (unit.layer or is_shown(unit)):
            return
        self.units.append(unit)
        unit.moved_bytes += outputs[0].numel() * outputs[0].element_size()
        makers = frozenset((len(self.units) - 1,))
        own = rule_of(unit.layer) if unit.layer else None
        for tensor in outputs:
            field = unit.before if own and own.pointwise else self._field(tensor)
            self.ledger.put(tensor, Known(field, makers))
            unit.output_bytes += self.ledger.claim(tensor)
        unit.after = self._field(outputs[0])

    def _field(self, tensor: Tensor) -> Field | None:
        return self.ledger[tensor].field

    def _makers(self, tensors: Any) -> frozenset[int]:
        return frozenset[int]().union(*(self.ledger[tensor].makers for tensor in tensors))


class _Functions(TorchFunctionMode):
    """Tells a trace which functions are called."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not self.trace.forward or getattr(func, "__name__", "") in ASKING:
            return func(*args, **(kwargs or {}))
        return self.trace.function(func, args, kwargs or {})


class _Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Tells a trace which operations run."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = trace

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # it would import torch's compiler, which takes longer than all the rest

    def __torch_dispatch__(self, func: OpOverload, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        arguments = arguments_of(func, args, kwargs or {})
        result = shortcut(func, arguments)
        if result is None:
            result = func(*args, **(kwargs or {}))
        self.trace.operation(call_of(func, arguments, result), overwrites=func._schema.is_mutable)
        return result


def run(trace: Trace, model: nn.Module, inputs: Sequence[Tensor], *, axes: int, training: bool) -> Any:
    """Run a network under observation, forward and, in training, back to its parameters; the output.

    Parameters and buffers are replaced by stand-ins on the inputs' device, and what modules write down of themselves is
    taken back: the network is left as it was.

    Args:
        trace: is told everything.
        model: the network.
        inputs: its arguments; on the "meta" device nothing is computed.
        axes: how many axes of places the first input has, at its end.
        training: in training mode, with autograd; else in evaluation mode without.
    """
    stand_ins = _stand_ins(model, inputs[0].device)
    for tensor in stand_ins.values():
        trace.ledger.give(tensor)
    parameters = (name for name, _ in model.named_parameters())
    trace.names = {address(stand_ins[name]): name for name in reversed(list(parameters))}
    for number, tensor in enumerate(inputs):
        field = image(tuple(tensor.shape), axes) if number == 0 else None
        trace.ledger.give(tensor, Known(field, frozenset((INPUT,))))
    there = {f"model.{name}": tensor for name, tensor in stand_ins.items()}
    with _observed(trace, model, inputs[0].device, training=training):
        # Every place is named already, so no weights have to be tied.
        return functional_call(_ThereAndBack(model, trace), there, tuple(inputs), tie_weights=False)


class _ThereAndBack(nn.Module):
    """A network's way there and, in training, back.

    Both in one call, during which the stand-ins are in place: checkpointing computes parts again on the way back.
    """

    def __init__(self, model: nn.Module, trace: Trace) -> None:
        super().__init__()
        self.model = model
        self.trace = trace

    def forward(self, *inputs: Tensor) -> Any:
        """The network's output."""
        output = self.model(*inputs)
        self.trace.gives = bool(tensors_of(output))
        if torch.is_grad_enabled():
            self.trace.forward = False
            torch.autograd.backward([_loss(self.trace, y) for y in tensors_of(output) if y.requires_grad])
        return output


def _loss(trace: Trace, y: Tensor) -> Tensor:
    """One number of an output, whose gradient is as large in memory as that of a real loss.

    A product, since a sum's gradient takes no memory, and gradients given to `backward` import symbolic mathematics.
    """
    weights = torch.ones((y.numel(), 1), dtype=y.dtype, device=y.device)
    trace.ledger.give(weights)
    return y.reshape(1, -1).mm(weights)


def _stand_ins(model: nn.Module, device: torch.device) -> dict[str, Tensor]:
    """Tensors in place of parameters and buffers, shared ones once: without numbers, or the same numbers.

    Every module has its names once, also where it is part of the network twice: torch would put the second stand-in
    back for the first.
    """
    made: dict[int, Tensor] = {}
    names: dict[str, Tensor] = {}
    for path, module in model.named_modules():
        for name, tensor in _own(module):
            if id(tensor) not in made:
                made[id(tensor)] = _stand_in(tensor, device)
            names[f"{path}.{name}" if path else name] = made[id(tensor)]
    return names


def _own(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """A module's parameters and buffers without those of the modules in it, under every name."""
    yield from module.named_parameters(recurse=False, remove_duplicate=False)
    yield from module.named_buffers(recurse=False, remove_duplicate=False)


def _stand_in(tensor: Tensor, device: torch.device) -> Tensor:
    empty = device.type == "meta"  # empty_like would import torch's symbolic mathematics
    fresh = torch.empty(tensor.shape, dtype=tensor.dtype, device=device) if empty else tensor.detach().clone()
    return fresh.requires_grad_(tensor.requires_grad)


@contextmanager
def _observed(trace: Trace, model: nn.Module, device: torch.device, *, training: bool) -> Iterator[None]:
    modules = list(model.modules())
    with ExitStack() as stack:
        stack.callback(torch.backends.mha.set_fastpath_enabled, torch.backends.mha.get_fastpath_enabled())
        stack.callback(_restore, {module: dict(module.__dict__) for module in modules})
        model.train(training)
        torch.backends.mha.set_fastpath_enabled(False)  # it would hide a whole encoder in one operation
        for module in modules:
            before = module.register_forward_pre_hook(
                lambda own, args, kwargs: trace.enter(own, (args, kwargs)), prepend=True, with_kwargs=True
            )
            after = module.register_forward_hook(lambda own, _, output: trace.leave(own, output))
            stack.callback(before.remove)
            stack.callback(after.remove)
        stack.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
        stack.enter_context(torch.set_grad_enabled(training))
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(trace.save, lambda tensor: tensor))
        stack.enter_context(_Operations(trace))
        stack.enter_context(_Functions(trace))
        yield


def _restore(attributes: Mapping[nn.Module, dict[str, Any]]) -> None:
    """Put back the mode of every module, and what its forward pass has written down of itself."""
    for module, known in attributes.items():
        module.__dict__.clear()
        module.__dict__.update(known)
