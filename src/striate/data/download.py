"""One file from the first mirror that gives it whole: continued where it was cut, checked before it gets its name.

    NAME.part         what has come so far
    NAME.part.origin  the URL it came from and its ETag or date: a server whose file changed since sends all of it

The digest decides: a part may begin at one mirror and end at another.  Only http and https are spoken, also where a
server sends us elsewhere; no more than the file's size is read.
"""

import errno
import hashlib
import http.client
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib import request
from urllib.error import HTTPError, URLError

from striate.base.errors import DataError
from striate.base.files import CHUNK, sync_folder
from striate.data.cache_folder import cache_errors
from striate.data.named_sets import RemoteFile

Tick = Callable[[int], None]  # bytes of the file that are there

_WORTHWHILE = 2**16  # bytes that a connection must bring for the next one to the same mirror
_ROUNDS = 3  # through all mirrors, as long as each brings something
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a mirror is waited for.

    Args:
        silence: seconds until it answers, and between two of its bytes.
        slowest: bytes a second that it must give, on average over a window.
        window: seconds.
    """

    silence: float = 10.0
    slowest: int = 1024
    window: float = 30.0


class _MirrorFault(Exception):  # noqa: N818 - never leaves this file
    """This mirror does not have the file; the text says why."""


class _Cut(_MirrorFault):
    """The connection broke off; what came is in the part."""


def md5(path: Path) -> str:
    """MD5 of a file, in hexadecimal: what the makers of the old sets published."""
    running = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            running.update(chunk)
    return running.hexdigest()


def download(file: RemoteFile, mirrors: Sequence[str], folder: Path, tick: Tick, patience: Patience) -> None:
    """Fetch a file into a folder, under its name only when it is whole.

    Args:
        file: what to fetch.
        mirrors: folders on the web, each ending in a slash, tried in this order.
        folder: where to put it; it must exist.
        tick: called with the bytes that are there, after every piece.
        patience: how long to wait.

    Raises:
        DataError: no mirror gave the file; the text says why each did not.
        ResourceError: it cannot be written; what came is kept.
    """
    part = folder / f"{file.name}.part"
    for _ in range(_ROUNDS):
        reasons, before = [], _size(part)
        for mirror in mirrors:
            try:
                _from_mirror(mirror + file.name, file, part, tick, patience)
            except _MirrorFault as fault:
                reasons.append(f"\n    {mirror}{file.name}: {fault}")
                continue
            with cache_errors(part, file.size):
                os.replace(part, folder / file.name)
                _origin(part).unlink(missing_ok=True)
                sync_folder(folder)
            return
        if _size(part) <= before:
            break
    raise _not_there(file, "".join(reasons), mirrors[-1] + file.name, folder)


def _not_there(file: RemoteFile, got: str, url: str, folder: Path) -> DataError:
    fix = (
        "check the network (https_proxy names a proxy, STRIATE_MIRROR a copy to try first) and start again: what came "
        f"is kept; or put the file by hand, as it is, into {folder} from {url}"
    )
    return DataError("download", file.name, "had from a mirror", got=f"from none:{got}", fix=fix)


def _from_mirror(url: str, file: RemoteFile, part: Path, tick: Tick, patience: Patience) -> None:
    """Connect until the part is whole, as long as every connection brings something worth it."""
    anew = False
    while True:
        before = _size(part)
        try:
            begun = _transfer(url, file, part, tick, patience)
        except _Cut:
            if _size(part) < before + _WORTHWHILE:
                raise
            continue
        with cache_errors(part, 0):
            found = md5(part)
            if found == file.md5:
                return
            part.unlink()
        if begun == 0 or anew:
            raise _MirrorFault(f"other content (MD5 {found}, published is {file.md5})")
        anew = True  # what lay there before may have been the fault


def _transfer(url: str, file: RemoteFile, part: Path, tick: Tick, patience: Patience) -> int:
    """One connection; returns how many bytes were there before it.

    Raises:
        _MirrorFault: no answer, not with this file, or too slowly.
        _Cut: the answer broke off.
    """
    have = _size(part)
    if have == file.size:
        return have
    have = have if have < file.size else 0
    with _connect(url, part, have, patience) as response:
        start = _start(response, have, file)
        with cache_errors(part, file.size - start):
            _check_space(part, file.size - start)
            if start == 0:
                _origin(part).write_text(f"{url}\n{_validator(response)}")
            with part.open("r+b" if start else "wb") as out:
                out.seek(start)
                out.truncate()
                for piece in _pieces(response, file.size - start, patience):
                    out.write(piece)
                    tick(out.tell())
                out.flush()
                os.fsync(out.fileno())
    return start


def _connect(url: str, part: Path, have: int, patience: Patience) -> http.client.HTTPResponse:
    asked = request.Request(url, headers={"User-Agent": "striate", "Accept-Encoding": "identity"})
    if have:
        asked.add_header("Range", f"bytes={have}-")
        origin, _, validator = _read(_origin(part)).partition("\n")
        if origin == url and validator:
            asked.add_header("If-Range", validator)
    try:
        return _opener().open(asked, timeout=patience.silence)
    except HTTPError as error:
        error.close()
        raise _MirrorFault(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _MirrorFault(f"no connection ({_cause(error)})") from error


def _opener() -> request.OpenerDirector:
    """Nothing but http and https: urllib's usual opener would follow a server to ftp."""
    opener = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        request.HTTPHandler(),
        request.HTTPSHandler(),
        request.HTTPRedirectHandler(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
        request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _start(response: http.client.HTTPResponse, have: int, file: RemoteFile) -> int:
    """Where the answer begins in the file."""
    if response.status == 206:
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if not found or int(found[1]) != have or found[2] not in ("*", str(file.size)):
            told = response.headers.get("Content-Range")
            raise _MirrorFault(f"answers with {told!r} where bytes {have} to {file.size - 1} were asked for")
        return have
    if response.status != 200:
        raise _MirrorFault(f"HTTP {response.status} {response.reason}")
    length = response.headers.get("Content-Length")
    if length is not None and length != str(file.size):
        raise _MirrorFault(f"announces {length[:20]} bytes where {file.size} are published")
    return 0


def _pieces(response: http.client.HTTPResponse, remaining: int, patience: Patience) -> Iterator[bytes]:
    """The answer as it comes, `remaining` bytes of it.

    Raises:
        _Cut: it ends too soon.
        _MirrorFault: it comes too slowly for another try.
    """
    since, came = time.monotonic(), 0
    while remaining:
        try:
            piece = response.read1(min(CHUNK, remaining))
        except (OSError, http.client.HTTPException) as error:
            raise _Cut(f"broke off {remaining} bytes before the end ({_cause(error)})") from error
        if not piece:
            raise _Cut(f"broke off {remaining} bytes before the end")
        yield piece
        remaining -= len(piece)
        came += len(piece)
        seconds = time.monotonic() - since
        if seconds > patience.window:
            if came < patience.slowest * seconds:
                raise _MirrorFault(f"too slow: {came / seconds:.0f} bytes a second, {remaining} to go")
            since, came = time.monotonic(), 0


def _validator(response: http.client.HTTPResponse) -> str:
    """What If-Range takes: a strong ETag, or a date."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified", "")


def _check_space(part: Path, wanted: int) -> None:
    if shutil.disk_usage(part.parent).free < wanted:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # before an hour of download and not after it


def _cause(error: Exception) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    return str(getattr(reason, "strerror", None) or reason or type(reason).__name__)[:200]


def _origin(part: Path) -> Path:
    return part.with_name(f"{part.name}.origin")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""  # without it the rest is asked for all the same, and the digest decides


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
