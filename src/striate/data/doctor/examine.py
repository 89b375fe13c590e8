"""One look at a picture: every file is read once, and what must be known of it is kept in a few hundred bytes."""

import hashlib
import io
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath

import numpy as np
from PIL import ExifTags, Image, ImageFile

from striate.base.errors import DataError
from striate.data.decode import DecodeFault, Fault, Header, header_of, parse, unpack
from striate.data.doctor.kinds import LONG, TINY
from striate.data.doctor.layout import Lot
from striate.data.doctor.likeness import SIDE, averaging, hashes, small
from striate.data.doctor.visible import as_image, seen
from striate.data.formats import FORMAT_OF_SUFFIX
from striate.data.items import ArrayItems, content_digest
from striate.data.kinds import WHITE, Kind, kind_of
from striate.data.raster import Raster, to_kind
from striate.data.reading import ordered

Progress = Callable[[int, int], None]
Trait = tuple[str, str]  # kind and text of a finding

for _name in ("PIL", "tifffile"):  # else they print what we list
    logging.getLogger(_name).addHandler(logging.NullHandler())

_PIECE = 1024  # pictures of an array at a time
_USUAL = ("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N", "RGB", "RGBA", "RGBa", "RGBX", "P", "PA")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is kept of a picture.

    Args:
        content: SHA-256 of the file, or of the array's picture.
        pixels: SHA-256 of what it decodes to; grey stored as colour is the grey picture, bytes stored with 16 bits are
            the bytes.
        size: (height, width) in pixels, upright.
        channels: 1 grey, 3 colour, or bands; alpha not counted.
        kind: what its numbers are.
        traits: what is odd about it.
        code: its hash, see `likeness`.
        copy: 16x16 grey bytes.
    """

    content: bytes
    pixels: bytes
    size: tuple[int, int]
    channels: int
    kind: Kind
    traits: tuple[Trait, ...]
    code: int
    copy: bytes

    @property
    def constant(self) -> bool:
        """Whether every pixel is the same."""
        return ("constant", "") in self.traits


def examine(lots: Sequence[Lot], progress: Progress | None = None) -> Iterator[Facts | Fault]:
    """Look at all pictures of all lots, in order, on all cores."""
    total, done = sum(len(lot.names) for lot in lots), 0
    step = max(1, total // 1000)  # to tell of each of 60,000 would take longer than to look at it
    with warnings.catch_warnings():  # Pillow warns of what we list; for all threads, so set here and not in each
        warnings.simplefilter("ignore")
        for lot in lots:
            for found in (
                _array(lot.items.array)
                if isinstance(lot.items, ArrayItems)
                else ordered(partial(_file, lot), len(lot.names))
            ):
                yield found
                done += 1
                if progress is not None and (done % step == 0 or done == total):
                    progress(done, total)


def _file(lot: Lot, row: int) -> Facts | Fault:
    name = lot.names[row]
    try:
        content = lot.items.content(row, name)
        if isinstance(content, np.ndarray):
            return next(_array(content[None]))
        if isinstance(content, Raster):
            return _facts(content_digest(content), content, [])
        return _look(content, name)
    except DecodeFault as error:
        return error.fault
    except DataError as error:
        return Fault(name, "pixels", f"{error.what} must be {error.must}, got {error.got}")
    except MemoryError:
        return Fault(name, "too-large", "does not fit into memory")


def _look(content: bytes, name: str) -> Facts:
    stream = io.BytesIO(content)
    found = parse(stream, name)
    stated = header_of(found, stream, name)
    traits = _traits_of_header(found, stated, name)
    early = _orientation(found, late=False)
    raster = unpack(found, content, name)
    traits += _traits_of_frames(found, raster, early or _orientation(found, late=True))
    return replace(_facts(content_digest(content), raster, traits), channels=stated.channels, kind=stated.kind)


def _facts(digest: bytes, raster: Raster, traits: list[Trait]) -> Facts:
    pixels = seen(raster)
    kind = kind_of(pixels.dtype) or "uint8"
    to_kind(pixels, kind)  # refuses numbers that are not finite
    traits += _traits_of_size(*raster.size)
    if _is_constant(pixels[::16, ::16]) and _is_constant(pixels):
        traits.append(("constant", ""))
    x = np.asarray(as_image(pixels).resize((SIDE, SIDE), Image.Resampling.BOX).convert("L"), dtype=np.float32)[None]
    return Facts(
        content=digest,
        pixels=_digest(pixels),
        size=raster.size,
        channels=pixels.shape[2],
        kind=kind,
        traits=tuple(traits),
        code=int(hashes(x)[0]),
        copy=small(x).tobytes(),
    )


def _traits_of_header(found: ImageFile.ImageFile | str, stated: Header, name: str) -> list[Trait]:
    """What is known before the pixels are."""
    traits = []
    if FORMAT_OF_SUFFIX.get(PurePosixPath(name).suffix.lower()) != stated.format:
        traits.append(("misnamed", f"is {stated.format}"))
    if isinstance(found, ImageFile.ImageFile) and found.mode not in _USUAL:
        traits.append(("colour-space", found.mode))
    return traits


def _traits_of_frames(found: ImageFile.ImageFile | str, raster: Raster, orientation: int) -> list[Trait]:
    traits = []
    if orientation > 1:
        traits.append(("rotated", f"orientation {orientation}"))
    if raster.layers == "alpha" and raster.pixels[..., -1].min() < WHITE[kind_of(raster.pixels.dtype) or "uint8"]:
        traits.append(("transparency", ""))
    if isinstance(found, ImageFile.ImageFile) and _asked(lambda: bool(getattr(found, "is_animated", False))):
        traits.append(("animation", f"{found.format}"))
    return traits


def _traits_of_size(height: int, width: int) -> list[Trait]:
    traits = []
    if min(height, width) < TINY:
        traits.append(("tiny-picture", f"{width}x{height}"))
    if max(height, width) > LONG * min(height, width):
        traits.append(("odd-aspect", f"{width}x{height}"))
    return traits


def _orientation(found: ImageFile.ImageFile | str, *, late: bool) -> int:
    """The EXIF orientation: a TIFF forgets it when it is decoded, a PNG may have it behind the pixels."""
    if isinstance(found, str) or (found.format == "PNG" and not late):
        return 0
    turn = _asked(lambda: found.getexif().get(ExifTags.Base.Orientation))
    return turn if isinstance(turn, int) and 1 < turn <= 8 else 0


def _asked(question: Callable[[], object]) -> object:
    """An answer about hostile bytes: whatever goes wrong is None."""
    try:
        return question()
    except Exception:
        return None


def _digest(pixels: np.ndarray) -> bytes:
    if pixels.shape[2] == 3 and _is_grey(pixels[::16, ::16]) and _is_grey(pixels):
        pixels = pixels[..., :1]
    if pixels.dtype == np.uint16 and not (pixels % 257).any():
        pixels = (pixels // 257).astype(np.uint8)
    running = hashlib.sha256(repr((pixels.dtype.name, pixels.shape)).encode())
    running.update(np.ascontiguousarray(pixels).data)
    return running.digest()


def _is_constant(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels[0, 0]).all())


def _is_grey(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels[..., :1]).all())


def _array(array: np.ndarray) -> Iterator[Facts]:
    """Pictures N H W or N H W C, a thousand at a time."""
    N, H, W = array.shape[:3]
    rows, columns = averaging(H), averaging(W)
    channels, kind = math.prod(array.shape[3:]), kind_of(array.dtype) or "uint8"
    of_size = tuple(_traits_of_size(H, W))
    for start in range(0, N, _PIECE):
        part = array[start : start + _PIECE]
        flat = part.reshape(len(part), -1, channels)
        constant = (flat == flat[:, :1]).all((1, 2)).tolist()
        x = _in_bytes(rows @ _luma(part.reshape(len(part), H, W, -1)) @ columns.T, kind)
        for picture, code, copy, same in zip(part, hashes(x).tolist(), small(x), constant, strict=True):
            digest = content_digest(picture)
            traits = (("constant", ""), *of_size) if same else of_size
            yield Facts(digest, digest, (H, W), channels, kind, traits, code, copy.tobytes())


def _in_bytes(x: np.ndarray, kind: Kind) -> np.ndarray:
    """Grey N H W on the scale of bytes; floating point from each picture's least to its greatest."""
    if kind == "float32":
        low, high = x.min((1, 2), keepdims=True), x.max((1, 2), keepdims=True)
        return (x - low) * (255 / np.maximum(high - low, np.float32(1e-30)))
    return x if kind == "uint8" else x / np.float32(257)


def _luma(pixels: np.ndarray) -> np.ndarray:
    if pixels.shape[3] == 1:
        return pixels[..., 0].astype(np.float32)
    weights = (0.299, 0.587, 0.114) if pixels.shape[3] == 3 else (1 / pixels.shape[3],) * pixels.shape[3]
    return pixels.astype(np.float32) @ np.array(weights, dtype=np.float32)
