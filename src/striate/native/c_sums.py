"""The loops of a convolution in C: output channels innermost, several pixels at once.

    for each group, block of B output channels, row, tile of P pixels
        sums[P][B] = 0
        for each window entry and input channel k
            sums[p][n] += x[pixel p][k] w[k][n]
        y = sums scale + bias

A row of pixels that P does not divide ends with a tile that is shifted back: some pixels are computed twice, and all
bounds are constant.  Each pixel has an array of its own: gcc keeps those in registers where it spills one of two axes.
"""

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from striate.base.operations import Shape
from striate.native.c_function import AXES, KERNEL
from striate.native.c_text import at, count, nest, times
from striate.native.c_tile import Tile

FLOATS = 1024  # of weights in 8 bits that are floats at the same time: 4 KiB of stack


class Windows(NamedTuple):
    """A convolution on a padded map, axis by axis; no axes for a linear layer."""

    channels: int  # of the input
    sizes: Shape  # of the input's axes, padded
    out: Shape  # of the output's axes
    kernel: Shape
    stride: Shape
    dilation: Shape
    groups: int

    @property
    def is_pointwise(self) -> bool:
        """Whether every output pixel sees the input pixel in its place alone."""
        return {*self.kernel, *self.stride} == {1} and self.sizes == self.out

    def in_a_row(self) -> "Windows":
        """The same with all pixels on one axis; pointwise alone."""
        return self._replace(sizes=(prod(self.sizes),), out=(prod(self.out),), kernel=(1,), stride=(1,), dilation=(1,))


def reach(letter: str, stride: int, inner: str, dilation: int) -> str:
    """Which input pixel a window entry sees."""
    return f"{times(letter, stride)} + {times(inner, dilation)}"


def added(*terms: str) -> str:
    """A sum of the terms that are there.

    >>> added("", "o", "n"), added("")
    ('o + n', '0')
    """
    return " + ".join(term for term in terms if term and term != "0") or "0"


def moved(pointer: str, by: str) -> str:
    """A pointer and how far it is moved, which may be nothing.

    >>> moved("x", "0"), moved("x", "i * 3")
    ('x', 'x + i * 3')
    """
    return added(pointer, by)


def together(run: int, width: int) -> int:
    """How many of a run of entries are turned into floats at once: a divisor of it, `FLOATS` numbers at most if it can.

    >>> together(30, 16), together(400, 40), together(7, 96), together(1009, 8)
    (30, 25, 7, 1)
    """
    return max(some for some in range(1, run + 1) if run % some == 0 and (some * width <= FLOATS or some == 1))


@dataclass(frozen=True, slots=True)
class Sums:
    """The body of one function.

    Args:
        name: the beginning of the names of its constants.
        windows: what is gone through.
        tile: pixels and channels at once.
        out_channels: of all groups.
        scaled: whether weights are whole numbers, with a scale for each output channel.
    """

    name: str
    windows: Windows
    tile: Tile
    out_channels: int
    scaled: bool

    def lines(self) -> list[str]:
        """All of it."""
        w, chosen = self.windows, self.tile
        groups = [count("g", w.groups)] if w.groups > 1 else []
        blocks = [count("o", self._per_group, chosen.channels)] if chosen.blocks > 1 else []
        return nest([*groups, *blocks], [*self._block(), *nest(self._rows(), self._one())])

    @property
    def _per_group(self) -> int:
        return self.out_channels // self.windows.groups

    @property
    def _run(self) -> int:
        """Numbers of the input that lie in one piece within the window: a row of it, or a pixel."""
        w = self.windows
        share = w.channels // w.groups
        in_one_piece = bool(w.kernel) and w.groups == 1 and w.dilation[-1] == 1
        return share * w.kernel[-1] if in_one_piece else share

    @property
    def stack_bytes(self) -> int:
        """Of its arrays."""
        pixels, width, _ = self.tile
        turned = together(self._run, width) * width if self.scaled else 0
        return 4 * (pixels * width + turned)

    @property
    def _letters(self) -> tuple[str, ...]:
        return AXES[len(AXES) - len(self.windows.out) :]

    @property
    def _channel(self) -> str:
        """Which of the filled-up output channels the block begins with."""
        group = times("g", self.tile.blocks * self.tile.channels) if self.windows.groups > 1 else ""
        return added(group, "o" if self.tile.blocks > 1 else "")

    def _block(self) -> list[str]:
        """What one block of channels needs to know."""
        w, (_, width, blocks) = self.windows, self.tile
        entries = prod(w.kernel) * (w.channels // w.groups)
        channel = self._channel
        start = "0" if channel == "0" else f"({channel}) * {entries}" if " " in channel else f"{channel} * {entries}"
        kind = "int8_t" if self.scaled else "float"
        lines = [f"const {kind} *const weight = {moved(f'{self.name}_weight', start)};"]
        if blocks > 1 and self._per_group % width:
            lines.append(f"const int many = {self._per_group} - o < {width} ? {self._per_group} - o : {width};")
        return lines

    def _rows(self) -> list[str]:
        """The heads of the loops over pixels, the last by tiles."""
        if not self.windows.out:
            return []
        *outer, width = self.windows.out
        heads = [count(letter, n) for letter, n in zip(self._letters, outer, strict=False)]
        return [*heads, count("s" if width % self.tile.pixels else "j", width, self.tile.pixels)]

    def _one(self) -> list[str]:
        """One tile."""
        pixels, width, _ = self.tile
        row = self.windows.out[-1] if self.windows.out else 1
        last = row - pixels
        shifted = (
            [f"const int j = s < {last} ? s : {last}; /* the last tile is shifted back */"] if row % pixels else []
        )
        kind = "int8_t" if self.scaled else "float"
        sums = ", ".join(f"sum{p}[{width}] = {{0}}" for p in range(pixels))
        return [*shifted, f"float {sums};", f"const {kind} *w = weight;", *self._window(), *self._store()]

    def _window(self) -> list[str]:
        """Everything that the window covers, times its weight."""
        w, (pixels, width, _) = self.windows, self.tile
        share = w.channels // w.groups
        inner = KERNEL[len(KERNEL) - len(w.kernel) :]
        places = [reach(*axis) for axis in zip(self._letters, w.stride, inner, w.dilation, strict=True)]
        loops = [count(u, k) for u, k in zip(inner, w.kernel, strict=True)]
        run = self._run
        if w.kernel and run == share * w.kernel[-1]:
            loops, places[-1] = loops[:-1], times("j", w.stride[-1])
        row = added(at(places, w.sizes, w.channels), times("g", share) if w.groups > 1 else "")
        step = w.stride[-1] * w.channels if w.stride else 0
        start = f"const float *const row = {moved('x', row)};"
        if self.scaled:
            return nest(loops, [start, *self._run_of_bytes(run, step)])
        sums = [f"sum{p}[n] += row[{added(str(p * step), 'k')}] * q;" for p in range(pixels)]
        heads = [f"for (int k = 0; k < {run}; ++k, w += {width})", count("n", width)]
        return nest(loops, [start, *nest(heads, ["const float q = w[n];", *sums])])

    def _run_of_bytes(self, run: int, step: int) -> list[str]:
        """So many entries whose weights are whole numbers: first turned into floats, some at once, then summed.

        In one loop the compiler would take a byte at a time.
        """
        pixels, width, _ = self.tile
        some = together(run, width)
        place = "k" if some == run else "r + k"
        sums = [f"sum{p}[n] += row[{added(str(p * step), place)}] * q[k * {width} + n];" for p in range(pixels)]
        lines = [
            f"float q[{some * width}];",
            *nest([count("n", some * width)], ["q[n] = (float)w[n];"]),
            *nest([count("k", some), count("n", width)], sums),
            f"w += {some * width};",
        ]
        return nest([count("r", run, some)] if some < run else [], lines)

    def _store(self) -> list[str]:
        """The sums, their scale and the bias, where they are real channels."""
        pixels, width, blocks = self.tile
        whole = self._per_group if blocks == 1 else width
        many = "many" if blocks > 1 and self._per_group % width else str(whole)
        channel = added(self._channel, "n")
        group = times("g", self._per_group) if self.windows.groups > 1 else ""
        target = added(at(self._letters, self.windows.out, self.out_channels), group, "o" if blocks > 1 else "")
        scale = f" * {self.name}_scale[{channel}]" if self.scaled else ""
        lines = [
            f"out[{added(str(p * self.out_channels), 'n')}] = sum{p}[n]{scale} + {self.name}_bias[{channel}];"
            for p in range(pixels)
        ]
        return [f"float *const out = {moved('y', target)};", *nest([f"for (int n = 0; n < {many}; ++n)"], lines)]
