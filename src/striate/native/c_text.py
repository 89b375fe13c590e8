"""Pieces of C99 as text: names, string literals, numbers, arrays, loops.

Whatever a user named is made harmless here: a name becomes an identifier, a text becomes a literal of printable ASCII
in which no quote, backslash, line end or trigraph stands as such, and nothing of the user's goes into a comment but
what `remark` lets through.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

from striate.base.errors import NumericError

INDENT = "    "
WIDTH = 116  # characters of a line of numbers
KEYWORDS = frozenset(
    "auto break case char const continue default do double else enum extern float for goto if inline int long register"
    " restrict return short signed sizeof static struct switch typedef union unsigned void volatile while"
    # C++ and later C take these too, and the header is for both
    " alignas alignof asm bool catch class delete explicit export false friend mutable namespace new nullptr operator"
    " private protected public template this throw true try typeid typename using virtual wchar_t".split()
)
HEADERS = frozenset(
    "assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdarg stdbool stddef"
    " stdint stdio stdlib string tgmath time wchar wctype".split()
)
C_TYPES = {"float32": "float", "int8": "int8_t", "uint8": "uint8_t", "int32": "int"}


def identifier(name: str) -> str:
    """A name as C takes one, also as the name of a file beside the standard headers.

    >>> identifier("digits-lenet5"), identifier("3d net"), identifier("größe"), identifier("math"), identifier("中")
    ('digits_lenet5', 'model_3d_net', 'grosse', 'math_model', 'model')
    """
    plain = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
    kept = re.sub(r"\W+", "_", plain, flags=re.ASCII).strip("_")
    if not kept:
        return "model"
    if kept[0].isdigit():
        return f"model_{kept}"
    return f"{kept}_model" if kept.lower() in KEYWORDS | HEADERS else kept


def literal(text: str) -> str:
    r"""A string literal of the text's UTF-8.

    >>> print(literal('a"b\\??/é'))
    "a\"b\\\?\?/\303\251"
    """
    return '"' + "".join(map(_character, text.encode("utf-8", "surrogateescape"))) + '"'


def _character(byte: int) -> str:
    if byte in b'"\\?':
        return f"\\{byte:c}"
    return chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}"


def remark(text: str) -> str:
    """A text that may stand in a comment: letters, digits and a few signs that end nothing."""
    return re.sub(r"[^\w .,:()<>-]", "_", text, flags=re.ASCII)


def number(value: int | float) -> str:
    """The float32 nearest to a number as C writes it, exact, in as few digits as that takes.

    Raises:
        NumericError: beyond float32.

    >>> number(1), number(-0.1), number(1e-20), number(1e-200)
    ('1.0f', '-0.1f', '1e-20f', '0.0f')
    """
    (word,) = entries(np.array([value]))
    return word


def array(name: str, values: np.ndarray) -> str:
    """A constant array, all axes in one."""
    kind = C_TYPES[str(values.dtype)]
    return f"static const {kind} {name}[{values.size}] = {{\n{_rows(entries(values))}\n}};\n"


def entries(values: np.ndarray) -> list[str]:
    """Every number of an array as C writes it, the last axis running fastest.

    Raises:
        NumericError: a number beyond float32, or none.
    """
    if values.dtype.kind != "f" and values.dtype.itemsize <= 4:
        return [str(value) for value in values.ravel().tolist()]
    with np.errstate(over="ignore", under="ignore"):
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        fix = "train again with a lower lr, and smaller options of its layers"
        raise NumericError("export", "every number of the network", "finite in float32", got="one that is not", fix=fix)
    return [f"{word}f" for word in values.ravel().astype(str).tolist()]


def _rows(words: Iterable[str]) -> str:
    """Words with commas in between, in lines."""
    lines, line = [], INDENT
    for word in words:
        if len(line) + len(word) + 1 > WIDTH:
            lines.append(line.rstrip())
            line = INDENT
        line += f"{word}, "
    return "\n".join([*lines, line.rstrip().rstrip(",")])


def table(name: str, rows: Sequence[np.ndarray]) -> str:
    """A constant array of arrays of one length."""
    kind = C_TYPES[str(rows[0].dtype)]
    inner = ",\n".join(f"{{\n{_rows(entries(row))}\n}}" for row in rows)
    return f"static const {kind} {name}[{len(rows)}][{rows[0].size}] = {{\n{inner}\n}};\n"


def nest(loops: Sequence[str], body: Sequence[str]) -> list[str]:
    r"""Lines within loops, the first outermost.

    >>> print("\n".join(nest(["for (;;)"], ["work();"])))
    for (;;) {
        work();
    }
    """
    lines = list(body)
    for head in reversed(loops):
        lines = [f"{head} {{", *(f"{INDENT}{line}" for line in lines), "}"]
    return lines


def count(letter: str, stop: int, step: int = 1) -> str:
    """The head of a loop from 0.

    >>> count("i", 28), count("j", 28, 7)
    ('for (int i = 0; i < 28; ++i)', 'for (int j = 0; j < 28; j += 7)')
    """
    return f"for (int {letter} = 0; {letter} < {stop}; {f'++{letter}' if step == 1 else f'{letter} += {step}'})"


def times(letter: str, factor: int) -> str:
    """A product, without a factor of 1.

    >>> times("i", 1), times("i", 2)
    ('i', 'i * 2')
    """
    return letter if factor == 1 else f"{letter} * {factor}"


def at(positions: Sequence[str], sizes: Sequence[int], channels: int) -> str:
    """Where a pixel's channels begin: channels are innermost, the last axis next.

    >>> at(["i + u", "j"], [32, 30], 6), at(["j"], [30], 1), at([], [], 5)
    ('((i + u) * 30 + j) * 6', 'j', '0')
    """
    if not positions:
        return "0"
    place = positions[0]
    for position, size in zip(positions[1:], sizes[1:], strict=True):
        place = f"{_closed(place)} * {size} + {position}"
    return place if channels == 1 else f"{_closed(place)} * {channels}"


def _closed(place: str) -> str:
    return f"({place})" if " " in place else place
