"""Files that are whole or absent, and known by their digest.

Recipe of a write: a temporary file in the same folder, flush, fsync, read back and compare the digest,
rename over the final name, fsync the folder.  A process killed at any moment leaves the old file or
the new one, never a part; what it may leave is a temporary, which the next start removes.
"""

import errno
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from striate.base.errors import ConfigError, ResourceError

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
TEMPORARY = re.compile(r"\..+\.tmp-(\d+)")
CHUNK = 1 << 20  # bytes read at once


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    running = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            running.update(chunk)
    return running.hexdigest()


def write(path: Path, data: bytes | str) -> str:
    """Write a file atomically; returns its SHA-256.

    A link is replaced, not followed: somebody else's run folder leads nowhere outside of itself.

    Raises:
        ResourceError: no space, no permission, or what was written cannot be read back.
    """
    # A name that is no UTF-8 is written as \udcXX: in JSON that stands for the very same name.
    content = data.encode(errors="backslashreplace") if isinstance(data, str) else data
    expected = hashlib.sha256(content).hexdigest()
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    with resource_errors(path, len(content)):
        _check_room(path.parent, len(content))
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if digest(temporary) != expected:
                raise OSError(errno.EIO, "what was written reads back differently")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    return expected


def write_json(path: Path, value: object) -> str:
    """Write indented JSON atomically; returns its SHA-256."""
    return write(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def replace_folder(temporary: Path, final: Path) -> None:
    """Put a finished folder in the place of another, which is kept until the new one stands."""
    previous = final.with_name(f".{final.name}.tmp-{os.getpid()}.previous")
    if final.exists():
        os.rename(final, previous)
    try:
        os.rename(temporary, final)
    except OSError:
        if previous.exists():
            os.rename(previous, final)
        raise
    sync_folder(final.parent)
    shutil.rmtree(previous, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, or say why it cannot be."""
    with resource_errors(folder, 0):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def resource_errors(path: Path, size: int) -> Iterator[None]:
    """Turn the system's errors about a file into ours; `size` in bytes is what was to be written."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            room = f"needs {size / 1e6:.1f} MB, {_free(path) / 1e6:.1f} MB free"
            raise ResourceError(
                "disk",
                "space",
                "enough for what is written",
                got=f"no space left while writing {path} ({room})",
                fix="free some space or lift the quota, then `striate resume` the run: what was saved before is intact",
            ) from error
        raise ResourceError(
            "disk",
            "path",
            "a place that can be written",
            got=f"{path}: cannot write to it ({error.strerror or error})",
            fix="choose another folder or change its permission; what was saved before is as it was",
        ) from error


def shell_name(path: Path) -> str:
    """A path as one word of a command line, also with spaces in it or a dash in front.

    >>> shell_name(Path("-my run"))
    "'./-my run'"
    """
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def _check_room(folder: Path, size: int) -> None:
    """Refuse before the first byte what cannot end well: a disk filled to its last byte hurts others too."""
    room = shutil.disk_usage(folder)
    if room.total and room.free < size:  # some network file systems tell nothing: 0 of 0
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _free(path: Path) -> int:
    place = next((parent for parent in path.parents if parent.exists()), Path("/"))
    return shutil.disk_usage(place).free


def clean_temporaries(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder; a living process's files stay."""
    for path in folder.glob(".*.tmp-*"):
        match = TEMPORARY.match(path.name)
        if match and not _alive(int(match[1])):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    if process == os.getpid():
        return False  # ours from an earlier life: process numbers come round again
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the system lets go when the process ends, however it ends.

    Raises:
        ConfigError: another process holds it.
    """
    path = folder / ".lock"
    with resource_errors(path, 0):
        file = path.open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            raise ConfigError(
                "run folder",
                str(folder),
                "used by one process at a time",
                got=f"in use by process {owner}",
                fix="wait for it or stop it, or name another folder with --run",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
