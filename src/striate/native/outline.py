"""What the native engine does with a network, before it does it: its stages, their memory, the order of a step."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import prod
from textwrap import wrap
from typing import Any

from striate.base.network import Network
from striate.base.operations import BatchNorm, Dropout, Linear, written
from striate.base.padding import Pair
from striate.base.windowed import Conv, MaxPool
from striate.native.formulas import files, formula, taps
from striate.native.library import Library, absence
from striate.native.program import program
from striate.native.stages import POINTS, Fused, fuse, joined, refused

NUMBER = 4  # bytes
USUAL_LANES = 8  # where there is no library: those of AVX2
L2 = "an L2 cache usually holds 512 KiB to 2 MiB"
WIDTH = 120  # characters of a line
HEADS = ("stage", "operations", "input -> output", "border", "tiles", "parameters", "MACs", "KiB")
TILED = wrap(
    f"tiles: outputs are made in tiles of this side, by way of the values at {POINTS} x {POINTS} points (Winograd), "
    f"with {POINTS**2} multiplications for a tile and a pair of channels",
    WIDTH,
)
SYMBOLS = (
    "y: what a stage makes; x: what it reads; w, b: what is learnt; t: a place in a window; m, v: mean and variance of "
    "the batch; u: a number drawn. Formulas and their derivatives: striate/calculus."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A stage, for people and JSON.

    Args:
        stage: place of its operation among the layers in a row.
        operations: those that it does at once.
        input: (C, H, W) of what it reads.
        output: (C, H, W) of what it makes.
        border: rows, columns of zeros (before, after) around what it reads.
        tile: side of the tiles in which it makes its outputs, with fewer multiplications than `macs`; 0: one by one.
        parameters: numbers that are learnt.
        macs: multiply-accumulates of one sample forward, without bias.
        chunk_bytes: activations, errors and winners that it writes for one chunk.
        formula: what it computes.
        files: of the calculus that say the same, and the way back.
    """

    stage: str
    operations: tuple[str, ...]
    input: tuple[int, ...]
    output: tuple[int, ...]
    border: tuple[Pair, Pair]
    tile: int
    parameters: int
    macs: int
    chunk_bytes: int
    formula: str
    files: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """The plan of the native engine for a network.

    Args:
        instructions: the instruction set that is taken; "" where there is no library.
        absence: why there is none.
        lanes: samples of a chunk.
        rows: the stages.
        input_bytes: of one chunk's samples.
        order: of a training step.
    """

    instructions: str
    absence: str
    lanes: int
    rows: tuple[Row, ...]
    input_bytes: int
    order: tuple[tuple[str, str], ...]

    @property
    def chunk_bytes(self) -> int:
        """What a thread touches of one chunk, weights apart."""
        return self.input_bytes + sum(row.chunk_bytes for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        order = [{"what": what, "how": how} for what, how in self.order]
        return asdict(self) | {"order": order, "chunk_bytes": self.chunk_bytes}

    def __str__(self) -> str:
        formulas = [(row.stage, row.formula, ", ".join(row.files)) for row in self.rows]
        parts = [
            wrap(self._head(), WIDTH),
            _aligned([HEADS, *map(_cells, self.rows), self._total()]),
            self._memory(),
            _aligned(formulas, right=()),
            wrap(SYMBOLS, WIDTH),
            ["a training step:", *_aligned([("", *entry) for entry in self.order], right=())],
        ]
        return "\n\n".join("\n".join(part) for part in parts)

    def _head(self) -> str:
        if not self.instructions:
            return (
                f"native engine: not here: {self.absence}; with chunks of {self.lanes} samples, as on AVX2, it would be"
            )
        return f"native engine: {self.instructions}, {self.lanes} samples side by side are a chunk"

    def _total(self) -> tuple[str, ...]:
        parameters, macs = (sum(getattr(row, name) for row in self.rows) for name in ("parameters", "macs"))
        return "", "in all, with the input", "", "", "", f"{parameters:,}", f"{macs:,}", _kib(self.chunk_bytes)

    def _memory(self) -> list[str]:
        kept = any("batch_norm" in row.operations for row in self.rows)
        whose = "every chunk of a batch has its own" if kept else "a thread has it once"
        told = wrap(f"KiB: activations, errors and winners of a chunk; {whose}; {L2}", WIDTH)
        return told + (TILED if any(row.tile for row in self.rows) else [])


def outline(network: Network, found: Library | None) -> Outline:
    """The plan for a network.

    Args:
        network: its description.
        found: the library that would be taken, if there is one.

    Raises:
        ConfigError: the engine does not have an operation of it, or cannot train towards such an output.
    """
    stages = joined(fuse(network))
    if len(network.output_shape) != 1:
        raise refused("the output", "a vector", written(network.output_shape))
    lanes = found.lanes if found else USUAL_LANES
    shapes = network.parameter_shapes()
    laid = program(stages, {}, {})
    own = {s.place: sum(prod(n) for name, n in shapes.items() if name.startswith(f"{s.place}.")) for s in stages}
    sizes = [_numbers(*entry) * lanes * NUMBER for entry in zip(stages, [*stages[1:], None], laid, strict=True)]
    return Outline(
        instructions=found.name if found else "",
        absence="" if found else absence(),
        lanes=lanes,
        rows=tuple(_row(s, own[s.place], size) for s, size in zip(stages, sizes, strict=True)),
        input_bytes=_laid(laid[0].input) * lanes * NUMBER,
        order=tuple(_order(stages)),
    )


def _row(stage: Fused, parameters: int, size: int) -> Row:
    return Row(
        stage=stage.place,
        operations=tuple(stage.names()),
        input=stage.input,
        output=stage.output,
        border=stage.border,
        tile=stage.tile,
        parameters=parameters,
        macs=_macs(stage),
        chunk_bytes=size,
        formula=formula(stage),
        files=files(stage),
    )


def _macs(stage: Fused) -> int:
    if not isinstance(stage.operation, Conv | Linear):
        return 0
    places = prod(stage.inner) if stage.pooled else prod(stage.output[1:])
    return stage.output[0] * places * taps(stage)


def _laid(place: Any) -> int:
    """Numbers of a map as it lies, with its border."""
    return int(place.channels * place.rows * place.cols)


def _numbers(stage: Fused, after: Fused | None, laid: Any) -> int:
    """Numbers that a stage writes for a sample: what it makes, its error, winners or masks; `furnish` of engine.cpp.

    The error of a convolution that is normalised next is never written: `normed_next` of layout.h.
    """
    chooses = stage.pooled or isinstance(stage.operation, MaxPool | Dropout)
    normed = after is not None and isinstance(after.operation, BatchNorm) and after.input == stage.output
    is_written = not (normed and isinstance(stage.operation, Conv) and not stage.pooled)
    return _laid(laid.output) + prod(stage.output) * (chooses + is_written)


def _order(stages: Sequence[Fused]) -> Iterator[tuple[str, str]]:
    """What a step does, as `Engine::train` of engine.cpp does it."""
    norms = [n for n, stage in enumerate(stages) if isinstance(stage.operation, BatchNorm)]
    yield "pack", "the convolutions' weights, in the order in which they are read; of tiles, their values at the points"
    yield "meet", "all weights are laid out; at a meeting nobody waits for a thread, only for work that one has begun"
    yield "fill", "a chunk, its samples side by side; from here on a thread takes its chunks all the way"
    for number, (first, end) in enumerate(pairwise([0, *norms, len(stages)])):
        yield from _pass("forward", stages[first:end])
        if number < len(norms):
            yield "meet", f"mean and variance of the batch, for {stages[end].place}"
    yield "loss", "and the error of the outputs"
    ends = [0, *(n + 1 for n in norms), len(stages)]
    for number, (first, end) in reversed([*enumerate(pairwise(ends))]):
        yield from _pass("backward", stages[first:end][::-1])
        if number:
            yield "meet", f"means of the error over the batch, for {stages[first - 1].place}"
    yield "meet", "all chunks are through"
    yield "reduce", "the gradient, in one order whatever the threads; linear stages make theirs here"
    yield "meet", "the whole gradient is there"
    yield "check", "loss and norm are finite; else weights and the optimiser's memory stay as they are"
    yield "update", "clipping, penalties, the optimiser's rule, in pieces that the threads share"


def _pass(way: str, stages: Sequence[Fused]) -> Iterator[tuple[str, str]]:
    if stages:
        yield way, ", ".join(stage.place for stage in stages)


def _cells(row: Row) -> tuple[str, ...]:
    maps = f"{written(row.input)} -> {written(row.output)}"
    counts = (f"{n:,}" if n else "-" for n in (row.parameters, row.macs))
    tile = f"{row.tile}x{row.tile}" if row.tile else "-"
    return row.stage, " + ".join(row.operations), maps, _border(row.border), tile, *counts, _kib(row.chunk_bytes)


def _border(border: tuple[Pair, Pair]) -> str:
    """Zeros around a map, as the notation writes padding.

    >>> _border(((0, 0), (0, 0))), _border(((2, 2), (2, 2))), _border(((0, 1), (2, 2)))
    ('-', '2', '0:1x2')
    """
    sides = [f"{before}" if before == after else f"{before}:{after}" for before, after in border]
    told = sides[0] if sides[0] == sides[1] else "x".join(sides)
    return "-" if told == "0" else told


def _kib(size: int) -> str:
    return f"{size / 1024:,.1f}"


def _aligned(rows: Sequence[Sequence[str]], right: Sequence[int] = (3, 4, 5, 6, 7)) -> list[str]:
    """Columns of texts; those by number in `right` are set to the right."""
    widths = [max(map(len, texts)) for texts in zip(*rows, strict=True)]
    return [
        "  ".join(
            t.rjust(w) if n in right else t.ljust(w) for n, (t, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
