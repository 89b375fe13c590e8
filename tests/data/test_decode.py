import io
import os
import resource
import socket
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image, ImageFile

from striate.data import decode as module
from striate.data import faults
from striate.data.decode import DecodeFault, decode, decoded, header
from striate.data.kinds import Kind
from striate.data.picture import Picture, fit
from striate.data.resize import placement

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 7), dtype=np.uint8)
RGB = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (5, 7), dtype=np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def pixels(source: bytes | Path, kind: Kind = "uint8") -> np.ndarray:
    """H W of a grey picture, H W 3 of a coloured one, at its own size, in bytes."""
    raster = decode(source)
    colours = raster.pixels.shape[2] - (raster.layers == "alpha")
    planes = fit(raster, Picture(colours, *raster.size, kind=kind))
    return planes[0] if colours == 1 else planes.transpose(1, 2, 0)


def on_white(values: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    a = alpha.astype(float)[..., None] if values.ndim == 3 else alpha.astype(float)
    return np.floor((values * a + 255 * (255 - a)) / 255 + 0.5).astype(np.uint8)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, rows: bytes = b"\0", extra: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def fault_of(source: Path | bytes) -> DecodeFault:
    with pytest.raises(DecodeFault) as caught:
        decode(source, "x.png")
    assert caught.value.path == "x.png"
    assert str(caught.value) == f"x.png: {caught.value.reason}"
    return caught.value


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("values", [GREY, RGB], ids=["L", "RGB"])
def test_grey_and_colour_come_out_as_they_are(kind, values):
    assert_array_equal(pixels(encoded(Image.fromarray(values), kind)), values)


def test_lossless_webp_comes_out_as_it_is_and_gif_as_the_colours_of_its_palette():
    assert_array_equal(pixels(encoded(Image.fromarray(RGB), "WEBP", lossless=True)), RGB)
    assert_array_equal(pixels(encoded(Image.fromarray(GREY), "GIF")), np.dstack([GREY] * 3))


def test_one_bit_becomes_black_and_white_grey():
    bits = Image.fromarray(GREY).point(lambda v: 255 * (v > 127), "1")
    assert_array_equal(pixels(encoded(bits)), np.where(GREY > 127, 255, 0))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_divided_by_257_and_rounded(kind):
    values = np.array([[0, 128, 129, 257, 385, 386, 32768, 65535]], dtype=np.uint16)
    expected = np.array([[round(float(v) / 257) for v in values[0]]])
    assert expected.tolist() == [[0, 0, 1, 1, 1, 2, 128, 255]]
    assert_array_equal(pixels(encoded(Image.fromarray(values), kind)), expected)


def test_16_bit_grey_of_either_byte_order_and_of_ppm_is_the_same():
    assert_array_equal(pixels(b"P5 2 1 65535 " + struct.pack(">2H", 257, 65535)), [[1, 255]])
    tags = [(256, 2), (257, 1), (258, 16), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 4)]
    directory = b"".join(struct.pack(">HHI", tag, 4, 1) + struct.pack(">I", value) for tag, value in tags)
    big_endian = b"MM\0*" + struct.pack(">I", 12) + struct.pack(">2H", 257, 65535)
    assert_array_equal(pixels(big_endian + struct.pack(">H", len(tags)) + directory + bytes(4)), [[1, 255]])


def test_a_palette_becomes_the_colours_it_names():
    picture = Image.fromarray(GREY % 3).copy()
    picture.putpalette([255, 0, 0, 0, 255, 0, 1, 2, 3])
    colours = np.array([[255, 0, 0], [0, 255, 0], [1, 2, 3]])
    assert_array_equal(pixels(encoded(picture)), colours[GREY % 3])


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_an_alpha_channel_is_laid_on_white(kind):
    assert_array_equal(pixels(encoded(Image.fromarray(np.dstack([RGB, ALPHA])), kind)), on_white(RGB, ALPHA))
    assert_array_equal(pixels(encoded(Image.fromarray(np.dstack([GREY, ALPHA])), kind)), on_white(GREY, ALPHA))


def test_a_hidden_colour_under_full_transparency_does_not_show():
    assert_array_equal(pixels(encoded(Image.new("RGBA", (2, 1), (255, 0, 0, 0)))), np.full((1, 2, 3), 255))


def test_a_transparent_palette_entry_is_white():
    picture = Image.fromarray(GREY % 3)
    picture.putpalette([255, 0, 0, 0, 255, 0, 1, 2, 3])
    expected = np.array([[255, 0, 0], [255, 255, 255], [1, 2, 3]])[GREY % 3]
    for kind in ("PNG", "GIF"):
        assert_array_equal(pixels(encoded(picture, kind, transparency=1)), expected)


def test_a_palette_with_a_table_of_alphas_is_laid_on_white():
    picture = Image.fromarray(GREY % 2)
    picture.putpalette([255, 0, 0, 0, 100, 0])
    alpha = np.array([255, 51], dtype=np.uint8)[GREY % 2]
    colours = np.array([[255, 0, 0], [0, 100, 0]], dtype=np.uint8)[GREY % 2]
    assert_array_equal(pixels(encoded(picture, transparency=bytes([255, 51]))), on_white(colours, alpha))


@pytest.mark.parametrize(
    ("values", "colour"), [(GREY, int(GREY[0, 0])), (RGB, tuple(map(int, RGB[0, 0])))], ids=["L", "RGB"]
)
def test_a_colour_declared_transparent_is_white(values, colour):
    hit = (values == np.array(colour)).reshape(5, 7, -1).all(2)
    expected = values.copy()
    expected[hit] = 255
    assert_array_equal(pixels(encoded(Image.fromarray(values), transparency=colour)), expected)


def test_a_16_bit_grey_declared_transparent_is_white():
    image = Image.fromarray(np.array([[0, 257, 514]], dtype=np.uint16))
    content = encoded(image)
    end = 8 + 25  # behind the signature and the header
    assert_array_equal(pixels(content[:end] + chunk(b"tRNS", struct.pack(">H", 257)) + content[end:]), [[0, 255, 2]])


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "TIFF"), ("LAB", "TIFF")])
def test_other_colour_spaces_are_converted_by_pillow(mode, kind):
    planes = np.dstack([RGB, ALPHA]) if mode == "CMYK" else RGB
    content = encoded(Image.frombytes(mode, (7, 5), planes.tobytes()), kind)
    with Image.open(io.BytesIO(content)) as reference:
        assert reference.mode == mode
        assert_array_equal(pixels(content), np.asarray(reference.convert("RGB")))


TURNS = {  # EXIF 2.3, tag 274: what brings the stored picture upright
    1: lambda a: a,
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    4: np.flipud,
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_every_exif_orientation_is_applied(tmp_path, orientation, kind):
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(Image.fromarray(RGB), kind, exif=exif, **options)
    expected = TURNS[orientation](RGB)
    assert_array_equal(pixels(content), expected)
    path = tmp_path / "turned"
    path.write_bytes(content)
    assert header(path).size == expected.shape[:2]


def test_a_turned_jpeg_is_the_upright_one_turned(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    plain, turned = (encoded(Image.fromarray(RGB), "JPEG", **options) for options in ({}, {"exif": exif}))
    assert_array_equal(pixels(turned), np.rot90(pixels(plain), -1))
    path = tmp_path / "turned.jpg"
    path.write_bytes(turned)
    assert header(path).size == (7, 5)


def test_an_exif_block_that_cannot_be_read_counts_as_none():
    assert_array_equal(pixels(encoded(Image.fromarray(RGB), "PNG", exif=b"Exif\0\0garbage")), RGB)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_an_animation_gives_its_first_frame(kind):
    frames = [Image.new("RGB", (4, 3), colour) for colour in ("red", "green", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert_array_equal(pixels(content), np.full((3, 4, 3), (255, 0, 0)))


def test_a_colour_profile_changes_nothing():
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    assert_array_equal(pixels(encoded(Image.fromarray(RGB), icc_profile=profile)), RGB)


def test_one_pixel_is_a_picture():
    assert_array_equal(pixels(encoded(Image.new("L", (1, 1), 9))), [[9]])


def test_content_counts_and_not_the_name(tmp_path):
    path = tmp_path / "photo.jpg"
    path.write_bytes(encoded(Image.fromarray(RGB)))
    assert_array_equal(pixels(path), RGB)
    assert header(path) == module.Header("PNG", 3, "uint8", (5, 7))


def noise(kind: str) -> bytes:
    return encoded(Image.fromarray(RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8)), kind)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "PPM", "GIF"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_file_is_truncated(kind, share):
    content = noise(kind)
    found = fault_of(content[: int(share * len(content))])
    assert (found.kind, found.reason) == ("truncated", "truncated")


def test_a_jpeg_without_its_end_mark_is_truncated():
    assert fault_of(noise("JPEG")[:-2]).kind == "truncated"


def test_a_png_with_a_wrong_checksum_is_damaged():
    content = bytearray(noise("PNG"))
    content[len(content) // 2] ^= 16
    assert fault_of(bytes(content)).reason == "damaged (broken data stream when reading image file)"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # Pillow says so of a TIFF before it gives up
def test_no_cut_and_no_flipped_byte_escapes_as_another_error(kind):
    content = encoded(Image.fromarray(RGB), kind)
    for end in range(0, len(content), 7):
        fault_or_picture(content[:end])
    for at in range(0, len(content), 5):
        fault_or_picture(content[:at] + bytes([content[at] ^ 0x55]) + content[at + 1 :])


def fault_or_picture(content: bytes) -> None:
    try:
        decode(content)
    except DecodeFault as error:
        assert error.reason  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (b"", "empty", "empty file"),
        (b"just text", "not-a-picture", r"not a picture (its bytes begin with b'just tex')"),
        (b"BM, says the text", "damaged", "not a picture (damaged BMP header)"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0",
            "format",
            "format EPS is not supported (JPEG, PNG, BMP, GIF, WEBP, TIFF, PPM, NPY)",
        ),
        (b"<?xml version='1.0'?>\n<svg xmlns=''/>", "format", "format SVG is not supported ("),
        (b"%PDF-1.7", "format", "format PDF is not supported ("),
        (b"<!DOCTYPE html><html>", "format", "format HTML is not supported ("),
        (b"\0\0\0\x18ftypheic", "format", "format HEIF is not supported ("),
    ],
)
def test_what_is_no_picture_is_told_apart(content, kind, reason):
    found = fault_of(content)
    assert found.kind == kind
    assert found.reason.startswith(reason)


def test_floating_point_and_signed_pixels_are_refused_and_say_why():
    with pytest.raises(DecodeFault, match="floating-point pixels must be uint8") as caught:
        decoded(encoded(Image.new("F", (2, 2), 0.5), "TIFF"), Picture(1, 2, 2))
    assert caught.value.kind == "pixels"
    found = fault_of(encoded(Image.fromarray(np.array([[-3, 70_000]], dtype=np.int32)), "TIFF"))
    assert found.reason == "grey values -3 to 70000 do not fit 16 bits (0 to 65535)"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (png(15_000, 15_000), "too large: 225 Mpixel, limit 64"),
        (png(9_400, 9_400, bytes(9_401) * 9_400), "too large: 88 Mpixel, limit 64"),
        (png(1, 100_000), "too large: 1x100000 pixels, limit 32768 a side"),
        (png(8, 8, extra=chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8)))), "not a picture (damaged PNG header)"),
        (
            b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\xfe\x3f\0\xfe\x3f\0",
            "too large: far over 64 Mpixel",
        ),
    ],
    ids=["225 Mpixel header", "88 Mpixel in few bytes", "thin", "text bomb", "WebP header"],
)
def test_a_bomb_is_refused_before_it_unpacks(content, reason):
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert fault_of(content).reason == reason
    assert time.process_time() - start < 0.5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB


def test_a_gif_of_ten_thousand_frames_costs_one():
    one = encoded(Image.new("1", (8, 8), 0), "GIF")
    first = one.rindex(b"\x2c\0\0\0\0")  # the frame begins with this mark and its corner
    content = one[:first] + one[first:-1] * 10_000 + b";"
    with Image.open(io.BytesIO(content)) as reference:
        assert reference.n_frames == 10_000
    start = time.process_time()
    assert pixels(content).max() == 0
    assert time.process_time() - start < 0.5


def test_the_limit_itself_is_allowed_and_one_more_is_not(monkeypatch):
    monkeypatch.setattr(faults, "MAX_PIXELS", 35)
    assert pixels(encoded(Image.fromarray(GREY))).shape == (5, 7)
    assert fault_of(encoded(Image.new("L", (6, 6)))).kind == "too-large"


def test_a_file_over_the_byte_limit_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(faults, "MAX_BYTES", 1000)
    path = tmp_path / "x.png"
    path.write_bytes(bytes(1001))
    assert fault_of(path).kind == "too-large"
    assert fault_of(bytes(1001)).kind == "too-large"


def test_pillows_global_switches_stay_as_they_were():
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    pixels(encoded(Image.fromarray(GREY)))
    fault_of(png(15_000, 15_000))
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_what_is_no_regular_file_is_refused_without_opening_it(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "fifo.jpg")
    monkeypatch.chdir(tmp_path)  # a socket's path may hold about 100 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.jpg")
        for name, kind in (("fifo.jpg", "fifo"), ("socket.jpg", "socket"), (".", "folder")):
            assert fault_of(tmp_path / name).reason == f"not a regular file ({kind})"  # opening the fifo would hang
    assert fault_of(Path("/dev/zero")).reason == "not a regular file (device)"


def test_a_missing_and_a_forbidden_file_say_so(tmp_path, monkeypatch):
    assert (fault_of(tmp_path / "gone.jpg").kind, fault_of(tmp_path / "gone.jpg").reason) == ("missing", "no such file")
    path = tmp_path / "closed.jpg"
    path.write_bytes(b"x")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, whom chmod does not stop
    assert (fault_of(path).kind, fault_of(path).reason) == ("permission", "no permission")


def test_a_fault_survives_the_way_between_processes():
    import pickle

    found = pickle.loads(pickle.dumps(DecodeFault("a.jpg", "truncated", "truncated")))
    assert found.fault == module.Fault("a.jpg", "truncated", "truncated")


def test_every_real_photograph_decodes_as_pillow_decodes_it(real_data):
    for path in sorted((real_data / "photos-hymenoptera" / "ants").iterdir())[:12]:
        with Image.open(path) as reference:
            assert_array_equal(pixels(path), np.asarray(reference))
            assert header(path).size == (reference.height, reference.width)


def photograph(size: tuple[int, int], orientation: int = 1) -> bytes:
    rows, columns = np.mgrid[: size[0], : size[1]]
    values = np.stack([rows * 200 / size[0], columns * 200 / size[1], 90 + 60 * np.sin(rows / 37 + columns / 53)], 2)
    exif = Image.Exif()
    exif[274] = orientation
    return encoded(Image.fromarray(values.astype(np.uint8)), "JPEG", quality=92, exif=exif)


@pytest.mark.parametrize("resize", ["squash", "crop", "letterbox"])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size_with_little_difference(orientation, resize):
    content, picture = photograph((603, 801), orientation), Picture(3, 48, 40, resize=resize)
    raster = decode(content, picture=picture)
    assert max(raster.pixels.shape) < 801 / 2
    assert raster.size == ((603, 801) if orientation < 5 else (801, 603))
    found, whole = fit(raster, picture).astype(int), fit(decode(content), picture).astype(int)
    assert abs(found - whole).max() <= 3  # an edge that lies an eighth of a pixel wrong would show
    assert_array_equal(found, decoded(content, picture))


@pytest.mark.parametrize("resize", ["squash", "crop", "letterbox"])
def test_a_jpeg_is_never_decoded_below_twice_what_the_resize_makes_of_it(resize):
    for side in (20, 37, 75, 76, 100, 150, 151, 300, 400):
        picture = Picture(3, side, side, resize=resize)
        raster = decode(photograph((603, 801)), picture=picture)
        if raster.pixels.shape[:2] != (603, 801):
            rows, columns = placement((603, 801), (side, side), resize).scaled
            assert raster.pixels.shape[0] >= 2 * rows
            assert raster.pixels.shape[1] >= 2 * columns
    assert raster.pixels.shape[:2] == (603, 801)


def test_real_photographs_lose_little_by_it(real_data):
    for path in sorted((real_data / "photos-hymenoptera" / "ants").iterdir())[:12]:
        picture = Picture(3, 48, 48, resize="crop")
        difference = abs(fit(decode(path), picture).astype(int) - decoded(path.read_bytes(), picture))
        assert difference.mean() < 1.5
        assert np.percentile(difference, 99) <= 6
