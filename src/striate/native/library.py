"""The shared library: found, chosen for the processor, loaded once; or why there is none.

It is built once for each instruction set, from the same source.  `STRIATE_NATIVE` forces one ("avx512", "avx2",
"portable") or none ("off").
"""

import ctypes
import os
from collections.abc import Iterator
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from striate.base.errors import ConfigError

FOLDER = Path(__file__).parent  # where the install puts it
VARIABLE = "STRIATE_NATIVE"
NEEDS = {"avx512": 2, "avx2": 1, "portable": 0}  # best first -> the bit of `striate_processor` that it takes
CHOICES = ("off", *NEEDS)
ABSENT = (
    "the native library is not there: it is built at install where there is a C++ compiler "
    "(g++ or clang++, then `pip install` again)"
)


class Library:
    """The functions of the library, with the name of its instruction set.

    Args:
        name: "avx512", "avx2" or "portable".
        functions: by attribute; each room that calls one declares its arguments.
    """

    def __init__(self, name: str, functions: ctypes.CDLL) -> None:
        self.name, self.functions = name, functions
        self.lanes: int = functions.striate_lanes()

    def __str__(self) -> str:
        return f"{self.name}, {self.lanes} lanes"


def library() -> Library | None:
    """The best library that the processor can run and `STRIATE_NATIVE` allows; None: there is none, see `absence`.

    Raises:
        ConfigError: `STRIATE_NATIVE` is none of its values, or the processor cannot run what it names.
    """
    return _library(os.environ.get(VARIABLE, ""))


def absence() -> str:
    """Why there is no library, in one sentence."""
    return f"{VARIABLE}=off" if os.environ.get(VARIABLE) == "off" else ABSENT


@cache
def _library(forced: str) -> Library | None:
    if forced and forced not in CHOICES:
        fix = "leave it out: the best that the processor has is taken"
        raise ConfigError("native", VARIABLE, f"one of {', '.join(CHOICES)}", got=repr(forced), fix=fix)
    portable = _opened("portable")
    if portable is None or forced == "off":
        return None
    can = portable.striate_processor()
    for name in _candidates(forced, can):
        functions = _opened(name)
        if functions is not None:
            return Library(name, functions)
    return None


def _candidates(forced: str, can: int) -> Iterator[str]:
    for name, bit in NEEDS.items():
        able = not bit or bool(can & bit)
        if forced == name and not able:
            raise ConfigError("native", VARIABLE, "what this processor has", got=name, fix="leave it out")
        if able and forced in ("", name):
            yield name


def _opened(name: str) -> ctypes.CDLL | None:
    for suffix in EXTENSION_SUFFIXES:
        file = FOLDER / f"_{name}{suffix}"
        if file.is_file():
            try:
                return ctypes.CDLL(str(file))
            except OSError:  # of another system
                return None
    return None
