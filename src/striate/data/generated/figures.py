"""Figures drawn on a raster: what generated pictures show."""

import numpy as np
from jaxtyping import Bool, Float64

FIGURES = ("cross", "disc", "ring", "square", "triangle")


def covered(
    figure: str, x: Float64[np.ndarray, "*N 1 W"], y: Float64[np.ndarray, "*N H 1"]
) -> Bool[np.ndarray, "*N H W"]:
    """Whether a figure covers points.

    Args:
        figure: one of FIGURES.
        x: to the right of the figure's centre, in units of half its size.
        y: downwards from it, in the same.
    """
    radius = np.hypot(x, y)
    match figure:
        case "cross":
            return (np.minimum(abs(x), abs(y)) < 0.3) & (np.maximum(abs(x), abs(y)) < 1)
        case "disc":
            return radius < 1
        case "ring":
            return (radius < 1) & (radius > 0.6)
        case "square":
            return np.maximum(abs(x), abs(y)) < 0.85
        case "triangle":
            return (y < 0.8) & (y > -0.9) & (abs(x) < (y + 0.9) * 0.55)
    raise AssertionError(figure)


def raster(
    size: int, left: Float64[np.ndarray, " N"], top: Float64[np.ndarray, " N"], half: Float64[np.ndarray, " N"]
) -> tuple[Float64[np.ndarray, "N 1 size"], Float64[np.ndarray, "N size 1"]]:
    """X and y of the pixels' centres about figures at (left, top), each of which is 2 half large, all in pixels."""
    pixel = np.arange(size) + 0.5
    x = (pixel - left[:, None]) / half[:, None]
    y = (pixel - top[:, None]) / half[:, None]
    return x[:, None, :], y[:, :, None]
