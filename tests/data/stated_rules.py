"""From stored pixels to a picture by the rules of docs/pixels.md, written without a look at the program: NumPy only.

Pillow's filter is written out too: 8 bits in fixed point of 22 bits, rounded after each of its two passes; floating
point with sums in double precision, stored in single after each pass.
"""

from fractions import Fraction
from math import floor

import numpy as np

WHITE = {"uint8": 255, "uint16": 65_535, "float32": 1}


def expected(stored, *, alpha, bands, channels, size, kind, resize, order=(1, 0)):
    """The picture, C h w, or None where it must be refused.

    stored: H W C; alpha: the last channel is; bands: it is an array, of which only the number of channels is known;
    order: of the filter's passes, 1 along a row, 0 along a column: Pillow's choice, by what is cheaper.
    """
    pixels = in_kind(stored, kind)
    pixels = None if pixels is None else in_channels(pixels, alpha, bands, channels)
    return None if pixels is None else in_size(pixels, size, resize, order).transpose(2, 0, 1)


def in_kind(v, kind):
    if v.dtype.kind == "f":
        return v.astype(np.float32) if kind == "float32" else None
    if v.dtype == kind:
        return v
    if kind == "float32":
        return v.astype(np.float32) / np.float32(WHITE[v.dtype.name])
    wide = v.astype(object)
    return (wide * 257 if kind == "uint16" else (2 * wide + 257) // 514).astype(kind)


def in_channels(v, alpha, bands, channels):
    found = v.shape[2]
    white = WHITE[v.dtype.name]
    if alpha and channels in (1, 3):
        return in_channels(laid_on_white(v[..., :-1], v[..., -1:], white), False, False, channels)
    if alpha and channels in (2, 4):
        return np.concatenate([in_channels(v[..., :-1], False, False, channels - 1), v[..., -1:]], axis=2)
    if found == channels:
        return v
    if (found, channels) == (1, 3):
        return np.concatenate([v, v, v], axis=2)
    if (found, channels) == (3, 1):
        if v.dtype.kind == "f":
            r, g, b = (v[..., i].astype(np.float64) for i in range(3))
            return ((19_595 * r + 38_470 * g + 7_471 * b) / 65_536).astype(np.float32)[..., None]
        r, g, b = (v[..., i].astype(object) for i in range(3))
        return ((19_595 * r + 38_470 * g + 7_471 * b + 32_768) // 65_536).astype(v.dtype)[..., None]
    if not bands and channels in (2, 4):
        colour = in_channels(v, False, False, channels - 1)
        return np.concatenate([colour, np.full((*v.shape[:2], 1), white, v.dtype)], axis=2)
    return None


def laid_on_white(v, a, w):
    if v.dtype.kind == "f":
        return v * a + (1 - a)
    v, a, kind = v.astype(object), a.astype(object), v.dtype
    return ((2 * (v * a + w * (w - a)) + w) // (2 * w)).astype(kind)


def in_size(v, size, resize, order):
    (H, W), (h, w) = v.shape[:2], size
    if resize == "squash":
        return filtered(v, size, (0, 0), (H, W), order)
    if resize == "crop":
        scale = min(Fraction(H, h), Fraction(W, w))
        part = half_up(h * scale), half_up(w * scale)
        return filtered(v, size, ((H - part[0]) // 2, (W - part[1]) // 2), part, order)
    scale = min(Fraction(h, H), Fraction(w, W))
    rows, columns = half_up(H * scale), half_up(W * scale)
    top, left = (h - rows) // 2, (w - columns) // 2
    framed = np.zeros((h, w, v.shape[2]), v.dtype)
    framed[top : top + rows, left : left + columns] = filtered(v, (rows, columns), (0, 0), (H, W), order)
    return framed


def half_up(number):
    return max(1, floor(number + Fraction(1, 2)))


def filtered(v, size, corner, part, order):
    found = v.astype(np.float32) if v.dtype == np.uint16 else v
    for axis in order:
        found = one_pass(found, axis, size[axis], corner[axis], part[axis])
    return np.rint(found).clip(0, 65_535).astype(np.uint16) if v.dtype == np.uint16 else found


def one_pass(v, axis, length, start, share):
    if length == share == v.shape[axis]:
        return v
    scale = share / length
    reach = max(scale, 1.0)
    lines = np.moveaxis(v, axis, 0)
    out = []
    for i in range(length):
        centre = start + (i + 0.5) * scale
        first, last = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), len(lines))
        weights = [max(0.0, 1 - abs((j - centre + 0.5) / reach)) for j in range(first, last)]
        total = 0.0
        for weight in weights:
            total += weight
        weights = [weight / total for weight in weights]
        if v.dtype == np.uint8:
            fixed = [int(0.5 + weight * 2**22) for weight in weights]
            value = sum(lines[j].astype(np.int64) * k for j, k in zip(range(first, last), fixed, strict=True))
            out.append(((value + 2**21) >> 22).clip(0, 255).astype(np.uint8))
        else:
            value = np.zeros(lines.shape[1:])
            for j, weight in zip(range(first, last), weights, strict=True):
                value += lines[j].astype(np.float64) * weight
            out.append(value.astype(np.float32))
    return np.moveaxis(np.stack(out), 0, axis)
