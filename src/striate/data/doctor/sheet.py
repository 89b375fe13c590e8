"""A sheet of pictures with a line of text under each, as one picture; and sheets as files."""

import io
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from striate.base.errors import ConfigError
from striate.base.files import make_folder, resource_errors, write
from striate.base.marks import UNKNOWN, shown
from striate.data.decode import DecodeFault
from striate.data.doctor.layout import UNUSED, Layout, Lot
from striate.data.doctor.visible import as_image, raster_of, seen
from striate.data.items import Content

MOST = 48  # pictures on the sheet of a class
CELL = 112  # pixels: the least and, on the sheet of a class, the longest side of a picture as shown
LINE = 14  # pixels of height for the text
GAP = 8  # pixels
SOFTWARE = "Striate"  # the mark of our own files: only those are replaced

Shown = UInt8[np.ndarray, "_ _ _"]  # C H W, each picture its own


def sheet(images: Sequence[Shown], titles: Sequence[str], columns: int | None = None) -> Image.Image:
    """Lay pictures out in rows, each with its title below.

    Args:
        images: uint8, of 1 or 3 channels, of any sizes; small ones are shown enlarged by a whole number, others as
            they are.
        titles: a line for each.
        columns: how many stand in a row; None makes the sheet about one and a half times as wide as high.

    Raises:
        ConfigError: a picture has neither 1 nor 3 channels.
    """
    assert len(images) == len(titles)
    assert len(images) > 0
    tiles = [_enlarged(image) for image in images]
    wide, high = (max(CELL, *(tile.size[axis] for tile in tiles)) for axis in (0, 1))
    columns = min(len(tiles), columns or math.ceil(math.sqrt(len(tiles) * 1.5)))
    rows = math.ceil(len(tiles) / columns)
    whole = Image.new("RGB", (GAP + columns * (wide + GAP), GAP + rows * (high + LINE + GAP)), "white")
    draw, font = ImageDraw.Draw(whole), ImageFont.load_default(11)
    for i, (tile, title) in enumerate(zip(tiles, titles, strict=True)):
        x, y = GAP + i % columns * (wide + GAP), GAP + i // columns * (high + LINE + GAP)
        whole.paste(tile, (x + (wide - tile.width) // 2, y + (high - tile.height) // 2))
        draw.text((x, y + high + 1), _fitted(title, wide, font), fill="black", font=font)
    return whole


def _enlarged(image: Shown) -> Image.Image:
    if len(image) not in (1, 3):
        fix = "show its channels one by one"
        raise ConfigError("sheet", "a picture", "of 1 or 3 channels", got=len(image), fix=fix)
    tile = Image.fromarray(np.ascontiguousarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)))
    times = max(1, CELL // max(tile.size))
    return tile.resize((tile.width * times, tile.height * times), Image.Resampling.NEAREST)


def _fitted(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    text = shown(text).replace("\n", UNKNOWN)[:200]
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


def check_png(command: str, option: str, path: Path) -> None:
    """Refuse early a file that could not be written, or one that is not ours.

    Raises:
        ConfigError: another ending, no such folder, or something else stands there.
    """
    if path.suffix.lower() != ".png":
        raise ConfigError(command, option, "a file that ends in .png", got=repr(str(path)), fix="for example sheet.png")
    if not path.parent.is_dir():
        raise ConfigError(command, option, "in a folder that exists", got=path, fix=f"make {path.parent} first")
    if path.exists() and not _is_ours(path):
        must, fix = "a new file, or a sheet written before", "choose another name, or remove that file"
        raise ConfigError(command, option, must, got=f"{path}, which is something else", fix=fix)


def save_sheet(whole: Image.Image, path: Path) -> None:
    """Write a sheet as PNG, whole or not at all.

    Raises:
        ResourceError: it cannot be written.
    """
    mark = PngImagePlugin.PngInfo()
    mark.add_text("Software", SOFTWARE)
    stream = io.BytesIO()
    whole.save(stream, "PNG", pnginfo=mark)
    write(path, stream.getvalue())


def _is_ours(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b"tEXtSoftware\0" + SOFTWARE.encode() in file.read(256)


def class_sheets(layout: Layout, folder: Path) -> list[Path]:
    """Write a sheet of each class, at most 48 pictures evenly from all of it; returns the files in class order.

    The chosen pictures are read again: to keep all that might be chosen would need memory for each class.

    Raises:
        ConfigError: the folder is the data's own, or a file of another origin stands there.
        ResourceError: the folder cannot be written.
    """
    check_sheets(layout.location, folder)
    by_class: dict[str, list[tuple[Lot, int]]] = defaultdict(list)
    for lot in layout.lots:
        for row, label in enumerate(lot.labels if lot.split != UNUSED else ()):
            by_class[label].append((lot, row))
    make_folder(folder)
    written = []
    for number, (label, places) in enumerate(sorted(by_class.items())):
        path = folder / f"{number:03d}-{safe(label)}.png"
        check_png("data check", "--sheets", path)
        chosen = [places[i] for i in np.linspace(0, len(places) - 1, min(MOST, len(places))).astype(int)]
        save_sheet(sheet(*_thumbnails(chosen)), path)
        written.append(path)
    return written


def check_sheets(location: str, folder: Path) -> None:
    """Refuse early a folder for sheets that cannot be one.

    Raises:
        ConfigError: it lies within the data, or is a file.
    """
    root = Path(location) if Path(location).is_dir() else Path(location).parent
    if folder.resolve().is_relative_to(root.resolve()) and Path(location).exists():
        fix = "choose a folder elsewhere"
        raise ConfigError("data check", "--sheets", f"outside the data, {root}", got=folder, fix=fix)
    with resource_errors(folder, 0):
        if folder.exists() and not folder.is_dir():
            raise ConfigError("data check", "--sheets", "a folder", got=f"the file {folder}", fix="choose another name")


def safe(name: str) -> str:
    """A class name as part of a file name.

    >>> safe("../a b")
    '.._a_b'
    """
    return re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[:60]


def _thumbnails(chosen: Sequence[tuple[Lot, int]]) -> tuple[list[np.ndarray], list[str]]:
    images, titles = [], []
    for lot, row in chosen:
        name = lot.names[row]
        try:
            image = thumbnail(lot.items.content(row, name), name)
            title = name.rsplit("/", 1)[-1]
        except DecodeFault as error:
            image, title = NO_PICTURE, error.reason
        images.append(image)
        titles.append(title)
    return images, titles


def thumbnail(content: Content, name: str) -> np.ndarray:
    """A small picture (C, H, W) of at most CELL pixels a side in its own proportions.

    Raises:
        DecodeFault: it cannot be read.
    """
    image = as_image(seen(raster_of(content, name)))
    image.thumbnail((CELL, CELL), Image.Resampling.BOX)
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _crossed_out() -> np.ndarray:
    cross = np.full((1, CELL, CELL), 200, dtype=np.uint8)
    along = np.arange(CELL)
    cross[0, along, along] = cross[0, along, along[::-1]] = 120
    return cross


NO_PICTURE = _crossed_out()  # stands where a file could not be read
