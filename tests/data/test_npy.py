import io
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.testing import assert_array_equal

from striate.data.decode import DecodeFault, decode, decoded, header
from striate.data.npy import read_npy
from striate.data.picture import Picture


def saved(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def handmade(text, body=b"", version=b"\1\0"):
    line = text.encode() + b"\n"
    return b"\x93NUMPY" + version + len(line).to_bytes(2 if version[0] == 1 else 4, "little") + line + body


def fault_of(content):
    with pytest.raises(DecodeFault) as caught:
        decode(content, "a.npy")
    assert caught.value.path == "a.npy"
    return caught.value


@given(
    arrays.arrays(
        st.sampled_from(["u1", "<u2", ">u2", "<f2", ">f4", "<f8"]).map(np.dtype),
        arrays.array_shapes(min_dims=2, max_dims=3, max_side=6),
        elements=st.integers(0, 200),
    ),
    st.booleans(),
)
def test_every_array_of_our_kinds_comes_back(array, columns_first):
    assert_array_equal(read_npy(saved(np.asfortranarray(array) if columns_first else array), "x"), array)


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (saved(np.zeros((4, 4), np.uint8))[:-1], "truncated", "truncated"),
        (saved(np.zeros((4, 4), np.uint8)) + b"x", "damaged", "damaged (1 bytes too many)"),
        (saved(np.zeros((4, 4), np.uint8))[:20], "damaged", "not an array (damaged .npy header)"),
        (saved(np.zeros(4, np.uint8)), "pixels", "an array of shape (4,), and not (H, W) or (H, W, C)"),
        (saved(np.zeros((2, 2, 2, 2), np.uint8)), "pixels", "an array of shape (2, 2, 2, 2)"),
        (saved(np.zeros((2, 2, 0), np.uint8)), "pixels", "an array of shape (2, 2, 0)"),
        (saved(np.zeros((0, 2), np.uint8)), "damaged", "damaged: 2x0 pixels"),
        (saved(np.zeros((4, 4), np.int32)), "pixels", "an array of int32, and not of uint8, uint16 or floating point"),
        (saved(np.zeros((4, 4), bool)), "pixels", "an array of bool"),
        (saved(np.zeros((4, 4), complex)), "pixels", "an array of complex128"),
        (saved(np.zeros((4, 4), "f4,f4")), "pixels", "an array of ["),
        (saved(np.zeros((4, 4), "M8[s]")), "pixels", "an array of datetime64[s]"),
        (saved(np.array([[{}]]), allow_pickle=True), "pixels", "an array of object"),
        (saved(np.array([[1.0, np.nan]])), "pixels", "every pixel must be a finite number, got 1 that are not"),
        (saved(np.array([[1.0, 1e300]])), "pixels", "every pixel must be a finite number"),
        (b"\x93NUMPY\x09\0aaaa", "format", ".npy of version (9, 0) is not supported (1 or 2)"),
        (
            handmade("{'descr': '|u1', 'fortran_order': False, 'shape': (9000, 9000)}"),
            "too-large",
            "too large: 81 Mpixel",
        ),
        (handmade("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 10**9)}"), "damaged", "not an array"),
        (handmade("{'descr': '|u1', 'fortran_order': False, 'shape': (-4, -4)}"), "damaged", "damaged: -4x-4 pixels"),
        (handmade("{'descr': '<f8', 'fortran_order': False, 'shape': (4, 4, 10000000000000000000)}"), "truncated", ""),
        (handmade("__import__('os').system('touch ran')"), "damaged", "not an array"),
        (handmade("(" * 9000), "damaged", "not an array"),
        (handmade("-" * 9000 + "1"), "damaged", "not an array"),
        (handmade("{" + " " * 20_000, version=b"\2\0"), "damaged", "not an array"),
    ],
)
def test_what_is_no_picture_says_why_before_memory_is_taken(content, kind, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start = time.perf_counter()
    found = fault_of(content)
    assert (found.kind, found.reason[: len(reason)]) == (kind, reason)
    assert time.perf_counter() - start < 10  # and not minutes: what is announced is not made
    assert not list(tmp_path.iterdir())


def test_a_pickle_inside_is_never_run(tmp_path):
    class Touch:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    assert fault_of(saved(np.array([[Touch()]], dtype=object), allow_pickle=True)).kind == "pixels"
    assert not (tmp_path / "ran").exists()


def test_no_flipped_byte_escapes_as_another_error():
    content = saved(np.arange(60, dtype=np.uint16).reshape(3, 4, 5))
    for at in range(len(content)):
        for change in (0x01, 0x55, 0x80):
            try:
                decode(content[:at] + bytes([content[at] ^ change]) + content[at + 1 :])
            except DecodeFault as error:
                assert error.reason  # noqa: PT017 - either outcome is right


def test_the_header_is_enough_to_know_it(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(saved(np.zeros((3, 4, 7), np.float64)))
    found = header(path)
    assert (found.format, found.channels, found.kind, found.size) == ("NPY", 7, "float32", (3, 4))


def test_channels_first_says_what_to_do():
    with pytest.raises(DecodeFault, match="of 3 channels, got 40"):
        decoded(saved(np.zeros((3, 50, 40), np.uint8)), Picture(3, 8, 8))
