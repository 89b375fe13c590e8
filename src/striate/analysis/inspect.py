"""A true account of any network, without data and, where that is possible, without numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from numbers import Integral

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from striate.analysis.account import rows_of, totals_of
from striate.analysis.advice import advice_for
from striate.analysis.batch import without_batch
from striate.analysis.costs import uncounted
from striate.analysis.misfit import MisfitError, explained, first_line
from striate.analysis.summary import Row, Summary
from striate.analysis.trace import Trace, run
from striate.analysis.units import Unit
from striate.base.errors import ConfigError
from striate.base.operations import Shape, written

LARGEST = 2**40  # numbers in the inputs of one run: more overflow what torch can count


def inspect(
    model: nn.Module,
    input_shape: Shape,
    *,
    batch_size: int = 1,
    dtype: torch.dtype | None = None,
    title: str | None = None,
) -> Summary:
    """Shapes, parameters, operations, memory and receptive fields of a network, row by row.

    The network runs on tensors that have shapes and no numbers, so no weight is needed and little time: the network may
    have been built inside `torch.device("meta")`.  It is left as it was.  One that cannot run so, because it looks at
    numbers, is run on zeros.

    Args:
        model: any network of one input.
        input_shape: of one sample, without the batch: (C, H, W), (C, W), (C, D, H, W), (F,), or (W,) of whole numbers.
        batch_size: samples, for the peaks of memory.
        dtype: of the input; None is that of the weights.  Whole numbers (torch.int64) are tokens, whose only axis is
            one of places.
        title: what to call it; None is its class.

    Raises:
        ConfigError: a shape that does not fit, with the rows up to there, both shapes and what would fit.

    >>> summary = inspect(nn.Conv2d(3, 8, 3, padding=1), (3, 32, 32))
    >>> summary.totals.macs, summary.rows[0].output_shape
    (221184, (8, 32, 32))
    """
    _check(model, input_shape, batch_size, dtype)
    observer = _Observer(model, tuple(map(int, input_shape)), dtype or _dtype(model), title or type(model).__name__)
    with torch.inference_mode(mode=False):  # it would hide from the observers what a function comes to
        return observer.summary(batch_size)


def _check(model: object, input_shape: object, batch_size: object, dtype: object) -> None:
    """Refuse what is no network, no shape, no number of samples or no type."""
    _check_model(model)
    sizes = tuple(input_shape) if isinstance(input_shape, Sequence) else ()
    if not sizes or not all(map(_counts, sizes)):
        fix = "give the shape of one sample, such as (3, 224, 224); wrap a network of several inputs in one of one"
        raise ConfigError("inspect", "input_shape", "whole numbers >= 1", got=input_shape, fix=fix)
    if not _counts(batch_size):
        fix = "1 is one sample at a time"
        raise ConfigError("inspect", "batch_size", "a whole number >= 1", got=batch_size, fix=fix)
    if prod((batch_size, *sizes)) > LARGEST:
        got = f"{batch_size} of {written(sizes)}"
        fix = "give a smaller batch_size or input_shape"
        raise ConfigError("inspect", "the input", f"at most {LARGEST:,} numbers", got=got, fix=fix)
    if not isinstance(dtype, torch.dtype | None):
        raise ConfigError("inspect", "dtype", "a torch.dtype", got=repr(dtype), fix="torch.float32, for example")


def _check_model(model: object) -> None:
    if not isinstance(model, nn.Module):
        fix = "give a network, such as striate.build('lenet5'); of a class, make one"
        raise ConfigError("inspect", "model", "an nn.Module", got=repr(model)[:100], fix=fix)
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        fix = "inspect the module that it was made from"
        raise ConfigError("inspect", "model", "one whose calls can be observed", got="a scripted module", fix=fix)
    if any(is_lazy(p) for p in (*model.parameters(), *model.buffers())):
        fix = "call it once on a batch, then inspect it"
        raise ConfigError("inspect", "model", "one whose weights have shapes", got="lazy modules", fix=fix)


def _counts(value: object) -> bool:
    """Whether it is a whole number >= 1."""
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 1


def _dtype(model: nn.Module) -> torch.dtype:
    """Of the first weight that is no whole number."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point() or p.is_complex()), torch.float32)


def _uncounted(rows: Sequence[Row]) -> list[str]:
    """A note on what multiplies and is not in the MACs, if there is any."""
    names = uncounted(record.name for row in rows for record in row.records)
    return [f"MACs leave out {', '.join(names)}, which multiply by an algorithm of their own"] if names else []


@dataclass(frozen=True, slots=True)
class _Observer:
    """Runs one network on inputs of one shape."""

    model: nn.Module
    input_shape: Shape
    dtype: torch.dtype
    title: str

    def summary(self, batch_size: int) -> Summary:
        """All that can be said."""
        one, device = self._first()
        without_batch(one.units, lambda: self._twice(device))
        many = one if batch_size == 1 else self._many(device, batch_size)
        notes = [] if device == "meta" else ["it looks at numbers, so it was run on zeros"]
        if not one.gives:
            notes.append("it gives no tensor: nothing was found that depends on what it is for")
        trained = self._training(device, batch_size, notes)
        rows = rows_of(one, trained, self.model, self.input_shape)
        notes += _uncounted(rows)
        input_bytes = torch.empty(self.input_shape, dtype=self.dtype, device="meta").nbytes
        totals = totals_of(
            rows,
            self.model,
            input_bytes=input_bytes,
            batch_size=batch_size,
            inference_peak=many.ledger.peak,
            training_peak=trained.ledger.peak if trained else None,
        )
        return Summary(
            title=self.title,
            input_shape=self.input_shape,
            input_bytes=input_bytes,
            rows=rows,
            totals=totals,
            advice=advice_for(rows, totals, self.model),
            notes=tuple(notes),
        )

    def _twice(self, device: str) -> Sequence[Unit]:
        """The rows of two samples; none where the network takes one alone."""
        try:
            return self._run(device, 2, training=False).units
        except Exception:
            return ()

    def _many(self, device: str, batch_size: int) -> Trace:
        try:
            return self._run(device, batch_size, training=False)
        except Exception as error:
            got = f"{batch_size} ({first_line(error)})"
            fix = "leave batch_size out: it takes one sample"
            raise ConfigError(self.title, "batch_size", "one that the network takes", got=got, fix=fix) from error

    def _run(self, device: str, batch_size: int, *, training: bool) -> Trace:
        """One run; what raises, raises."""
        trace = Trace(self.model)
        self._into(trace, device, batch_size, training=training)
        return trace

    def _into(self, trace: Trace, device: str, batch_size: int, *, training: bool) -> None:
        axes = max(len(self.input_shape) - 1, 0) if self.dtype.is_floating_point or self.dtype.is_complex else 1
        x = torch.zeros((batch_size, *self.input_shape), dtype=self.dtype, device=device)
        run(trace, self.model, [x], axes=axes, training=training)

    def _first(self) -> tuple[Trace, str]:
        """One sample in evaluation mode, without numbers if that is possible; and the device where it was."""
        state = self.model.state_dict().values()
        real = next((t.device.type for t in state if not t.is_meta), "cpu")
        trace, device = Trace(self.model), "meta"
        try:
            self._into(trace, device, 1, training=False)
        except Exception as error:
            if any(t.is_meta for t in state):
                raise self._misfit(trace, error) from error
            trace, device = Trace(self.model), real
            try:
                self._into(trace, device, 1, training=False)
            except Exception as second:
                raise self._misfit(trace, second) from second
        return trace, device

    def _training(self, device: str, batch_size: int, notes: list[str]) -> Trace | None:
        """A training run; None, with a note, where the network cannot be trained so."""
        try:
            return self._run(device, batch_size, training=True)
        except Exception as error:
            notes.append(f"memory of training unknown: {first_line(error)}")
            return None

    def _misfit(self, trace: Trace, error: Exception) -> ConfigError:
        cause = explained(trace.failed, error, self.title)
        lines = [f"{unit.path or unit.kind}  {unit.kind}  {written(unit.output[1:])}" for unit in trace.units]
        return MisfitError(cause, "\n".join(lines))
