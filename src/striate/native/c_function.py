"""What the writers of operations give back: C functions, and where they are called."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from striate.base.operations import Operation, Shape
from striate.native.c_quantise import Stored
from striate.native.c_text import INDENT, array

AXES = ("h", "i", "j")  # letters of the output's axes, the last ones are taken
KERNEL = ("t", "u", "v")  # the same of a window's


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One operation where it stands.

    Args:
        place: as in the description, "3.1.0".
        name: what its module is called, for people.
        operation: what is done.
        input: (C, *spatial), or (F,).
        output: the same.
        tensors: its parameters and buffers by torch's names, float64.
        store: how weights are kept.
    """

    place: str
    name: str
    operation: Operation
    input: Shape
    output: Shape
    tensors: Mapping[str, np.ndarray]
    store: Callable[[np.ndarray], Stored]

    @property
    def symbol(self) -> str:
        """The beginning of the names of all that belongs to it."""
        return f"layer_{self.place.replace('.', '_')}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A C function `void name(const float *x, float *y)`, with several x where branches meet.

    Args:
        name: unique in the file.
        told: the comment above it; nothing of the user's but what went through `remark`.
        body: its lines.
        size: numbers that it writes.
        arrays: constants that it reads, by their names.
        inputs: how many x.
        in_place: y may be x: every number of y depends on the same number of x alone.
        stack: bytes of its arrays.
        takes: the type of the numbers of x.
    """

    name: str
    told: tuple[str, ...]
    body: tuple[str, ...]
    size: int
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    inputs: int = 1
    in_place: bool = False
    stack: int = 0
    takes: str = "float"

    def text(self) -> str:
        """Constants, comment and function."""
        own = "".join(array(name, values) for name, values in self.arrays.items())
        told = "\n * ".join(self.told)
        free = "" if self.in_place else "restrict "
        numbered = [""] if self.inputs == 1 else [str(i) for i in range(self.inputs)]
        given = ", ".join(f"const {self.takes} *{free}x{i}" for i in numbered)
        body = "\n".join(f"{INDENT}{line}" if line else "" for line in self.body)
        return f"{own}/* {told}\n */\nstatic void {self.name}({given}, float *{free}y)\n{{\n{body}\n}}\n"
