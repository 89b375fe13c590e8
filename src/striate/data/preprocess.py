"""From a picture's numbers to what the network reads, the same in training, prediction and serving.

    input = (v / w - mean) / std     v: the number, 0 in the border; w: 255, 65535 or 1 by kind; mean, std: a channel's

computed as (v - w mean) * (1 / (w std)) in float32: two roundings, each its own operation, so neither the place
in a batch nor the size of the batch can change a bit.  A whitening, where there is one, comes after it, both as one
matrix (see `striate.data.whiten`); then the border is 0: a border that never changes has no variance to stretch.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.data.front import Normalise, Whitened
from striate.data.kinds import WHITE, Kind
from striate.data.picture import Picture
from striate.data.resize import Resize
from striate.data.tensor_kinds import Images
from striate.data.whiten import EPSILON, Method, Whiten, check, fit_whiten, restored

LARGEST_NUMBER = 1e6
TOGETHER = 600_000  # numbers that a CPU's caches hold from the conversion to the last operation
WORDS: dict[str, tuple[str, ...]] = {"kind": get_args(Kind), "resize": get_args(Resize)}
SMALLEST_STD = 1e-6  # a hundredth of the least that a different byte among 10^8 makes


@dataclass(frozen=True, slots=True)
class Preprocess:
    """What a network was trained to expect of its input.

    Args:
        picture: size, channels, kind and border.
        mean: per channel, of pixels in units of the kind's white: in [0, 1] for bytes and 16 bits.
        std: per channel, > 0, in the same units.
        whiten: what comes after; None for nothing.
    """

    picture: Picture
    mean: tuple[float, ...]
    std: tuple[float, ...]
    whiten: Whiten | None = None

    def __post_init__(self) -> None:
        for what, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.picture.channels or not all(map(math.isfinite, values)):
                must = f"{self.picture.channels} finite numbers, one a channel"
                raise ConfigError("Preprocess", what, must, got=values, fix="measure it with mean_std")
        if min(self.std) < SMALLEST_STD:
            raise ConfigError(
                "Preprocess", "std", f">= {SMALLEST_STD}", got=self.std, fix="1.0 leaves a constant channel alone"
            )

    @classmethod
    def plain(cls, picture: Picture) -> "Preprocess":
        """V / w and nothing else."""
        return cls(picture, (0.0,) * picture.channels, (1.0,) * picture.channels)

    def whitened(self, images: Images | Iterable[Images], method: Method, epsilon: float = EPSILON) -> "Preprocess":
        """The same with a whitening behind it, fitted on the training split.

        Args:
            images: (N, C, h, w) of the picture's kind, or batches of them.
            method: "pca" or "zca".
            epsilon: added to every variance, in squared units of what mean and std lead to.

        Raises:
            ConfigError: a picture of more than 4096 numbers, or an epsilon out of range.
            DataError: fewer than two pictures.
        """
        fitted = fit_whiten(images, self.picture, self.mean, self.std, method=method, epsilon=epsilon)
        return replace(self, whiten=fitted)

    def to_input(self, images: Images) -> Float32[Tensor, "N C H W"]:
        """Add the border, then normalise, or whiten.

        Args:
            images: of the picture's kind and size, or float32 in its units, on any device.

        Returns:
            float32 (B, C, h + 2 pad, w + 2 pad), channels last in memory.
        """
        B, C, h, w = images.shape
        assert (C, h, w) == self.picture.shape, f"{(C, h, w)} is not the picture's {self.picture.shape}"
        assert images.dtype in (torch.float32, getattr(torch, self.picture.kind)), f"{images.dtype} is no such picture"
        p = self.picture.pad
        shape = (B, C, h + 2 * p, w + 2 * p)
        x = torch.empty(shape, device=images.device, memory_format=torch.channels_last)
        if p:
            x.zero_()
        if self.whiten is not None:
            x[:, :, p : p + h, p : p + w].copy_(self.whiten(images))
            return x
        count = max(1, TOGETHER // max(1, x[:1].numel())) if x.device.type == "cpu" else max(1, B)
        for start in range(0, B, count):
            part = x[start : start + count]
            part[:, :, p : p + h, p : p + w].copy_(images[start : start + count])  # the one conversion; exact
            self._normalise(part)
        return x

    def _normalise(self, x: Float32[Tensor, "B C H W"]) -> None:
        white = WHITE[self.picture.kind]
        if len(self.mean) == 1:
            x.sub_(white * self.mean[0]).mul_(1 / (white * self.std[0]))
            return
        # In memory a row is W times C numbers: one long row vectorises where C numbers at a time would not.
        rows = x.permute(0, 2, 3, 1).flatten(2)  # B H WC, a view
        shift, scale = (values.repeat(x.shape[3]).to(x.device) for values in self.steps())  # WC
        rows.sub_(shift)
        rows.mul_(scale)

    def steps(self) -> tuple[Float32[Tensor, " C"], Float32[Tensor, " C"]]:
        """What is subtracted from each channel, and what it is then multiplied by, where nothing is whitened."""
        white = WHITE[self.picture.kind]
        shift, scale = white * np.array(self.mean), 1 / (white * np.array(self.std))
        return torch.from_numpy(shift.astype(np.float32)), torch.from_numpy(scale.astype(np.float32))

    def module(self) -> nn.Module:
        """The same as a module, (B, C, h, w) of the picture's kind or float32 -> the network's input, for export."""
        if self.whiten is None:
            return Normalise(self.picture.pad, *self.steps())
        return Whitened(self.picture.pad, **self.whiten.tensors())

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for a JSON file; `from_dict` takes them back, with `tensors` where there is a whitening."""
        p = self.picture
        picture = {"channels": p.channels, "height": p.height, "width": p.width, "pad": p.pad}
        entries = {
            "picture": {**picture, "kind": p.kind, "resize": p.resize},
            "mean": list(self.mean),
            "std": list(self.std),
        }
        if self.whiten is not None:
            entries["whiten"] = {"method": self.whiten.method, "epsilon": self.whiten.epsilon}
        return entries

    def tensors(self) -> dict[str, Tensor]:
        """The numbers that a JSON file is no place for; empty without a whitening."""
        return {} if self.whiten is None else self.whiten.tensors()

    @classmethod
    def from_dict(cls, entries: Mapping[str, Any], tensors: Mapping[str, Tensor] | None = None) -> "Preprocess":
        """Read what `as_dict` and `tensors` wrote.

        Raises:
            ConfigError: a key is missing or unknown, a value is not of the right kind, or the tensors do not fit.
        """
        found = cls.without_tensors(entries)
        if "whiten" not in entries:
            if tensors:
                raise _bad("preprocess.whiten", "there, since tensors are", "nothing")
            return found
        return replace(found, whiten=restored(found.picture, **entries["whiten"], tensors=tensors or {}))

    @classmethod
    def without_tensors(cls, entries: Mapping[str, Any]) -> "Preprocess":
        """What `as_dict` wrote, held to be right in every entry, but without a whitening: its numbers lie elsewhere."""
        _check_keys("preprocess", entries, ("picture", "mean", "std"), ("whiten",))
        picture = entries["picture"]
        # The last two are not in files from before there were other kinds and other ways to resize.
        _check_keys("preprocess.picture", picture, ("channels", "height", "width", "pad"), tuple(WORDS))
        for key, value in picture.items():
            if key not in WORDS and type(value) is not int:
                raise _bad(f"preprocess.picture.{key}", "a whole number", value)
            if key in WORDS and value not in WORDS[key]:
                raise _bad(f"preprocess.picture.{key}", f"one of {', '.join(WORDS[key])}", repr(value))
        found = cls(Picture(**picture), _numbers("mean", entries["mean"]), _numbers("std", entries["std"]))
        if "whiten" in entries:
            _check_keys("preprocess.whiten", entries["whiten"], ("method", "epsilon"))
            check(found.picture, **entries["whiten"])
        return found


def _numbers(key: str, values: Any) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or any(type(value) not in (int, float) for value in values):
        raise _bad(f"preprocess.{key}", "a list of numbers", values)
    if any(abs(value) > LARGEST_NUMBER for value in values):
        raise _bad(f"preprocess.{key}", f"a list of numbers up to {LARGEST_NUMBER:g}", "a larger one")
    return tuple(float(value) for value in values)


def _check_keys(where: str, entries: Any, keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
    if not isinstance(entries, Mapping) or not set(keys) <= set(entries) <= {*keys, *optional}:
        got = sorted(map(str, entries)) if isinstance(entries, Mapping) else type(entries).__name__
        raise _bad(where, f"a table with {', '.join(keys)}", got)


def _bad(what: str, must: str, got: object) -> ConfigError:
    return ConfigError("Preprocess", what, must, got=got, fix="write the table with Preprocess.as_dict()")
