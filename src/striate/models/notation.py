"""The text notation: a network as one writes it down, to its description and back.

    conv 32 3x3 same, relu, maxpool 2, 2x(conv 64 3x3, bn, relu), maxpool 2, flatten, dropout 0.5, linear 10
    input 3x32x32, conv 16 3x3 same, residual(conv 16 3x3 same, bn, relu, conv 16 3x3 same, bn), relu, ...
    concat(conv 64 1x1, relu | conv 96 1x1, relu, conv 128 3x3 same, relu | maxpool 3 stride 1 pad 1, conv 32 1x1)

The grammar is in `syntax.py`, the words are in `vocabulary.py`, their values in `values.py`, the way back is in
`writing.py`.  A text may begin with the shape of its input; then it is a whole network by itself.
"""

from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from functools import cache, lru_cache
from re import fullmatch
from typing import Any, get_type_hints

from striate.base.errors import ConfigError, ShapeError
from striate.base.network import DEPTH, MOST, Branches, Network, Operations
from striate.base.operations import Operation, Shape, written
from striate.models.syntax import WORDS_OF_ONE, Item, NotationError, Row, Text, syntax
from striate.models.values import LONGEST, READERS, Kind, Value
from striate.models.vocabulary import INPUT, JOINS, NAMES, RESIDUAL, WORDS, Word, known_name, known_option
from striate.models.writing import write as write


@dataclass(frozen=True, slots=True)
class Mark:
    """Where in the text an operation of the description comes from.

    Args:
        item: its words.
        axes: the rank that its name holds it to, None for any.
        weight: how many operations and branches it is.
        rows: the marks within its branches.
    """

    item: Item
    axes: int | None = None
    weight: int = 1
    rows: "tuple[tuple[Mark, ...], ...]" = ()


Marked = tuple[Operation, Mark]


@dataclass(frozen=True, slots=True)
class Notation:
    """A text that is understood, whose shapes have not been looked at.

    Args:
        text: as it was written.
        declared: the shape of the input that it begins with, None where it does not.
        operations: what it says.
        marks: where each comes from.
    """

    text: str
    declared: Shape | None
    operations: Operations
    marks: tuple[Mark, ...]

    def network(self, input_shape: Shape | None = None) -> Network:
        """The network for an input: the declared one, or the given.

        Raises:
            NotationError: an operation that does not fit, or an input other than the declared one.
            ConfigError: no input is known.
        """
        shape = self.declared if input_shape is None else input_shape
        if shape is None:
            fix = f"begin with the shape of the input, as in: input 1x28x28, {self.text.strip()[:40]} ..."
            raise ConfigError("notation", "the input", "known", got="no shape", fix=fix)
        if self.declared not in (None, shape):
            fix = f"write input {written(shape)}, or leave it out"
            fault = ConfigError("", "the input", f"{written(shape)} here", got=written(self.declared or ()), fix=fix)
            raise NotationError(self.text, 0, fault)
        try:
            network = Network(shape, self.operations)
        except ShapeError as fault:
            item = _mark(self.marks, fault.place).item
            where = f"{item.written} on {written(fault.shape)}"
            told = ConfigError(where, fault.what, fault.must, got=fault.got, fix=fault.fix)
            raise NotationError(self.text, item.at, told) from None
        self._check_ranks(network)
        return network

    def _check_ranks(self, network: Network) -> None:
        """A name with torch's 1d, 2d or 3d behind it holds for that rank."""
        for step in network.steps:
            mark, axes = _mark(self.marks, step.place), len(step.input) - 1
            if mark.axes not in (None, axes or 1):  # BatchNorm1d takes vectors, too
                name = mark.item.words[0].text
                where, what = f"{mark.item.written} on {written(step.input)}", "the axes beside the channels"
                fix = f"write {name[:-2]}, which takes 1, 2 and 3 axes"
                fault = ConfigError(where, what, str(mark.axes), got=axes, fix=fix)
                raise NotationError(self.text, mark.item.at, fault)


def _mark(marks: tuple[Mark, ...], place: str) -> Mark:
    """The mark of a place such as "3.1.0"."""
    first, *inner = map(int, place.split("."))
    return _mark(marks[first].rows[inner[0]], ".".join(map(str, inner[1:]))) if inner else marks[first]


def parse(text: str, input_shape: Shape | None = None) -> Network:
    """The network that a text describes.

    Args:
        text: in the notation of `docs/notation.md`.
        input_shape: of one sample, where the text does not begin with it.

    Raises:
        NotationError: the text is not understood, or the shapes do not fit; the place is shown.
        ConfigError: no input is known.

    >>> parse("conv 6 5x5 pad 2, relu, maxpool 2, flatten, linear 10", (1, 28, 28)).shapes()
    ((6, 28, 28), (6, 28, 28), (6, 14, 14), (1176,), (10,))
    """
    return read(text).network(input_shape)


@lru_cache(maxsize=8)
def read(text: str) -> Notation:
    """What a text says, before its shapes are looked at.

    Raises:
        NotationError: the text is not understood.
    """
    row = syntax(text)
    declared, row = _declared(text, row)
    marked = _row(text, row, 0)
    return Notation(text, declared, tuple(o for o, _ in marked), tuple(mark for _, mark in marked))


def _declared(text: str, row: Row) -> tuple[Shape | None, Row]:
    """The input's shape, if the row begins with one, and the rest."""
    if not row:
        fix = "write operations, as in: conv 6 5x5, relu, maxpool 2, flatten, linear 10"
        raise NotationError(text, 0, ConfigError("", "a text", "at least one operation", got="none", fix=fix))
    first = row[0]
    name = known_name(first.words[0].text)
    if name is None or name.name != INPUT or first.rows is not None:
        return None, row
    fix = "write channels first, as in: input 1x28x28, or input 784 for a vector"
    if len(first.words) != 2 or not fullmatch(r"\d{1,20}(x\d{1,20})*", first.words[1].text):
        fault = ConfigError("", "the input", "a shape of 1 to 4 sizes", got=first.written, fix=fix)
        raise NotationError(text, first.at, fault)
    shape = tuple(map(int, first.words[1].text.split("x")))
    try:
        Network(shape, ())
    except ConfigError as fault:
        told = ConfigError("", "the input", fault.must, got=first.words[1].text[:40], fix=fix)
        raise NotationError(text, first.words[1].at, told) from None
    return shape, row[1:]


def _row(text: str, row: Row, depth: int) -> list[Marked]:
    """The operations of a row, repeats written out, within `depth` branches."""
    marked: list[Marked] = []
    weight = 0
    for item in row:
        if len(item.words) > WORDS_OF_ONE:
            must, fix = f"of {WORDS_OF_ONE} words at most", "put commas between operations"
            raise NotationError(text, item.at, ConfigError("", "an operation", must, got="more", fix=fix))
        made = _bracket(text, item, depth) if item.rows is not None else [_operation(text, item)]
        weight += _weight(made)
        if weight > MOST:
            raise _too_many(text, item)
        marked += made
    return marked


def _weight(marked: list[Marked]) -> int:
    return sum(mark.weight for _, mark in marked)


def _too_many(text: str, item: Item) -> NotationError:
    fix = "repeat less, or describe a smaller network"
    fault = ConfigError("", "operations and branches", f"{MOST} at most", got="more", fix=fix)
    return NotationError(text, item.at, fault)


def _bracket(text: str, item: Item, depth: int) -> list[Marked]:
    """What a bracket stands for: a row several times, or branches."""
    assert item.rows is not None
    name = item.words[0].text
    times = fullmatch(r"(\d{1,20})\s*x", " ".join(word.text for word in item.words).lower())
    if times and len(item.rows) == 1 and int(times[1]) >= 1 and item.rows[0]:
        once = _row(text, item.rows[0], depth)
        if _weight(once) * int(times[1]) > MOST:
            raise _too_many(text, item)
        return once * int(times[1])
    known = known_name(name)
    if known and len(item.words) == 1 and known.name in (*JOINS, RESIDUAL) and depth < DEPTH:
        rows = [_row(text, row, depth + 1) for row in item.rows]
        if known.name == RESIDUAL and len(rows) == 1 and rows[0]:
            return [_branches(item, [*rows, []], "add")]
        if known.name in JOINS and (len(rows) > 1 or rows[0]):
            return [_branches(item, rows, JOINS[known.name])]
    raise NotationError(text, item.at, _no_bracket(item, depth))


def _branches(item: Item, rows: list[list[Marked]], join: str) -> Marked:
    operation = Branches(tuple(tuple(o for o, _ in row) for row in rows), join)
    weight = 1 + sum(1 + _weight(row) for row in rows)
    return operation, Mark(item, None, weight, tuple(tuple(mark for _, mark in row) for row in rows))


def _no_bracket(item: Item, depth: int) -> ConfigError:
    """Why a bracket stands for nothing."""
    assert item.rows is not None
    told, name = item.written, known_name(item.words[0].text)
    if name and name.name in (*JOINS, RESIDUAL):
        if depth >= DEPTH:
            return ConfigError("", "branches", f"nested {DEPTH} deep at most", got="more", fix="put rows side by side")
        if len(item.words) > 1:
            return ConfigError("", name.name, "followed by its bracket", got=told, fix=f"write {name.name}( )")
        if item.rows == ((),):
            fix = f"write operations into it, as in: {name.name}(conv 16 3x3 same, relu)"
            return ConfigError("", name.name, "of at least one operation", got="an empty bracket", fix=fix)
        fix = "write add(... | ...) for several rows"
        return ConfigError("", RESIDUAL, "of one row", got=len(item.rows), fix=fix)
    if item.words[0].text[0].isdigit():
        fix = "write how often and x, as in: 2x(conv 64 3x3, relu)"
        return ConfigError("", "what is repeated", "one row, at least once", got=told, fix=fix)
    if name and name.name in WORDS:
        fix = f"write {WORDS[name.name].example}, without brackets"
        return ConfigError("", "a bracket", "behind 2x, residual, concat or add", got=told, fix=fix)
    near = get_close_matches(item.words[0].text.lower(), (*JOINS, RESIDUAL), n=1)
    fix = f"did you mean {near[0]}?" if near else "write 2x( ), residual( ), concat( | ) or add( | )"
    return ConfigError("", "a bracket", "behind 2x, residual, concat or add", got=told, fix=fix)


def _operation(text: str, item: Item) -> Marked:
    """An operation without brackets."""
    name = known_name(item.words[0].text)
    if name is None or name.name not in WORDS:
        raise NotationError(text, item.at, _unknown(item, name.name if name else None))
    word = WORDS[name.name]
    given = _Reader(text, item, name.name, word).fields()
    try:
        operation = word.operation(**word.fixed, **{own: value for own, (value, _) in given.items()})
    except ConfigError as fault:
        at = given[fault.what][1].at if fault.what in given else item.at
        told = ConfigError(item.written, fault.what, fault.must, got=fault.got, fix=fault.fix)
        raise NotationError(text, at, told) from None
    return operation, Mark(item, name.axes)


def _unknown(item: Item, name: str | None) -> ConfigError:
    """Why a name begins no operation."""
    if name == INPUT:
        fix = "move it to the beginning of the text"
        return ConfigError("", "the input's shape", "the first of all", got=item.written, fix=fix)
    if name is not None:
        fix = f"write {name}(...), with its rows within" if name != RESIDUAL else "write residual(...)"
        return ConfigError("", name, "followed by its bracket", got=item.written, fix=fix)
    word = item.words[0].text[:LONGEST]
    near = get_close_matches(word.lower(), NAMES, n=1, cutoff=0.5)
    fix = f"did you mean {near[0]}?" if near else f"the operations are {', '.join(WORDS)}"
    return ConfigError("", "an operation", "one that is known", got=repr(word[:40]), fix=fix)


@cache
def _types(operation: type[Operation]) -> dict[str, Any]:
    return get_type_hints(operation)


@dataclass(frozen=True, slots=True)
class _Reader:
    """The words of one operation to its fields."""

    text: str
    item: Item
    name: str
    word: Word

    def fields(self) -> dict[str, tuple[Value, Text]]:
        """Every field that is given, with its value and the word that says it."""
        given: dict[str, tuple[Value, Text]] = {}
        waiting, words = list(self.word.values), iter(self.item.words[1:])
        for word in words:
            option = known_option(word.text)
            if option in self.word.options:
                own = self.word.options[option]
                value = self._value(own, next(words, None), word)
            elif option in self.word.flags:
                own, value = self.word.flags[option]
            elif waiting and not word.text[0].isalpha():
                own = waiting.pop(0)
                value = self._value(own, word, word)
            else:
                raise self._refused(word, self._stranger(word, waiting))
            if own in given:
                got, fix = f"{given[own][1].text} and {word.text}", "leave one of them out"
                raise self._refused(word, ConfigError(self.name, own, "said once", got=got, fix=fix))
            given[own] = value, word
        defaults = {f.name: f.default for f in fields(self.word.operation)}  # type: ignore[arg-type]  # those of WORDS are
        lacking = [own for own in waiting if defaults[own] is MISSING]
        if lacking:
            must, fix = f"followed by {' and '.join(self.word.values)}", f"write it as in: {self.word.example}"
            got = self.item.written
            raise self._refused(self.item.words[-1], ConfigError("", self.name, must, got=got, fix=fix))
        return given

    def _value(self, own: str, word: Text | None, option: Text) -> Value:
        kind = self._kind(own)
        if word is None:
            fault = ConfigError(self.name, option.text, f"followed by {kind.told}", got="nothing", fix="add it")
            raise self._refused(option, fault)
        if len(word.text) > LONGEST or not fullmatch(kind.pattern, word.text.lower()):
            raise self._refused(word, self._no_value(own, word))
        return kind.read(word.text.lower())

    def _kind(self, own: str) -> Kind:
        return READERS[_types(self.word.operation)[own]]  # type: ignore[arg-type]  # a class has a hash

    def _no_value(self, own: str, word: Text) -> ConfigError:
        """Why a word is no value of a field."""
        got = repr(word.text if len(word.text) <= 40 else word.text[:40] + "...")
        return ConfigError(self.name, own, self._kind(own).told, got=got, fix=f"write it as in: {self.word.example}")

    def _stranger(self, word: Text, waiting: list[str]) -> ConfigError:
        """Why a word means nothing to this operation."""
        options = (*self.word.options, *self.word.flags)
        told = ", ".join(options) or "none"
        other, got = known_name(word.text), repr(word.text[:40])
        if other and word.text not in options:
            fix = f"put a comma before {word.text}"
            return ConfigError(self.name, "an option", f"one of its own ({told})", got=f"{got}, an operation", fix=fix)
        if word.text[0].isdigit() and not waiting:
            must, fix = f"{len(self.word.values)} (and options: {told})", f"write it as in: {self.word.example}"
            return ConfigError(self.name, "the number of its values", must, got=f"{got} besides", fix=fix)
        option, sign, value = word.text[:LONGEST].partition("=")
        near = get_close_matches(known_option(option.lower()), options, n=1, cutoff=0.5)
        if waiting and not near:
            return self._no_value(waiting[0], word)
        meant = f"{near[0]} {value}" if near and sign and near[0] in self.word.options else near[0] if near else ""
        fix = f"did you mean {meant.strip()}?" if meant else f"write it as in: {self.word.example}"
        return ConfigError(self.name, "an option", f"one of {told}" if options else "left out", got=got, fix=fix)

    def _refused(self, word: Text, fault: ConfigError) -> NotationError:
        return NotationError(self.text, word.at, fault)
