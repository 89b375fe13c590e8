"""From a sample's numbers to what a network reads, and from what it says to the data's units; the same everywhere.

    input  = (v - mean) / std            mean, std: of each channel over the training samples
    number = output * std_t + mean_t     mean_t, std_t: of each target over the training samples, where numbers are told

A text becomes tokens instead (see `tokenizer`).  Sums are taken in float64 in one pass: E[v^2] - E[v]^2 of values about
the first sample's mean, so that little cancels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from striate.base.errors import DataError
from striate.data.record_set import RecordPart
from striate.data.tokenizer import Tokenizer

AT_ONCE = 256  # samples
Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SampleInput:
    """What a network was trained to expect of its samples, and how its outputs are to be read.

    Args:
        shape: of one sample: channels first; tokens (W,).
        mean, std: of each channel, std > 0; empty for tokens.
        tokenizer: of texts.
        target_mean, target_std: of each number to be told; empty where none is.
    """

    shape: tuple[int, ...]
    mean: Numbers = ()
    std: Numbers = ()
    tokenizer: Tokenizer | None = None
    target_mean: Numbers = ()
    target_std: Numbers = ()

    def to_input(self, samples: Tensor) -> Tensor:
        """(N, *shape) float32 or tokens -> what the network reads."""
        if self.tokenizer is not None:
            return samples
        beside = (-1, *[1] * (len(self.shape) - 1))
        mean, std = (torch.tensor(v, dtype=torch.float64).float().reshape(beside) for v in (self.mean, self.std))
        return (samples - mean.to(samples.device)) / std.to(samples.device)

    def to_target(self, numbers: Float[Tensor, "N K"]) -> Float[Tensor, "N K"]:
        """Numbers in the data's units -> in standard deviations from their mean."""
        mean, std = (torch.tensor(v, dtype=torch.float64) for v in (self.target_mean, self.target_std))
        return ((numbers.double() - mean) / std).float()

    def to_numbers(self, outputs: Float[Tensor, "N K"]) -> Float64[Tensor, "N K"]:
        """Outputs -> numbers in the data's units."""
        mean, std = (
            torch.tensor(v, dtype=torch.float64, device=outputs.device) for v in (self.target_mean, self.target_std)
        )
        return outputs.double() * std + mean

    def to_samples(self, outputs: Tensor) -> Tensor:
        """The inverse of `to_input`, of what a network gives back, in float64."""
        beside = (-1, *[1] * (len(self.shape) - 1))
        mean, std = (torch.tensor(v, dtype=torch.float64).reshape(beside) for v in (self.mean, self.std))
        return outputs.double().cpu() * std + mean

    def arrays(self, samples: object) -> np.ndarray:
        """What somebody gives, one sample or several, as (N, *shape).

        Raises:
            DataError: of another shape, or not numbers.
        """
        if self.tokenizer is not None:
            texts = [samples] if isinstance(samples, str) else samples
            if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
                got = type(samples).__name__
                raise DataError("predict", "the sample", "a text or a list of them", got=got, fix=FIX)
            return self.tokenizer.encode_all(list(texts))
        array = np.asarray(samples)
        if array.dtype.kind not in "fiu" or array.shape[-len(self.shape) :] != self.shape:
            must, got = f"numbers of shape {self.shape}, or several of them", f"{array.dtype} of shape {array.shape}"
            raise DataError("predict", "the sample", must, got=got, fix=FIX)
        return array.reshape(-1, *self.shape).astype(np.float32)

    def tensors(self) -> dict[str, Tensor]:
        """None: all of it is in `as_dict`."""
        return {}

    def as_dict(self) -> dict[str, Any]:
        """Plain values for config.json."""
        told: dict[str, Any] = {"shape": list(self.shape)}
        for name in ("mean", "std", "target_mean", "target_std"):
            told[name] = list(getattr(self, name))
        if self.tokenizer is not None:
            told |= {"words": list(self.tokenizer.words), "length": self.tokenizer.length}
        return {"samples": told}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SampleInput":
        """The inverse of `as_dict`.

        Raises:
            ValueError: it is none.
        """
        told = values["samples"]
        names = ("mean", "std", "target_mean", "target_std")
        mean, std, target_mean, target_std = (tuple(float(number) for number in told[name]) for name in names)
        words = told.get("words")
        tokenizer = None if words is None else Tokenizer(tuple(map(str, words)), int(told["length"]))
        made = cls(tuple(map(int, told["shape"])), mean, std, tokenizer, target_mean, target_std)
        if not made.shape or min((*made.shape, *std, *target_std)) <= 0 or len(mean) != len(std):
            raise ValueError("no such samples")
        if tokenizer is None and len(mean) != made.shape[0]:
            raise ValueError("no mean for each channel")
        return made


FIX = "give what the network was trained on: its README.md says what that is"


def measured(part: RecordPart, *, normalise: bool) -> SampleInput:
    """How the samples of training are read, and their numbers told.

    Args:
        part: the training samples, texts apart.
        normalise: measure mean and deviation; else samples are taken as they are.
    """
    records, rows = part.records, part.rows
    shape = tuple(records.inputs.shape[1:])
    axes = (0, *range(2, len(shape) + 1))  # all but the channels
    mean, std = _moments(records.inputs, rows, axes) if normalise else (np.zeros(shape[0]), np.ones(shape[0]))
    target_mean: Numbers = ()
    target_std: Numbers = ()
    if records.kind == "numbers":
        target_mean, target_std = (tuple(v.tolist()) for v in _moments(records.targets, rows, (0,)))
    return SampleInput(shape, tuple(mean.tolist()), tuple(std.tolist()), None, target_mean, target_std)


def _moments(
    values: np.ndarray, rows: np.ndarray, axes: tuple[int, ...]
) -> tuple[Float64[np.ndarray, " C"], Float64[np.ndarray, " C"]]:
    """Mean and deviation over these axes; a deviation of nothing is 1, which leaves a constant alone."""
    about = values[rows[:1]].astype(np.float64).mean(axes, keepdims=True)
    first = second = np.zeros(values.shape[1])
    count = 0
    for start in range(0, len(rows), AT_ONCE):
        piece = values[rows[start : start + AT_ONCE]].astype(np.float64) - about
        first = first + piece.sum(axes)
        second = second + np.square(piece).sum(axes)
        count += piece.size // values.shape[1]
    mean = first / count
    variance = second / count - np.square(mean)
    small = variance <= 1e-12 * second / count
    return about.reshape(-1) + mean, np.where(small, 1.0, np.sqrt(np.where(small, 1.0, variance)))
