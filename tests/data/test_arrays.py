import io
import os
import zipfile

import numpy as np
import pytest

from striate.base.errors import DataError
from striate.data.arrays import load_archive, map_array


def npy(array, shape=None):
    """The bytes of an .npy file, where wanted with another shape in its header."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    content = stream.getvalue()
    if shape is None:
        return content
    header = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {shape!r}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode() + array.tobytes()


class Trap:
    """Makes a folder where it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


X = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
HUGE = (2**20, 2**20, 2**20)
BAD = {
    "huge": (npy(X, HUGE), r"96 bytes of data where the header announces 4611686018427387904"),
    "too long": (npy(X) + b"1234", r"100 bytes of data where the header announces 96"),
    "too short": (npy(X)[:-4], r"92 bytes of data where the header announces 96"),
    "negative": (npy(X, (-2, -3, 4)), r"."),
    "empty": (b"", r"."),
    "foreign": (b"\x89PNG\r\n\x1a\n" + bytes(100), r"."),
    "header cut": (npy(X)[:20], r"."),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_holds_something_else_reserves_no_memory(tmp_path, case):
    content, got = BAD[case]
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError, match=rf"must be a whole \.npy file, got {got}.*\n  Fix: write it with np\.save"):
        map_array(tmp_path / "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    with pytest.raises(DataError, match=rf"must be a whole \.npz archive, got {got}"):
        load_archive(tmp_path / "x.npz")


def test_python_objects_are_never_unpickled(tmp_path):
    content = npy(np.array([Trap(tmp_path / "was-run")], dtype=object))
    (tmp_path / "x.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", content)
    for read, name in ((map_array, "x.npy"), (load_archive, "x.npz")):
        with pytest.raises(DataError, match=r"plain, got Python objects \(a pickle\)"):
            read(tmp_path / name)
    (tmp_path / "y.npy").write_bytes(content[content.index(b"\x80") :])  # a bare pickle
    with pytest.raises(DataError, match=r"must be a whole \.npy file"):
        map_array(tmp_path / "y.npy")
    assert not (tmp_path / "was-run").exists()


def test_an_archive_that_lies_about_its_sizes_is_refused(tmp_path):
    content = npy(np.zeros(10, np.float32), (2**28,))
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    raw = (tmp_path / "x.npz").read_bytes()
    told = len(content).to_bytes(4, "little")
    (tmp_path / "x.npz").write_bytes(raw.replace(told, (2**30 + 128).to_bytes(4, "little")))
    with pytest.raises(DataError, match=r"x\.npy cannot unpack to 1073741952 bytes"):
        load_archive(tmp_path / "x.npz")


def test_what_is_sound_is_read_and_a_file_stays_where_it_is(tmp_path):
    for array in (X, np.asfortranarray(X), X.astype(">f8"), np.array(["a", "bc"]), np.empty((0, 3))):
        np.savez_compressed(tmp_path / "x.npz", x=array, y=array[:1])
        np.testing.assert_array_equal(load_archive(tmp_path / "x.npz")["x"], array)
    np.save(tmp_path / "x.npy", X)
    mapped = map_array(tmp_path / "x.npy")
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable
    np.testing.assert_array_equal(mapped, X)


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "x.npy")
    for name in ("x.npy", "none.npy"):
        with pytest.raises(DataError, match=r"must be a whole \.npy file, got (not a regular file|.*No such file)"):
            map_array(tmp_path / name)
