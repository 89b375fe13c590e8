"""Every odd kind of picture with what it holds: pixels H W C, whether the last is alpha, whether all are bands."""

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import tifffile
from PIL import Image, ImageCms

RNG = np.random.default_rng(0)
H, W = 21, 34
GREY, RGB, RGBA = (RNG.integers(0, 256, shape, dtype=np.uint8) for shape in ((H, W), (H, W, 3), (H, W, 4)))
DEEP = RNG.integers(0, 65_536, (H, W, 5), dtype=np.uint16)
FLOATS = RNG.normal(size=(H, W, 3)).astype(np.float32)
TURNS = {  # EXIF 2.3, tag 274: what brings the stored picture upright
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@dataclass(frozen=True)
class Odd:
    name: str
    content: bytes
    stored: np.ndarray
    alpha: bool = False
    bands: bool = False


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, kind, **options)
    return stream.getvalue()


def as_pillow(content, mode="RGB"):
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert(mode))


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def tiff(array, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def deep_png(array, extra=b""):
    """16 bits a channel, which Pillow does not write; every row is coded as the difference from the one above."""
    height, width, channels = array.shape
    rows = array.astype(">u2").reshape(height, -1).view(np.uint8).astype(np.int64)
    coded = np.diff(rows, axis=0, prepend=0) % 256
    packed = b"".join(b"\2" + row.astype(np.uint8).tobytes() for row in coded)
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def palette():
    image = Image.fromarray(GREY % 4)
    image.putpalette([255, 0, 0, 0, 255, 0, 1, 2, 3, 90, 80, 70])
    alphas = bytes([255, 0, 51, 200])
    colours = np.array([[255, 0, 0], [0, 255, 0], [1, 2, 3], [90, 80, 70]], dtype=np.uint8)[GREY % 4]
    return encoded(image, transparency=alphas), np.dstack([colours, np.frombuffer(alphas, np.uint8)[GREY % 4]])


def animated(kind):
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    return content, as_pillow(content)


def odd_pictures():
    """All of them, by a name that ends as such files do."""
    cmyk = encoded(Image.fromarray(RGB).convert("CMYK"), "JPEG", quality=95)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    indexed, colours = palette()
    gif, first = animated("GIF")
    webp, _ = animated("WEBP")
    clear = np.where((DEEP[..., :3] == DEEP[0, 0, :3]).all(2), 0, 65_535).astype(np.uint16)
    keyed = chunk(b"tRNS", struct.pack(">3H", *map(int, DEEP[0, 0, :3])))
    found = [
        Odd("grey.png", encoded(GREY), GREY[..., None]),
        Odd("grey-alpha.png", encoded(RGBA[..., :2]), RGBA[..., :2], alpha=True),
        Odd("palette.png", indexed, colours, alpha=True),
        Odd("rgb.png", encoded(RGB), RGB),
        Odd("rgba.png", encoded(RGBA), RGBA, alpha=True),
        Odd("cmyk.jpg", cmyk, as_pillow(cmyk)),
        Odd("bits.png", encoded(Image.fromarray(GREY > 127)), np.where(GREY > 127, 255, 0).astype(np.uint8)[..., None]),
        Odd("grey16.png", encoded(DEEP[..., 0]), DEEP[..., :1]),
        Odd("grey16.tif", tiff(DEEP[..., 0]), DEEP[..., :1]),
        Odd("grey-alpha16.png", deep_png(DEEP[..., :2]), DEEP[..., :2], alpha=True),
        Odd("rgb16.png", deep_png(DEEP[..., :3]), DEEP[..., :3]),
        Odd("rgb16-key.png", deep_png(DEEP[..., :3], keyed), np.dstack([DEEP[..., :3], clear]), alpha=True),
        Odd("rgba16.png", deep_png(DEEP[..., :4]), DEEP[..., :4], alpha=True),
        Odd("rgb16.tif", tiff(DEEP[..., :3], photometric="rgb"), DEEP[..., :3]),
        Odd("rgb16-big.tif", tiff(DEEP[..., :3], photometric="rgb", byteorder=">"), DEEP[..., :3]),
        Odd("float.tif", encoded(FLOATS[..., 0], "TIFF"), FLOATS[..., :1]),
        Odd("float3.tif", tiff(FLOATS, photometric="rgb"), FLOATS, bands=True),
        Odd("five.tif", tiff(DEEP, photometric="minisblack", planarconfig="contig"), DEEP, bands=True),
        Odd("five.npy", npy(DEEP), DEEP, bands=True),
        Odd("four.npy", npy(RGBA), RGBA, bands=True),
        Odd("half.npy", npy(FLOATS[..., 0].astype(np.float16)), FLOATS[..., :1].astype(np.float16), bands=True),
        Odd("columns.npy", npy(np.asfortranarray(RGB)), RGB, bands=True),
        Odd("animated.gif", gif, first),
        Odd("animated.webp", webp, RGB),
        Odd("one.png", encoded(RGB[:1, :1]), RGB[:1, :1]),
        Odd("profile.png", encoded(RGB, icc_profile=profile), RGB),
    ]
    for number, turn in TURNS.items():
        exif = Image.Exif()
        exif[0x0112] = number
        found.append(Odd(f"exif{number}.png", encoded(RGB, exif=exif), np.ascontiguousarray(turn(RGB))))
    return found
