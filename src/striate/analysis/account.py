"""From what a run has shown to rows and totals."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from torch import Tensor, nn

from striate.analysis.disk import disk_bytes
from striate.analysis.rules import parameters_of, rule_of, trainable_parameters
from striate.analysis.summary import Row, Sight, Totals, sight_of
from striate.analysis.trace import Trace
from striate.analysis.units import Unit
from striate.base.operations import Shape


class _Owners:
    """Which parameters and buffers have been counted: shared ones, and those of a layer that runs again, count once."""

    def __init__(self, model: nn.Module) -> None:
        self.named = dict(model.named_parameters(remove_duplicate=False))
        self.counted: set[int] = set()

    def of(self, unit: Unit) -> list[Tensor]:
        """What a row learns and keeps, new or not."""
        if unit.layer is not None:
            return [*unit.layer.parameters(), *unit.layer.buffers()]
        return [self.named[name] for name in dict.fromkeys(unit.parameters)]

    def fresh(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Those that no earlier row has counted; they are from now on."""
        new = [tensor for tensor in tensors if id(tensor) not in self.counted]
        self.counted.update(id(tensor) for tensor in new)
        return new


def rows_of(trace: Trace, training: Trace | None, model: nn.Module, input_shape: Shape) -> tuple[Row, ...]:
    """The rows of a run of one sample.

    Args:
        trace: a run in evaluation mode.
        training: one in training mode, of as many samples as its first input has; None: what is kept is unknown, 0.
        model: the network.
        input_shape: of one sample.
    """
    owners = _Owners(model)
    names = _names(trace.units, model)
    kept = _kept(training)
    return tuple(_row(unit, name, owners, kept, input_shape) for unit, name in zip(trace.units, names, strict=True))


def _row(unit: Unit, name: str, owners: _Owners, kept: dict[tuple[str, str], list[int]], input_shape: Shape) -> Row:
    rule = rule_of(unit.layer) if unit.layer else None
    mine = owners.of(unit)
    learnt = [tensor for tensor in mine if isinstance(tensor, nn.Parameter)]
    new = owners.fresh(mine)
    parameters = [tensor for tensor in new if isinstance(tensor, nn.Parameter)]
    count, trainable = (sum(p.numel() for p in parameters if p.requires_grad or every) for every in (True, False))
    if rule and rule.parameters and count:
        count, trainable = rule.parameters(unit.layer), rule.parameters(unit.layer) if trainable else 0
    macs, connections = (sum(getattr(one, what) for one in unit.records) for what in ("macs", "connections"))
    saved = kept.get((unit.path, unit.kind)) or [0]
    return Row(
        name=name,
        kind=unit.kind,
        input_shapes=unit.sample_inputs,
        output_shape=unit.sample_output,
        parameters=count,
        trainable=trainable,
        reused=bool(learnt) and not parameters,
        macs=rule.macs(unit.layer, unit.output) if rule and rule.macs else macs,
        connections=rule.connections(unit.layer, unit.output) if rule and rule.connections else connections,
        activation_bytes=unit.output_bytes,
        moved_bytes=unit.moved_bytes,
        saved_bytes=saved.pop(0),
        weight_bytes=sum(tensor.numel() * tensor.element_size() for tensor in new),
        sights=_sights(unit, input_shape),
        records=tuple(unit.records),
        sources=tuple(sorted(unit.sources)),
        path=unit.path,
    )


def _sights(unit: Unit, input_shape: Shape) -> tuple[Sight, ...]:
    """What the row sees along each axis of places; nothing where it does not depend on the input."""
    if unit.after is None:
        return ()
    sizes = input_shape[len(input_shape) - len(unit.after.intervals) :]
    return tuple(sight_of(unit.after, axis, size) for axis, size in enumerate(sizes))


def _names(units: Sequence[Unit], model: nn.Module) -> list[str]:
    """A name for every row: that of the layer; a function's own beside others in its module, else the module's."""
    modules = dict(model.named_modules())
    alone = Counter(unit.inside for unit in units)
    used: defaultdict[int, Counter[str]] = defaultdict(Counter)
    names = []
    for unit in units:
        if unit.layer is not None or (unit.path and alone[unit.inside] == 1 and not any(modules[unit.path].children())):
            names.append(unit.path or unit.kind)
            continue
        again = used[unit.inside][unit.kind]
        used[unit.inside][unit.kind] += 1
        own = unit.kind if not again else f"{unit.kind}_{again}"
        names.append(f"{unit.path}.{own}" if unit.path else own)
    return names


def _kept(training: Trace | None) -> dict[tuple[str, str], list[int]]:
    """Bytes kept by every row of a training run, a sample, by the row's place and kind, in order."""
    kept: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for unit in training.units if training else ():
        kept[unit.path, unit.kind].append(unit.saved_bytes // max(unit.output[0], 1) if unit.output else 0)
    return kept


def totals_of(
    rows: Sequence[Row],
    model: nn.Module,
    *,
    input_bytes: int,
    batch_size: int,
    inference_peak: int,
    training_peak: int | None,
) -> Totals:
    """The sums over the rows, and what the whole network holds.

    Args:
        rows: of one sample.
        model: the network.
        input_bytes: of one sample.
        batch_size: samples of the two peaks.
        inference_peak: bytes that an inference run held at most, weights and input apart.
        training_peak: the same of a training run, gradients included; None if there was none.
    """
    parameters = list(model.parameters())
    count = parameters_of(model)
    weights = _bytes([*parameters, *model.buffers()])
    learnt = _bytes([p for p in parameters if p.requires_grad])
    fixed = weights + input_bytes * batch_size
    flops = 2 * sum(row.macs for row in rows)
    moved = sum(row.moved_bytes for row in rows)
    return Totals(
        parameters=count,
        trainable=trainable_parameters(model),
        unused=count - sum(row.parameters for row in rows),
        macs=sum(row.macs for row in rows),
        connections=sum(row.connections for row in rows),
        activation_bytes=sum(row.activation_bytes for row in rows),
        saved_bytes=sum(row.saved_bytes for row in rows),
        weight_bytes=weights,
        disk_bytes=disk_bytes(model),
        batch_size=batch_size,
        peak_inference_bytes=fixed + inference_peak,
        peak_training_bytes=None if training_peak is None else fixed + learnt + training_peak,
        intensity=flops * batch_size / max(weights + moved * batch_size, 1),
    )


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
