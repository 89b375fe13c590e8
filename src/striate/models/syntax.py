"""The grammar of the text notation: words, commas, brackets and bars, and where in the text each stands.

    row   = [item {"," item}]
    item  = words | words "(" row {"|" row} ")"

Spaces and line breaks part words and mean nothing else; # begins a comment that ends with its line; × is x.  What the
words mean is in `vocabulary.py` and `notation.py`.  The parser is lark's, LALR(1), which needs no stack of Python's, so
that no depth of brackets ends it; what is beyond sense is refused before it begins.
"""

import re
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from typing import Any

from striate.base.errors import ConfigError, StriateError
from striate.base.network import MOST

LONGEST = 1_000_000  # characters of a text
BRACKETS = 128  # within each other
WORDS_OF_ONE = 24  # words of one operation: the longest there is has 15
SHOWN = 100  # characters of a line that an error shows
GRAMMAR = r"""
row: [item ("," item)*]
item: WORDS                           -> operation
    | WORDS "(" row ("|" row)* ")"    -> bracket
WORDS: /[^\s,|()][^,|()]*/
%ignore /\s+/
"""


@dataclass(frozen=True, slots=True)
class Text:
    """A word of the notation and where it stands, in characters from the beginning."""

    text: str
    at: int


@dataclass(frozen=True)
class Item:
    """An operation, or a bracket.

    Args:
        text: what stands in front of the bracket, or all of it.
        at: where it begins.
        rows: what stands within the bracket; None where there is none.
    """

    text: str
    at: int
    rows: "tuple[Row, ...] | None" = None

    @cached_property
    def words(self) -> tuple[Text, ...]:
        """At least one; of a text without commas no more than one beyond `WORDS_OF_ONE`."""
        found = islice(re.finditer(r"\S+", self.text), WORDS_OF_ONE + 1)
        return tuple(Text(word[0], self.at + word.start()) for word in found)

    @property
    def written(self) -> str:
        """Its words, as an error names it."""
        told = " ".join(word.text for word in self.words) + ("(...)" if self.rows is not None else "")
        return told if len(told) <= SHOWN else told[: SHOWN - 3] + "..."


Row = tuple[Item, ...]


class NotationError(ConfigError):
    """A text that describes no network.  Shows the line, and a mark below the place.

    Args:
        text: all of it.
        at: the place, in characters from the beginning.
        fault: what is wrong there.
    """

    def __init__(self, text: str, at: int, fault: StriateError) -> None:
        first = text.rfind("\n", 0, at) + 1
        self.line, self.column = text.count("\n", 0, at) + 1, at - first + 1
        where = f"line {self.line}, column {self.column}" + (f", {fault.where}" if fault.where else "")
        super().__init__(where, fault.what, fault.must, got=fault.got, fix=fault.fix)
        sentence, _, fix = str(self).rpartition("\n  Fix: ")
        self.args = (f"{sentence}\n{_excerpt(text[first:].partition(chr(10))[0], at - first)}\n  Fix: {fix}",)


def _excerpt(line: str, at: int) -> str:
    """The line with a mark below, cut on both sides where it is long; what does not print becomes a space."""
    start = max(0, min(at - SHOWN // 2, len(line) - SHOWN))
    shown = "".join(c if c.isprintable() else " " for c in line[start : start + SHOWN])
    before, after = "..." if start else "", "..." if start + SHOWN < len(line) else ""
    return f"    {before}{shown.rstrip()}{after}\n    {' ' * (len(before) + at - start)}^"


def syntax(text: str) -> Row:
    """The items of a text.

    Raises:
        NotationError: brackets that do not close, an operation that is missing, or sizes beyond sense.
    """
    from lark.exceptions import UnexpectedInput

    plain = _bounded(text)
    try:
        row: Row = _parser().parse(plain)
    except UnexpectedInput as error:
        token = getattr(error, "token", None)
        at = len(plain.rstrip()) if token is None or token.type == "$END" else int(token.start_pos)
        raise NotationError(text, at, _told(plain, at)) from None
    return row


@cache
def _parser() -> Any:
    from lark import Lark, Transformer

    class Items(Transformer):  # type: ignore[type-arg]
        def row(self, items: list[Item]) -> Row:
            return tuple(items)

        def operation(self, words: list[Any]) -> Item:
            return Item(str(words[0]), words[0].start_pos)

        def bracket(self, parts: list[Any]) -> Item:
            return Item(str(parts[0]), parts[0].start_pos, tuple(parts[1:]))

    return Lark(GRAMMAR, parser="lalr", start="row", maybe_placeholders=False, transformer=Items())


def _told(plain: str, at: int) -> ConfigError:
    """Why nothing can stand at this place; brackets are known to match."""
    found = plain[at : at + 1].strip()
    before = plain[:at].rstrip()[-1:]
    if found == "(" and before in ("", ",", "|", "("):
        fix = "write what it does before it: 2x( ), residual( ), concat( | ) or add( | )"
        return ConfigError("", "a bracket", "named", got="one without a name", fix=fix)
    if found == "|":
        fix = "put the rows into concat( | ) or add( | ), or a comma for the bar"
        return ConfigError("", "a bar", "within brackets", got="one outside", fix=fix)
    if before == ")":
        word = re.match(r"[^\s,|()]*", plain[at:])
        named = repr(word[0]) if word and word[0] else f"{found!r}"
        return ConfigError("", "a comma", "between two operations", got=named, fix=f"put a comma before {named}")
    got = "the end" if not found else repr(found)
    fix = "take the comma away, or write an operation beside it"
    return ConfigError("", "what stands beside a comma", "an operation", got=got, fix=fix)


def _bounded(text: str) -> str:
    """The text without its comments, places kept, after a look at its sizes and brackets.

    Everything here is a scan or two of the text: hostile ones are refused before anything is built.
    """
    if len(text) > LONGEST:
        fault = ConfigError("", "a text", f"of {LONGEST} characters at most", got=len(text), fix="describe less")
        raise NotationError("", 0, fault)
    plain = re.sub(r"#[^\n]*", lambda comment: " " * len(comment[0]), text).replace("×", "x")
    _matched(text, plain)
    if max(plain.count(","), plain.count("|")) > MOST:
        fault = ConfigError("", "operations and branches", f"{MOST} at most", got="more", fix="describe less")
        raise NotationError(text, 0, fault)
    return plain


def _matched(text: str, plain: str) -> None:
    """Refuse brackets that do not match, or lie too deep within each other."""
    still_open: list[int] = []
    for bracket in re.finditer(r"[()]", plain):
        at = bracket.start()
        if bracket[0] == "(":
            still_open.append(at)
            if len(still_open) > BRACKETS:
                fault = ConfigError("", "brackets", f"nested {BRACKETS} deep at most", got="more", fix="nest less")
                raise NotationError(text, at, fault)
        elif still_open:
            still_open.pop()
        else:
            fix = "take it away, or open one before it"
            raise NotationError(text, at, ConfigError("", "a closing bracket", "one of an open one", got=")", fix=fix))
    if still_open:
        fault = ConfigError("", "this bracket", "closed", got="no ) for it", fix="put ) where its last row ends")
        raise NotationError(text, still_open[-1], fault)
