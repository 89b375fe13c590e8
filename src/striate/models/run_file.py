"""Run a Python file of the user's: its names, and its faults as errors with file and line.

The file is compiled from the very bytes that were read, under a module name that no other has.  While it runs, its
folder is searched first for what it imports; afterwards the path is as it was, and what was imported from beside it is
forgotten, so that two files with helpers of one name do not meet.
"""

import hashlib
import importlib
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from striate.base.errors import ConfigError, Stopped, StriateError

PREFIX = "striate_own_file_"  # of the names of modules that users' files become


@lru_cache(maxsize=16)
def namespace(path: Path, source: bytes) -> Mapping[str, Any]:
    """Everything that a file defines; the same file is run once a process.

    Raises:
        ConfigError: it does not compile, or fails while it runs.
    """
    mark = hashlib.sha256(str(path).encode() + b"\n" + source).hexdigest()[:16]
    module = ModuleType(f"{PREFIX}{mark}")
    module.__file__ = str(path)
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise _fault(path, "the file", error) from error
    sys.modules[module.__name__] = module  # dataclasses and type hints look their module up
    try:
        with _beside(path.parent), torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)  # weights that the file draws as it runs are the same every time
            guarded(path, "the file", exec, {}, code, module.__dict__)
    except BaseException:
        del sys.modules[module.__name__]
        raise
    return module.__dict__


def guarded(path: Path, doing: str, call: Callable[..., Any], named: Mapping[str, Any], *given: Any) -> Any:
    """What a call of the user's code gives; what it raises becomes an error with his file and line.

    Raises:
        ConfigError: whatever it raises, an exit included.
    """
    try:
        with redirect_stdout(sys.stderr):  # what the user's code prints is no result of ours
            return call(*given, **named)
    except (Stopped, MemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise _fault(path, doing, error) from error


@contextmanager
def contained(path: Path, doing: str) -> Iterator[None]:
    """Run the user's code among ours: what it prints goes to stderr, and an exit becomes an error; others pass.

    Raises:
        ConfigError: the user's code asks to exit.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except SystemExit as error:
        raise _fault(path, doing, error) from error


def own_fault(error: BaseException) -> ConfigError | None:
    """An error that has left the user's code among ours, as his, with file and line; None: none of it was running."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    files = [f.f_code.co_filename for f in frames if str(f.f_globals.get("__name__")).startswith(PREFIX)]
    return _fault(Path(files[-1]), "the network", error) if files else None


def _fault(path: Path, doing: str, error: BaseException) -> ConfigError:
    """The error for people, at the last line of the user's that was running."""
    file, line = path, None
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename).parent == path.parent:
            file, line = Path(frame.filename), frame.lineno
    if isinstance(error, SyntaxError) and error.filename and Path(error.filename).parent == path.parent:
        file, line = Path(error.filename), error.lineno
    where = f"{file}, line {line}" if line else str(file)
    if isinstance(error, StriateError):
        return ConfigError(f"{where}: {error.where}", error.what, error.must, got=error.got, fix=error.fix)
    told = error.msg if isinstance(error, SyntaxError) else str(error)
    got = f"{type(error).__name__}: {told}" if told else type(error).__name__
    first = got.strip().splitlines()[0][:300]
    fix = f"{'correct that line' if line else 'look at what it is given'}; --debug shows the traceback"
    return ConfigError(where, doing, "free of faults", got=first, fix=fix)


@contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """Let files of a folder be imported; what the path already leads to is left to Python."""
    entry = str(folder)
    if entry in map(str, (Path(part).absolute() for part in sys.path)):
        yield
        return
    before, compiled = set(sys.modules), sys.dont_write_bytecode
    sys.path.insert(0, entry)
    sys.dont_write_bytecode = True  # nothing is left in the user's folder
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(entry)
        sys.dont_write_bytecode = compiled
        for name in set(sys.modules) - before:
            if _lies_in(folder, name):
                del sys.modules[name]


def _lies_in(folder: Path, name: str) -> bool:
    """Whether an imported module is a file of the folder, or of a package in it."""
    module = sys.modules[name]
    files = [getattr(module, "__file__", None) or "", *(getattr(module, "__path__", None) or ())]
    package = folder / name.partition(".")[0]
    return any(Path(file).parent == folder or Path(file).is_relative_to(package) for file in files if file)
