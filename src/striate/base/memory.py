"""How much memory there is, how much was taken, and whether an error says that it ran out."""

import resource
import sys
from pathlib import Path

SAYINGS = ("not enough memory", "out of memory", "allocate memory", "bad_alloc")  # of torch, CUDA, the C library, C++
ONEDNN = "could not create a primitive"  # all that it says; where the description was at fault it says more
KIB = 1024
GROUP = Path("/sys/fs/cgroup")  # what a container may take


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's, torch's (a RuntimeError) or CUDA's.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and (str(error) == ONEDNN or any(saying in str(error) for saying in SAYINGS))
    )


def peak_memory() -> int:
    """The most bytes of real memory that this process has held at once."""
    unit = 1 if sys.platform == "darwin" else KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def held_memory() -> int:
    """Bytes of real memory that this process holds now; elsewhere than on Linux the most that it has held."""
    pages = _read(Path("/proc/self/statm"))
    return int(pages.split()[1]) * resource.getpagesize() if pages else peak_memory()


def free_memory() -> int | None:
    """Bytes that this process may still take before the system, its container or its own limit says no.

    None where nothing tells: elsewhere than on Linux.
    """
    told = [told for source in (_of_system, _of_container, _of_limit) if (told := source()) is not None]
    return max(0, min(told)) if told else None


def _of_system() -> int | None:
    return _line(Path("/proc/meminfo"), "MemAvailable:", KIB)


def _of_container() -> int | None:
    limit, held = _number(GROUP / "memory.max"), _number(GROUP / "memory.current")
    if limit is None or held is None:
        return None
    return limit - held + (_line(GROUP / "memory.stat", "inactive_file", 1) or 0)  # the last is given up when asked for


def _of_limit() -> int | None:
    """What RLIMIT_AS leaves of the address space."""
    limit, pages = resource.getrlimit(resource.RLIMIT_AS)[0], _read(Path("/proc/self/statm"))
    return limit - int(pages.split()[0]) * resource.getpagesize() if limit != resource.RLIM_INFINITY and pages else None


def _line(path: Path, name: str, unit: int) -> int | None:
    found = [line.split()[1] for line in _read(path).splitlines() if line.split()[:1] == [name]]
    return int(found[0]) * unit if found else None


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
