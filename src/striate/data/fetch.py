"""A named set in the cache: fetched once, its digests looked at before it is used."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from striate.base.errors import ConfigError
from striate.data.cache_folder import cache_errors, cache_folder, cache_path
from striate.data.download import Patience, download, md5
from striate.data.named_sets import NAMED_SETS, NamedSet, RemoteFile

Progress = Callable[[int, int], None]  # (bytes done, bytes in all)

_verified: set[tuple[str, str, int, int]] = set()  # what this process has read: path, MD5, size, time of change


def fetch(
    name: str,
    progress: Progress | None = None,
    *,
    mirrors: Sequence[str] | None = None,
    patience: Patience | None = None,
) -> Path:
    """The folder with the files of a set, fetched where they are not there yet.

    A file that lies there, fetched or put there by hand, is used when its size and MD5 are the published ones; a
    damaged one is replaced when the whole one has come.  Two processes at once: the second waits for the first.

    Args:
        name: of NAMED_SETS.
        progress: called with (bytes there, bytes in all) while something is fetched.
        mirrors: folders on the web to ask in place of the known ones; $STRIATE_MIRROR/NAME/ is asked first either way.
        patience: how long to wait for a mirror.

    Raises:
        ConfigError: no such set, or a mirror that is no http(s) URL.
        DataError: no mirror gave a file; the fix says where to put it by hand.
        ResourceError: the cache cannot be written, or there is too little space.
    """
    if name not in NAMED_SETS:
        near = get_close_matches(name, NAMED_SETS, n=1)
        fix = f"did you mean {near[0]!r}?" if near else "other data is given as a path"
        raise ConfigError("fetch", "the name", f"one of {', '.join(NAMED_SETS)}", got=repr(name), fix=fix)
    wanted = NAMED_SETS[name]
    folder = cache_path("downloads") / name
    if not _lacking(wanted, folder):
        return folder  # of a cache that is only readable, too
    asked = _mirrors(name, wanted.mirrors if mirrors is None else mirrors)
    folder = cache_folder(f"downloads/{name}")
    with _alone(folder):
        for file in _lacking(wanted, folder):  # another process may have been here first
            tick = _tick(wanted, folder, file, progress)
            download(file, asked, folder, tick, patience or Patience())
            _verified.add(_state(folder / file.name, file))
    return folder


def _lacking(wanted: NamedSet, folder: Path) -> list[RemoteFile]:
    return [file for file in wanted.files if not _whole(folder / file.name, file)]


def _whole(path: Path, file: RemoteFile) -> bool:
    """Whether the file is there as published; its digest is computed once in a process."""
    try:
        state = _state(path, file)
        if not path.is_file() or state[2] != file.size:
            return False
        if state in _verified:
            return True
        if md5(path) != file.md5:
            return False
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        with cache_errors(path, 0):
            raise error
    _verified.add(state)
    return True


def _state(path: Path, file: RemoteFile) -> tuple[str, str, int, int]:
    status = os.stat(path)
    return str(path), file.md5, status.st_size, status.st_mtime_ns


def _mirrors(name: str, known: Sequence[str]) -> list[str]:
    own = os.environ.get("STRIATE_MIRROR")
    asked = [*([f"{own.rstrip('/')}/{name}"] if own else []), *known]
    for url in asked:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            fix = "such as https://mirror.example.org/data, which holds mnist/train-images-idx3-ubyte.gz and so on"
            got = url if "@" not in url else "one with a user in it"  # a password must not get into a log
            raise ConfigError("fetch", "a mirror (STRIATE_MIRROR)", "an http or https URL", got=got, fix=fix)
    return [url if url.endswith("/") else f"{url}/" for url in asked]


def _tick(wanted: NamedSet, folder: Path, current: RemoteFile, progress: Progress | None) -> Callable[[int], None]:
    """From the bytes of one file to those of the set."""
    if progress is None:
        return lambda _: None
    rest = sum(file.size for file in wanted.files if file != current and _whole(folder / file.name, file))
    return lambda done: progress(rest + done, wanted.size)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process fetches into this folder; the system lets go when a process ends."""
    path = folder / ".lock"
    with cache_errors(path, 0):
        file = path.open("a")
    with file:
        with cache_errors(path, 0):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
