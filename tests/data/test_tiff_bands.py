import io
import resource
import time
import zlib

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal

from striate.data import faults
from striate.data.decode import DecodeFault, decode, header

RNG = np.random.default_rng(0)
BANDS = RNG.integers(0, 65_536, (9, 11, 6), dtype=np.uint16)


def tiff(array, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **({"photometric": "minisblack"} | options))
    return stream.getvalue()


def fault_of(content):
    with pytest.raises(DecodeFault) as caught:
        decode(content, "a.tif")
    return caught.value


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"byteorder": ">"}], ids=str)
def test_bands_come_back_however_they_are_laid_out(dtype, planar, options, tmp_path):
    bands = BANDS.astype(dtype)
    stored = bands.transpose(2, 0, 1) if planar == "separate" else bands
    content = tiff(stored, planarconfig=planar, **options)
    assert_array_equal(decode(content).pixels, bands.astype("float32" if dtype[0] == "f" else dtype))
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    found = header(path)
    assert (found.channels, found.size) == (6, (9, 11))


def test_of_several_pages_the_first_counts():
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as file:
        for page in (BANDS, 65_535 - BANDS):
            file.write(page, photometric="minisblack", planarconfig="contig")
    assert_array_equal(decode(stream.getvalue()).pixels, BANDS)


@pytest.mark.parametrize("dtype", ["int16", "uint32", "complex64"])
def test_other_numbers_are_refused(dtype):
    found = fault_of(tiff(BANDS.astype(dtype), planarconfig="contig"))
    assert found.kind == "format"
    assert "save 8 or 16 bits without sign, or floating point" in found.reason


def test_nan_is_refused():
    bands = BANDS.astype(np.float32)
    bands[2, 3, 4] = np.nan
    assert fault_of(tiff(bands, planarconfig="contig")).reason.startswith("every pixel must be a finite number, got 1")


def test_limits_hold_before_unpacking(monkeypatch):
    content = tiff(np.zeros((400, 400, 6), np.uint8), planarconfig="contig", compression="zlib")
    monkeypatch.setattr(faults, "MAX_BYTES", 900_000)
    assert fault_of(content).kind == "too-large"


def test_a_strip_that_unpacks_to_more_than_its_share_is_refused():
    """A bomb: 200 MB of zeros in the place of 594 bytes."""
    bomb = zlib.compress(bytes(200 * 2**20), 9)
    plain = tiff(BANDS[..., :5].astype(np.uint8), planarconfig="contig", compression="zlib")
    with tifffile.TiffFile(io.BytesIO(plain)) as file:
        page = file.pages.first
        offset, count = page.tags[273].offset + 8, page.tags[279].offset + 8
        long = page.tags[279].dtype == 4
    content = bytearray(plain + bomb)
    content[offset : offset + 4] = len(plain).to_bytes(4, "little")
    assert long or len(bomb) < 65_536
    content[count : count + 4] = len(bomb).to_bytes(4, "little") if long else content[count : count + 4]
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    found = fault_of(bytes(content))
    assert found.reason == "damaged: a strip that unpacks to more than its share"
    assert time.process_time() - start < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


@pytest.mark.filterwarnings("ignore")  # Pillow and tifffile speak of what they meet
@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=str)
def test_no_cut_and_no_flipped_byte_escapes_as_another_error(options):
    content = tiff(BANDS[:3, :4], planarconfig="contig", **options)
    for end in range(0, len(content), 7):
        outcome(content[:end])
    for at in range(0, len(content), 2):
        outcome(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])


def outcome(content):
    try:
        decode(content)
    except DecodeFault as error:
        assert error.reason  # noqa: PT017 - either outcome is right


def test_a_fourth_band_of_no_stated_meaning_is_not_dropped():
    """Satellites send red, green, blue and near infrared as RGB with one sample more."""
    four = BANDS[..., :4].astype(np.uint8)
    raster = decode(tiff(four, photometric="rgb", extrasamples=["unspecified"]))
    assert raster.layers == "bands"
    assert_array_equal(raster.pixels, four)


def test_deep_colour_in_planes_is_read_whole():
    colour = BANDS[..., :3]
    assert_array_equal(
        decode(tiff(colour.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")).pixels, colour
    )
