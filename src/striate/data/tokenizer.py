r"""From a text to whole numbers and back: lower-cased words and marks, the frequent ones numbered.

    token   a run of letters, digits and underscores, or any other visible character by itself:  \w+|[^\w\s]
    0       padding        1       a token that training did not have often enough        2, 3, …       the others

The text is brought to Unicode's NFC and to lower case first.  Numbers go by how often a token occurs in the training
texts, equal ones by alphabet.
"""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from striate.base.errors import ConfigError, ModelFileError
from striate.base.files import write_json

PADDING = 0
UNKNOWN = 1
_FIRST = 2  # the number of the most frequent token
_TOKEN = re.compile(r"\w+|[^\w\s]")
_LARGEST = 2**26  # bytes of a saved tokenizer
_LONGEST = 2**16  # tokens of a text


def split_text(text: str) -> list[str]:
    """The tokens of a text.

    >>> split_text("It's GOOD, 10 of 10!")
    ['it', "'", 's', 'good', ',', '10', 'of', '10', '!']
    """
    return _TOKEN.findall(unicodedata.normalize("NFC", text).lower())


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """The numbers of tokens, and how many of them a text has.

    Args:
        words: the tokens 2, 3, …, each different.
        length: every text is cut or padded to so many tokens.
    """

    words: tuple[str, ...]
    length: int
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1 <= self.length <= _LONGEST:
            fix = "20 suits sentences, 400 reviews; textcnn needs at least 5"
            raise ConfigError("Tokenizer", "length", f"1 to {_LONGEST} tokens", got=self.length, fix=fix)
        object.__setattr__(self, "_numbers", {word: i for i, word in enumerate(self.words, start=_FIRST)})

    @property
    def tokens(self) -> int:
        """How many numbers there are, padding and unknown included: `in_channels` of textcnn."""
        return _FIRST + len(self.words)

    def encode(self, text: str) -> Int64[np.ndarray, " W"]:
        """The numbers of a text's first `length` tokens, then padding."""
        found = [self._numbers.get(word, UNKNOWN) for word in split_text(text)[: self.length]]
        return np.array(found + [PADDING] * (self.length - len(found)), dtype=np.int64)

    def encode_all(self, texts: Sequence[str]) -> Int64[np.ndarray, "N W"]:
        """One row a text."""
        return np.stack([self.encode(text) for text in texts]) if len(texts) else np.empty((0, self.length), np.int64)

    def decode(self, numbers: Int64[np.ndarray, " W"]) -> list[str]:
        """The tokens of numbers, padding left out; unknown ones are "?"."""
        return ["?" if n == UNKNOWN else self.words[int(n) - _FIRST] for n in numbers if n != PADDING]

    def save(self, path: Path) -> str:
        """Write it as JSON; returns the file's SHA-256.

        Raises:
            ResourceError: it cannot be written.
        """
        return write_json(path, {"format": "striate-tokenizer-1", "length": self.length, "words": list(self.words)})

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Read what `save` wrote.

        Raises:
            ModelFileError: missing, damaged or foreign.
        """
        try:
            with path.open("rb") as file:
                content = file.read(_LARGEST + 1)
            value = json.loads(content) if len(content) <= _LARGEST else "too long"
        except (OSError, ValueError, RecursionError) as error:
            raise _foreign(path, str(error)[:200]) from error
        if not isinstance(value, dict) or value.keys() != {"format", "length", "words"}:
            raise _foreign(path, "another kind of JSON")
        words, length = value["words"], value["length"]
        if value["format"] != "striate-tokenizer-1" or type(length) is not int or not 1 <= length <= _LONGEST:
            raise _foreign(path, f"format {value['format']!r}"[:80] + f" of length {length!r}"[:80])
        if not isinstance(words, list) or not all(
            isinstance(word, str) and split_text(word) == [word] for word in words
        ):
            raise _foreign(path, "words that no text can hold")
        if len(set(words)) < len(words):
            raise _foreign(path, "a word twice")
        return cls(tuple(words), length)


def fit_tokenizer(texts: Iterable[str], *, length: int, most: int = 20_000) -> Tokenizer:
    """Number the tokens of texts.

    Args:
        texts: those of the training part, and no others: what only test texts hold is unknown.
        length: tokens that a text is cut or padded to.
        most: tokens that get a number of their own; the rarer ones are unknown.

    Raises:
        ConfigError: a length or number out of range.
    """
    if most < 0:
        raise ConfigError("fit_tokenizer", "most", ">= 0", got=most, fix="20,000 suits reviews")
    counts = Counter(word for text in texts for word in split_text(text))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return Tokenizer(tuple(ranked[:most]), length)


def _foreign(path: Path, got: str) -> ModelFileError:
    return ModelFileError(str(path), "the file", "a saved tokenizer", got=got, fix="save it again, or fit a new one")
