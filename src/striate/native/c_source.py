"""A trained network as one C99 file and its header, with a test program and a Makefile.

    void NAME_predict(const uint8_t *image, float *probabilities)

The image is H x W x C bytes, channels innermost, of the size that the network was trained on, without the border: the
code adds that, and normalises.  No allocation, and nothing but libm and string.h; one static array, so that a thread
must not call it while another is in it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from striate.base.errors import ConfigError, NumericError
from striate.base.network import Network
from striate.base.operations import one_of, written
from striate.native.c_channels import softmax_lines
from striate.native.c_fold import fold
from striate.native.c_function import Function
from striate.native.c_program import Program, program
from striate.native.c_quantise import PRECISIONS
from striate.native.c_text import INDENT, count, entries, identifier, literal, nest
from striate.native.pixels import Pixels

MOST = 50_000_000  # weights: a C compiler reads some hundred thousand a second
CALLS = 512  # bytes of stack for what is saved of registers, two calls deep


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is to be written.

    Args:
        name: of the model; any text.
        network: its description; the input with the border, the output one number a class.
        tensors: parameters and buffers by place, "0.weight".
        names: what its layers are called, by place.
        pixels: how bytes become its input.
        classes: their names; any texts.
        temperature: that logits are divided by before the softmax.
        precision: of the weights in the file, one of `PRECISIONS`.
    """

    name: str
    network: Network
    tensors: Mapping[str, np.ndarray]
    names: Mapping[str, str]
    pixels: Pixels
    classes: tuple[str, ...]
    temperature: float = 1.0
    precision: str = "float32"

    @property
    def picture(self) -> tuple[int, int, int]:
        """(H, W, C) of the image, without the border."""
        C, H, W = self.network.input_shape
        return H - 2 * self.pixels.pad, W - 2 * self.pixels.pad, C


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The C code.

    Args:
        symbol: what its public names begin with.
        header: text of the .h.
        code: text of the .c.
        weight_bytes: constants of the layers.
        static_bytes: the array that all values share.
        stack_bytes: an upper estimate of what a call takes: the largest arrays of a function, once more for those of
            functions that the compiler puts into the caller.
    """

    symbol: str
    header: str
    code: str
    weight_bytes: int
    static_bytes: int
    stack_bytes: int


def source(subject: Subject) -> Source:
    """Write the network.

    Raises:
        ConfigError: a layer that has no C yet, an output that is no vector of classes, or too many weights.
        NumericError: weights that are not finite.
    """
    _check(subject)
    network, tensors = fold(subject.network, subject.tensors)
    made = program(network, tensors, subject.names, subject.precision)
    symbol = identifier(subject.name)
    return Source(
        symbol=symbol,
        header=_header(subject, symbol),
        code=_code(subject, symbol, made),
        weight_bytes=sum(values.nbytes for function in made.functions for values in function.arrays.values()),
        static_bytes=4 * made.size,
        stack_bytes=CALLS + 2 * max((function.stack for function in made.functions), default=0),
    )


def _check(subject: Subject) -> None:
    out = subject.network.output_shape
    if out != (len(subject.classes),):
        got, fix = written(out), "end the network with flatten and linear, one output a class"
        raise ConfigError(
            "export", "the network's output", f"a vector of {len(subject.classes)} classes", got=got, fix=fix
        )
    if len(subject.network.input_shape) != 3:
        got, fix = written(subject.network.input_shape), "C code is written for networks that take pictures"
        raise ConfigError("export", "the network's input", "channels, height and width", got=got, fix=fix)
    total = sum(values.size for values in subject.tensors.values())
    if total > MOST:
        fix = "train a smaller network: a C compiler would not end"
        raise ConfigError("export", "the network", f"of {MOST:,} weights at most", got=f"{total:,}", fix=fix)
    for name, values in subject.tensors.items():
        if not np.isfinite(values).all():
            raise NumericError("export", name, "finite", got="a number that is none", fix="train again with a lower lr")
    one_of("export", "precision", subject.precision, tuple(PRECISIONS))


def _header(subject: Subject, symbol: str) -> str:
    H, W, C = subject.picture
    upper, guard = symbol.upper(), f"{symbol.upper()}_H"
    return f"""\
/* A network that sorts pictures into {len(subject.classes)} classes; written by Striate. */
#ifndef {guard}
#define {guard}

#include <stdint.h>

#define {upper}_HEIGHT {H}
#define {upper}_WIDTH {W}
#define {upper}_CHANNELS {C}
#define {upper}_CLASSES {len(subject.classes)}

#ifdef __cplusplus
extern "C" {{
#endif

/* The names of the classes, UTF-8, in the order of the probabilities. */
extern const char *const {symbol}_classes[{upper}_CLASSES];

/* The probability of every class.
 *
 * image: {H} x {W} x {C} bytes, row by row, the channels of a pixel side by side{_channels(C)}; decoded and
 *     brought to this size by the caller, not normalised, without a border.
 * probabilities: {len(subject.classes)} numbers, written.
 *
 * Not for several threads at once: the values between the layers lie in one static array.
 */
void {symbol}_predict(const uint8_t *image, float *probabilities);

#ifdef __cplusplus
}}
#endif

#endif
"""


def _channels(count: int) -> str:
    return {1: " (grey)", 3: " (red, green, blue)"}.get(count, "")


def _code(subject: Subject, symbol: str, made: Program) -> str:
    names = ",\n".join(INDENT + literal(name) for name in subject.classes)
    functions = [_normalise(subject), *made.functions, _softmax(subject)]
    kinds = "weights in 8 bits, a scale for each output channel; " if subject.precision == "int8" else ""
    return f"""\
/* {len(subject.classes)} classes; {kinds}written by Striate.
 *
 * Maps lie row by row with the channels of a pixel side by side, [pixel][channel].  Each layer is one function; its
 * constants stand above it.  C99; gcc and clang make it fast with -O3 -march=native -ffp-contract=fast.
 */
#include "{symbol}.h"

#include <float.h>
#include <math.h>
#include <string.h>

const char *const {symbol}_classes[{symbol.upper()}_CLASSES] = {{
{names}
}};

{chr(10).join(function.text() for function in functions)}
/* All values between the layers; those that are not needed at the same time share their place. */
static float values[{made.size}];

void {symbol}_predict(const uint8_t *image, float *probabilities)
{{
{_calls(made)}
}}
"""


def _calls(made: Program) -> str:
    def place(value: int) -> str:
        begin = made.begins[value]
        return f"values + {begin}" if begin else "values"

    lines = [f"normalise(image, {place(0)});"]
    for call in made.calls:
        given = ", ".join(place(value) for value in (*call.inputs, call.output))
        lines.append(f"{call.function.name}({given});")
    lines.append(f"softmax({place(made.result)}, probabilities);")
    return "\n".join(INDENT + line for line in lines)


def _normalise(subject: Subject) -> Function:
    H, W, C = subject.picture
    pad = subject.pixels.pad
    shift, scale = (np.array(values, np.float32) for values in (subject.pixels.shift, subject.pixels.scale))
    row = W + 2 * pad
    target = f"y + ((i + {pad}) * {row} + {pad}) * {C}" if pad else f"y + i * {W * C}"
    if C == 1:
        (less,), (times,) = entries(shift), entries(scale)
        black = nest([count("n", (H + 2 * pad) * row)], [f"y[n] = -{less} * {times};".replace("--", "")])
        each = nest([count("j", W)], [f"out[j] = ((float)in[j] - {less}) * {times};"])
    else:
        black = nest([count("p", (H + 2 * pad) * row), count("n", C)], [f"y[p * {C} + n] = -shift[n] * scale[n];"])
        line = f"out[j * {C} + n] = ((float)in[j * {C} + n] - shift[n]) * scale[n];"
        each = nest([count("j", W), count("n", C)], [line])
    lines = nest(
        [count("i", H)], [f"const uint8_t *const in = x + i * {W * C};", f"float *const out = {target};", *each]
    )
    around = f", within a border of {pad} black pixels" if pad else ""
    return Function(
        name="normalise",
        told=(f"the image: {H}x{W}x{C} bytes, channels last{around}; y = (v - shift) scale",),
        body=(*(black if pad else []), *lines),
        size=prod(subject.network.input_shape),
        arrays={"shift": shift, "scale": scale} if C > 1 else {},
        takes="uint8_t",
    )


def _softmax(subject: Subject) -> Function:
    C, T = len(subject.classes), subject.temperature
    told = "y[n] = exp((x[n] - max x) / T) / sum over c of exp((x[c] - max x) / T), T = " + f"{T:g}"
    return Function(name="softmax", told=("probabilities", told), body=tuple(softmax_lines("x", "y", C, T)), size=C)


def rows_of(images: Iterable[np.ndarray]) -> list[np.ndarray]:
    """(C, H, W) bytes as the C code takes them, one row each."""
    return [np.ascontiguousarray(image.transpose(1, 2, 0)).reshape(-1) for image in images]
