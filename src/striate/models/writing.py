"""A network to the text of its notation, which `notation.parse` takes back to the very same."""

from dataclasses import fields

from striate.base.network import Branches, Network, Operations
from striate.base.operations import Operation, written
from striate.models.values import Value, written_value
from striate.models.vocabulary import INPUT, JOINS, RESIDUAL, word_of

LONGEST_REPEAT = 16  # operations of a row that is written once, with how often it comes


def write(network: Network) -> str:
    """The text of a network, the shape of its input included; rows that come several times are written once.

    `parse` takes it back as long as it is no longer than a text may be, a million characters.

    >>> from striate.base.windowed import Conv
    >>> write(Network((1, 8, 8), (Conv(4, (3, 3), padding="same"), *[Conv(4, 3, bias=False)] * 2)))
    'input 1x8x8, conv 4 3x3 same, 2x(conv 4 3x3 nobias)'
    """
    return ", ".join([f"{INPUT} {written(network.input_shape)}", *_row(network.operations)])


def _row(operations: Operations) -> list[str]:
    return _folded([_operation(operation) for operation in operations])


def _operation(operation: Operation) -> str:
    if isinstance(operation, Branches):
        rows = [", ".join(_row(branch)) for branch in operation.branches]
        if operation.join == JOINS["add"] and len(rows) == 2 and rows[0] and not rows[1]:
            return f"{RESIDUAL}({rows[0]})"
        name = next(name for name, join in JOINS.items() if join == operation.join)
        return f"{name}({' | '.join(rows)})"
    name, word = word_of(operation)
    spoken = {*word.values, *word.fixed}
    options = {own: option for option, own in word.options.items()}
    flags = {said: flag for flag, said in word.flags.items()}
    parts = [name, *(written_value(getattr(operation, own)) for own in word.values)]
    for own in fields(operation):  # type: ignore[arg-type]  # every operation is a dataclass
        value: Value = getattr(operation, own.name)
        if own.name in spoken or value == own.default:
            continue
        flag = flags.get((own.name, value))
        parts += [flag] if flag else [options[own.name], written_value(value)]
    return " ".join(parts)


def _folded(texts: list[str]) -> list[str]:
    """A row with what comes several times in a row written as 3x(...), wherever that is shorter."""
    folded: list[str] = []
    at = 0
    while at < len(texts):
        saved, period, times = max(_repeats(texts, at), default=(0, 1, 1))
        body = texts[at : at + period]
        folded += [f"{times}x({', '.join(body)})"] if saved > 0 else body
        at += period * times if saved > 0 else period
    return folded


def _repeats(texts: list[str], at: int) -> list[tuple[int, int, int]]:
    """The rows that are repeated from a place on: characters saved, operations of the row, how often it comes."""
    found = []
    for period in range(1, LONGEST_REPEAT + 1):
        body, times = texts[at : at + period], 1
        while texts[at + period * times : at + period * (times + 1)] == body:
            times += 1
        if times > 1:
            length = len(", ".join(body))
            found.append(((length + 2) * (times - 1) - len(f"{times}x()"), period, times))
    return found
