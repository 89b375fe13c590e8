"""A true account of any network, without data and, where that is possible, without numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from striate.analysis.account import rows_of, totals_of
from striate.analysis.advice import advice_for
from striate.analysis.costs import uncounted
from striate.analysis.misfit import MisfitError, explained
from striate.analysis.summary import Row, Summary
from striate.analysis.trace import Trace, run
from striate.base.errors import ConfigError
from striate.base.operations import Shape, written


def inspect(
    model: nn.Module,
    input_shape: Shape,
    *,
    batch_size: int = 1,
    dtype: torch.dtype = torch.float32,
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
        dtype: of the input; whole numbers (torch.int64) are tokens, whose only axis is one of places.
        title: what to call it; None is its class.

    Raises:
        ConfigError: a shape that does not fit, with the rows up to there, both shapes and what would fit.

    >>> summary = inspect(nn.Conv2d(3, 8, 3, padding=1), (3, 32, 32))
    >>> summary.totals.macs, summary.rows[0].output_shape
    (221184, (8, 32, 32))
    """
    if not input_shape or min(input_shape) < 1:
        fix = "give the shape of one sample, such as (3, 224, 224)"
        raise ConfigError("inspect", "input_shape", "sizes >= 1", got=tuple(input_shape), fix=fix)
    if batch_size < 1:
        raise ConfigError("inspect", "batch_size", ">= 1", got=batch_size, fix="1 is one sample at a time")
    title = title or type(model).__name__
    observer = _Observer(model, tuple(input_shape), dtype, title)
    one, device = observer.first()
    many = one if batch_size == 1 else observer.run(device, batch_size, training=False)
    notes = [] if device == "meta" else ["it looks at numbers, so it was run on zeros"]
    trained = observer.training(device, batch_size, notes)
    rows = rows_of(one, trained, model, tuple(input_shape))
    notes += _uncounted(rows)
    input_bytes = torch.empty(input_shape, dtype=dtype, device="meta").nbytes
    totals = totals_of(
        rows,
        model,
        input_bytes=input_bytes,
        batch_size=batch_size,
        inference_peak=many.ledger.peak,
        training_peak=trained.ledger.peak if trained else None,
    )
    return Summary(
        title=title,
        input_shape=tuple(input_shape),
        input_bytes=input_bytes,
        rows=rows,
        totals=totals,
        advice=advice_for(rows, totals, model),
        notes=tuple(notes),
    )


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

    def run(self, device: str, batch_size: int, *, training: bool) -> Trace:
        """One run; what raises, raises."""
        trace = Trace(self.model)
        self._into(trace, device, batch_size, training=training)
        return trace

    def _into(self, trace: Trace, device: str, batch_size: int, *, training: bool) -> None:
        axes = max(len(self.input_shape) - 1, 0) if self.dtype.is_floating_point else 1
        x = torch.zeros((batch_size, *self.input_shape), dtype=self.dtype, device=device)
        run(trace, self.model, [x], axes=axes, training=training)

    def first(self) -> tuple[Trace, str]:
        """One sample in evaluation mode, without numbers if that is possible; and the device where it was."""
        real = next((t.device.type for t in self.model.state_dict().values() if not t.is_meta), "cpu")
        numbers = all(not t.is_meta for t in self.model.state_dict().values())
        trace, device = Trace(self.model), "meta"
        try:
            self._into(trace, device, 1, training=False)
        except Exception as error:
            if not numbers:
                raise self._misfit(trace, error) from error
            trace, device = Trace(self.model), real
            try:
                self._into(trace, device, 1, training=False)
            except Exception as second:
                raise self._misfit(trace, second) from second
        return trace, device

    def training(self, device: str, batch_size: int, notes: list[str]) -> Trace | None:
        """A training run; None, with a note, where the network cannot be trained so."""
        try:
            return self.run(device, batch_size, training=True)
        except Exception as error:
            notes.append(f"memory of training unknown: {str(error).strip().splitlines()[0]}")
            return None

    def _misfit(self, trace: Trace, error: Exception) -> ConfigError:
        cause = explained(trace.failed, error, self.title)
        lines = [f"{unit.path or unit.kind}  {unit.kind}  {written(unit.output[1:])}" for unit in trace.units]
        return MisfitError(cause, "\n".join(lines))
