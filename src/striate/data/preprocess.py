"""From whole bytes to what the network reads, the same in training, prediction and serving.

    input = (v / 255 - mean) / std        v: the byte, 0 in the border; mean, std: per channel

computed as (v - 255 mean) * (1 / (255 std)) in float32: two roundings, each its own operation, so neither the place
in a batch nor the size of the batch can change a bit.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from striate.base.errors import ConfigError
from striate.data.picture import Picture

LARGEST_NUMBER = 1e6
SMALLEST_STD = 1e-6  # a hundredth of the least that a different byte among 10^8 makes


@dataclass(frozen=True, slots=True)
class Preprocess:
    """What a network was trained to expect of its input.

    Args:
        picture: size, channels and border.
        mean: per channel, of pixels in [0, 1].
        std: per channel, > 0, of pixels in [0, 1].
    """

    picture: Picture
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        for what, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.picture.channels or not all(map(math.isfinite, values)):
                must = f"{self.picture.channels} finite numbers, one a channel"
                raise ConfigError("Preprocess", what, must, got=values, fix="measure it with mean_std")
        if min(self.std) < SMALLEST_STD:
            raise ConfigError(
                "Preprocess", "std", f">= {SMALLEST_STD}", got=self.std, fix="1.0 leaves a constant channel alone"
            )

    def to_input(self, images: UInt8[Tensor, "B C h w"]) -> Float32[Tensor, "B C H W"]:
        """Add the border, then normalise.

        Args:
            images: uint8, of the picture's size, on any device.

        Returns:
            float32 (B, C, h + 2 pad, w + 2 pad), channels last in memory.
        """
        B, C, h, w = images.shape
        assert (C, h, w) == self.picture.shape, f"{(C, h, w)} is not the picture's {self.picture.shape}"
        p = self.picture.pad
        shape = (B, C, h + 2 * p, w + 2 * p)
        x = torch.empty(shape, device=images.device, memory_format=torch.channels_last)
        if p:
            x.zero_()
        x[:, :, p : p + h, p : p + w].copy_(images)  # the one conversion; exact
        self._normalise(x)
        return x

    def _normalise(self, x: Float32[Tensor, "B C H W"]) -> None:
        if len(self.mean) == 1:
            x.sub_(255 * self.mean[0]).mul_(1 / (255 * self.std[0]))
            return
        # In memory a row is W times C numbers: one long row vectorises where C numbers at a time would not.
        rows = x.permute(0, 2, 3, 1).flatten(2)  # B H WC, a view
        width = x.shape[3]
        mean, std = (np.tile(values, width) for values in (self.mean, self.std))  # WC
        rows.sub_(torch.from_numpy((255 * mean).astype(np.float32)).to(x.device))
        rows.mul_(torch.from_numpy((1 / (255 * std)).astype(np.float32)).to(x.device))

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for a JSON file; `from_dict` takes them back."""
        p = self.picture
        picture = {"channels": p.channels, "height": p.height, "width": p.width, "pad": p.pad}
        return {"picture": picture, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any]) -> "Preprocess":
        """Read what `as_dict` wrote.

        Raises:
            ConfigError: a key is missing or unknown, or a value is not a number of the right kind.
        """
        _check_keys("preprocess", entries, ("picture", "mean", "std"))
        picture = entries["picture"]
        _check_keys("preprocess.picture", picture, ("channels", "height", "width", "pad"))
        for key, value in picture.items():
            if type(value) is not int:
                raise _bad(f"preprocess.picture.{key}", "a whole number", value)
        return cls(Picture(**picture), _numbers("mean", entries["mean"]), _numbers("std", entries["std"]))


def _numbers(key: str, values: Any) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or any(type(value) not in (int, float) for value in values):
        raise _bad(f"preprocess.{key}", "a list of numbers", values)
    if any(abs(value) > LARGEST_NUMBER for value in values):
        raise _bad(f"preprocess.{key}", f"a list of numbers up to {LARGEST_NUMBER:g}", "a larger one")
    return tuple(float(value) for value in values)


def _check_keys(where: str, entries: Any, keys: tuple[str, ...]) -> None:
    if not isinstance(entries, Mapping) or set(entries) != set(keys):
        got = sorted(map(str, entries)) if isinstance(entries, Mapping) else type(entries).__name__
        raise _bad(where, f"a table with {', '.join(keys)}", got)


def _bad(what: str, must: str, got: object) -> ConfigError:
    return ConfigError("Preprocess", what, must, got=got, fix="write the table with Preprocess.as_dict()")
