"""One look at a picture: every file is read once, and what must be known of it is kept in a few hundred bytes."""

import hashlib
import io
import logging
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

import numpy as np
from PIL import ExifTags, Image, ImageFile

from striate.data.decode import DecodeFault, Fault, parse, unpack
from striate.data.doctor.kinds import LONG, TINY
from striate.data.doctor.layout import Lot
from striate.data.doctor.likeness import SIDE, averaging, hashes, small
from striate.data.formats import FORMAT_OF_SUFFIX
from striate.data.items import ArrayItems, content_digest

Progress = Callable[[int, int], None]
Trait = tuple[str, str]  # kind and text of a finding

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else it prints what we list

_PIECE = 1024  # pictures of an array at a time
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_GREY = ("1", "L", "LA", "La", *_DEEP)
_USUAL = (*_GREY, "RGB", "RGBA", "RGBa", "RGBX", "P", "PA")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is kept of a picture.

    Args:
        content: SHA-256 of the file, or of the array's picture.
        pixels: SHA-256 of what it decodes to; grey pictures stored as colour are the grey ones.
        size: (height, width) in pixels, upright.
        grey: whether it is stored without colour.
        traits: what is odd about it.
        code: its hash, see `likeness`.
        copy: 16x16 grey bytes.
    """

    content: bytes
    pixels: bytes
    size: tuple[int, int]
    grey: bool
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
            for found in _array(lot.items.array) if isinstance(lot.items, ArrayItems) else _files(lot):
                yield found
                done += 1
                if progress is not None and (done % step == 0 or done == total):
                    progress(done, total)


def _files(lot: Lot) -> Iterator[Facts | Fault]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # Pillow and hashlib let go of the interpreter
        try:
            yield from pool.map(partial(_file, lot), range(len(lot.names)))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _file(lot: Lot, row: int) -> Facts | Fault:
    name = lot.names[row]
    try:
        content = lot.items.content(row, name)
        if isinstance(content, np.ndarray):
            return next(_array(content[None]))
        return _look(content, name)
    except DecodeFault as error:
        return error.fault
    except MemoryError:
        return Fault(name, "too-large", "does not fit into memory")


def _look(content: bytes, name: str) -> Facts:
    opened = parse(io.BytesIO(content), name)
    grey, traits = opened.mode in _GREY, _traits_of_header(opened, name)
    orientation = _orientation(opened, asked_late=False)
    picture = unpack(opened, name)
    traits += _traits_of_frames(opened, orientation or _orientation(opened, asked_late=True))
    traits += _traits_of_size(picture.height, picture.width)
    pixels = np.asarray(picture)
    if _is_constant(pixels[::16, ::16]) and _is_constant(pixels):
        traits.append(("constant", ""))
    tight = picture.resize((SIDE, SIDE), Image.Resampling.BOX)
    x = np.asarray(tight.convert("L"), dtype=np.float32)[None]
    return Facts(
        content=content_digest(content),
        pixels=_digest(pixels),
        size=(picture.height, picture.width),
        grey=grey,
        traits=tuple(traits),
        code=int(hashes(x)[0]),
        copy=small(x).tobytes(),
    )


def _traits_of_header(opened: ImageFile.ImageFile, name: str) -> list[Trait]:
    """What is known before the pixels are, and some of it not any more after them."""
    traits = []
    if FORMAT_OF_SUFFIX.get(PurePosixPath(name).suffix.lower()) != opened.format:
        traits.append(("misnamed", f"is {opened.format}"))
    if opened.mode in _DEEP or ";16" in repr(opened.tile) or _deep_ppm(opened):
        traits.append(("sixteen-bit", "grey" if opened.mode in _DEEP else "colour"))
    if opened.mode not in _USUAL:
        traits.append(("colour-space", opened.mode))
    return traits


def _deep_ppm(opened: ImageFile.ImageFile) -> bool:
    arguments = opened.tile[0].args if opened.format == "PPM" and opened.tile else ()
    return isinstance(arguments, tuple) and any(isinstance(a, int) and a > 255 for a in arguments[-1:])


def _traits_of_frames(opened: ImageFile.ImageFile, orientation: int) -> list[Trait]:
    traits = []
    if orientation > 1:
        traits.append(("rotated", f"orientation {orientation}"))
    if _asked(lambda: _see_through(opened)):
        traits.append(("transparency", ""))
    if _asked(lambda: bool(getattr(opened, "is_animated", False))):
        traits.append(("animation", f"{opened.format}"))
    return traits


def _traits_of_size(height: int, width: int) -> list[Trait]:
    traits = []
    if min(height, width) < TINY:
        traits.append(("tiny-picture", f"{width}x{height}"))
    if max(height, width) > LONG * min(height, width):
        traits.append(("odd-aspect", f"{width}x{height}"))
    return traits


def _orientation(opened: ImageFile.ImageFile, *, asked_late: bool) -> int:
    """The EXIF orientation: a TIFF forgets it when it is decoded, a PNG may have it behind the pixels."""
    if not asked_late and opened.format == "PNG":
        return 0
    found = _asked(lambda: opened.getexif().get(ExifTags.Base.Orientation))
    return found if isinstance(found, int) and 1 < found <= 8 else 0


def _see_through(opened: ImageFile.ImageFile) -> bool:
    """Whether any pixel is not fully opaque."""
    if not opened.has_transparency_data:
        return False
    if opened.mode in _DEEP or opened.mode == "1":
        return True  # one grey is declared transparent, and laid on white
    alpha = opened.convert("LA" if opened.mode in _GREY else "RGBA").getchannel("A")
    return alpha.getextrema()[0] < 255  # type: ignore[operator]


def _asked(question: Callable[[], object]) -> object:
    """An answer about hostile bytes: whatever goes wrong is None."""
    try:
        return question()
    except Exception:
        return None


def _digest(pixels: np.ndarray) -> bytes:
    if pixels.ndim == 3 and _is_grey(pixels[::16, ::16]) and _is_grey(pixels):
        pixels = np.ascontiguousarray(pixels[..., 0])
    running = hashlib.sha256(repr(pixels.shape).encode())
    running.update(pixels.data)
    return running.digest()


def _is_constant(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels[0, 0]).all())


def _is_grey(pixels: np.ndarray) -> bool:
    return bool((pixels == pixels[..., :1]).all())


def _array(array: np.ndarray) -> Iterator[Facts]:
    """Pictures N H W or N H W C, a thousand at a time."""
    N, H, W = array.shape[:3]
    rows, columns = averaging(H), averaging(W)
    grey = math.prod(array.shape[3:]) == 1
    of_size = tuple(_traits_of_size(H, W))
    for start in range(0, N, _PIECE):
        part = array[start : start + _PIECE]
        flat = part.reshape(len(part), -1, 1 if grey else part.shape[3])
        constant = (flat == flat[:, :1]).all((1, 2)).tolist()
        x = rows @ _luma(part.reshape(len(part), H, W, -1)) @ columns.T
        for picture, code, copy, same in zip(part, hashes(x).tolist(), small(x), constant, strict=True):
            digest = content_digest(picture)
            traits = (("constant", ""), *of_size) if same else of_size
            yield Facts(digest, digest, (H, W), grey, traits, code, copy.tobytes())


def _luma(pixels: np.ndarray) -> np.ndarray:
    if pixels.shape[3] == 1:
        return pixels[..., 0].astype(np.float32)
    weights = (0.299, 0.587, 0.114) if pixels.shape[3] == 3 else (1 / pixels.shape[3],) * pixels.shape[3]
    return pixels.astype(np.float32) @ np.array(weights, dtype=np.float32)
