"""Where what can be made again is kept: $STRIATE_CACHE, or $XDG_CACHE_HOME/striate, or ~/.cache/striate."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from striate.base.errors import ResourceError
from striate.base.files import make_folder, resource_errors

_FIX = "free some space, or set STRIATE_CACHE to a folder on another disk that you can write to; what came is kept"


def cache_path(kind: str) -> Path:
    """The folder for one kind of things, such as "downloads", whether it is there or not.

    Raises:
        ResourceError: no variable is set and the account has no home.
    """
    own = os.environ.get("STRIATE_CACHE")
    if own:
        return Path(os.path.abspath(os.path.expanduser(own))) / kind
    shared = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(shared):  # the XDG standard: a relative one is to be ignored
        return Path(shared) / "striate" / kind
    home = os.path.expanduser("~")
    if home == "~":
        fix = "set STRIATE_CACHE to a folder that can be written"
        raise ResourceError("cache", "the home folder", "known", got="no HOME and no entry of this user", fix=fix)
    return Path(home) / ".cache" / "striate" / kind


def cache_folder(kind: str) -> Path:
    """The same, created.

    Raises:
        ResourceError: it cannot be created or written to.
    """
    folder = cache_path(kind)
    with cache_errors(folder, 0):
        make_folder(folder)
    return folder


@contextmanager
def cache_errors(path: Path, size: int) -> Iterator[None]:
    """Turn the system's errors about a file of the cache into ours; `size` in bytes is what was to be written."""
    try:
        with resource_errors(path, size):
            yield
    except ResourceError as error:
        raise ResourceError(error.where, error.what, error.must, got=error.got, fix=_FIX) from error.__cause__
