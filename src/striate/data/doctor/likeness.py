"""Which pictures look alike: a hash of the coarse shape, and a small copy to confirm.

    x: the picture in grey, averaged down to 32x32        c = D x D^T, D: the first 8 rows of the 32-point DCT-II
    bit k of the hash = c_k > median of c without c_0     k = 1 ... 63; bit 0 is 0

so neither brightness nor contrast matters (C. Zauner, "Implementation and benchmarking of perceptual image hash
functions", 2010).  Two hashes at most DISTANCE bits apart are candidates.  They are found without comparing all pairs:
cut into BLOCKS blocks, such hashes agree in BLOCKS - DISTANCE of them, so for every choice of that many blocks the
hashes are sorted by them and only neighbours are compared (Manku, Jain and Das Sarma, "Detecting near-duplicates for
web crawling", WWW 2007).  A candidate counts if the 16x16 copies correlate by at least CORRELATION.
"""

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt8, UInt64

SIDE = 32  # pixels of the averaged picture
SMALL = 16  # pixels of the copy that confirms
DISTANCE = 4  # bits
BLOCKS = 7
NEIGHBOURS = 64  # compared with each hash in one sorted order: many close hashes must not become all pairs
EQUALS = 16  # pictures of the same hash that each is compared with; of other hashes' pictures, the first
CORRELATION = 0.98
FINE = 64  # pixels: pictures with a shorter side have little more than a coarse shape, so
CORRELATION_OF_SMALL = 0.995  # is asked of them: else every second 1 would be a copy of another

Grey = Float32[np.ndarray, "N 32 32"]
Hashes = UInt64[np.ndarray, " N"]
Small = UInt8[np.ndarray, "N 16 16"]
Pairs = Int64[np.ndarray, "P 2"]

_k, _n = np.mgrid[:8, :SIDE]
_NONE = np.empty((0, 2), dtype=np.int64)
_DCT = np.cos(np.pi * (2 * _n + 1) * _k / (2 * SIDE)).astype(np.float32)


def averaging(length: int) -> Float32[np.ndarray, "32 n"]:
    """The matrix that averages `length` pixels to 32, each by its share in a cell."""
    edges = np.arange(SIDE + 1) * (length / SIDE)
    pixel = np.arange(length)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    return (np.maximum(overlap, 0) * (SIDE / length)).astype(np.float32)


def hashes(x: Grey) -> Hashes:
    """The 64-bit hash of each averaged picture."""
    c = (_DCT @ x @ _DCT.T).reshape(len(x), 64)
    bits = c > np.median(c[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def small(x: Grey) -> Small:
    """The copies that confirm."""
    return (x.reshape(len(x), SMALL, 2, SMALL, 2).mean((2, 4)) + 0.5).astype(np.uint8)


def alike(codes: Hashes, copies: Small, shorter: Int64[np.ndarray, " N"]) -> Pairs:
    """Pairs of positions whose pictures look alike, the smaller first, each once.

    Args:
        codes: the hashes.
        copies: the pictures that confirm.
        shorter: the shorter side of each original in pixels.
    """
    both = np.sort(np.concatenate([_NONE[:, 0], *_candidates(codes)]))
    both = both[np.diff(both, prepend=-1) > 0]  # each pair once; np.unique takes eight times as long
    pairs = np.stack(np.divmod(both, max(1, len(codes))), axis=1)
    least = np.where(shorter < FINE, CORRELATION_OF_SMALL, CORRELATION)
    found = [part[_correlation(copies, part) >= least[part].max(1)] for part in _pieces(pairs)]
    return np.concatenate([_NONE, *found])


def _candidates(codes: Hashes) -> Iterator[Int64[np.ndarray, " P"]]:
    """Pairs i < j as i N + j: one number sorts faster than two."""
    order = np.argsort(codes, kind="stable")
    for step in range(1, EQUALS + 1):
        a, b = order[:-step], order[step:]
        yield _as_numbers(a, b, codes[a] == codes[b], len(codes))
    first = order[np.diff(codes[order].view(np.int64), prepend=-1) != 0]  # the first of each; none is -1, all bits set
    edges = np.linspace(0, 64, BLOCKS + 1).astype(int)
    masks = [(1 << int(b)) - (1 << int(a)) for a, b in pairwise(edges)]
    for chosen in combinations(masks, BLOCKS - DISTANCE):
        yield from _neighbours(codes, first, np.uint64(sum(chosen)))


def _neighbours(codes: Hashes, rows: Int64[np.ndarray, " M"], mask: np.uint64) -> Iterator[Int64[np.ndarray, " P"]]:
    """Of these rows, the pairs that agree in the mask and lie close in the order by it."""
    key = codes[rows] & mask
    order = np.argsort(key, kind="stable")
    rows, key = rows[order], key[order]
    for step in range(1, NEIGHBOURS + 1):
        a, b, agree = rows[:-step], rows[step:], key[:-step] == key[step:]
        if not agree.any():
            break
        at = agree.nonzero()[0]
        a, b = a[at], b[at]
        yield _as_numbers(a, b, np.bitwise_count(codes[a] ^ codes[b]) <= DISTANCE, len(codes))


def _as_numbers(
    a: Int64[np.ndarray, " P"], b: Int64[np.ndarray, " P"], which: Bool[np.ndarray, " P"], count: int
) -> Int64[np.ndarray, " Q"]:
    a, b = a[which], b[which]
    return np.minimum(a, b) * count + np.maximum(a, b)


def _pieces(pairs: Pairs, piece: int = 65_536) -> Iterator[Pairs]:
    for start in range(0, len(pairs), piece):
        yield pairs[start : start + piece]


def _correlation(copies: Small, pairs: Pairs) -> Float32[np.ndarray, " P"]:
    """Of the two copies of each pair; 0 where one has no contrast."""
    x, y = (copies[pairs[:, i]].reshape(len(pairs), -1).astype(np.float32) for i in (0, 1))
    x -= x.mean(1, keepdims=True)
    y -= y.mean(1, keepdims=True)
    scale = np.sqrt(np.einsum("ij,ij->i", x, x) * np.einsum("ij,ij->i", y, y))
    return np.einsum("ij,ij->i", x, y) / np.maximum(scale, np.float32(1e-3))
