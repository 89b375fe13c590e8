"""How much of its input a network gives back.

    R2   = 1 - sum (x - y)^2 / sum (x - mean x)^2        the mean sample is taken number by number over the split
    MSE  = mean (x - y)^2        PSNR = 10 log10(peak^2 / MSE), in dB

R2 is 0 for a network that answers everything with the mean sample, 1 where everything comes back.  It is the R2 of all
numbers of a sample, each in proportion to its variance.

The reconstructions of all samples would not fit into memory, so sums are kept, in float64; they add up over batches
and over processes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf, log10, nan
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from striate.evaluate.clustering import Clustering
from striate.evaluate.plain import number, plain

Criterion = Callable[[Tensor, Tensor], Tensor]
ROUNDING = 1e-12  # of the sums: samples that are all alike have a spread of so much and not quite 0


class ReconstructionSums(NamedTuple):
    """What was seen of some samples; that of others adds to it, number by number.

    Args:
        error: sum of the squared differences.
        first: sum of the samples.
        second: sum of the samples' squares.
        loss: sum of the samples' losses.
        samples: how many.
    """

    error: Float64[Tensor, ""]
    first: Float64[Tensor, " *sample"]
    second: Float64[Tensor, " *sample"]
    loss: Float64[Tensor, ""]
    samples: Int[Tensor, ""]


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """The result on one split.

    Args:
        r2: share of the variance that comes back, at most 1.
        mse: mean squared error, in the squared units of the data.
        psnr: ratio of peak signal to noise, in dB; None where the data have no peak.
        loss: mean of what was minimised, in its own units.
        count: samples.
        clusters: of the features, held against the classes, where there are both.
    """

    r2: float
    mse: float
    psnr: float | None
    loss: float
    count: int
    clusters: Clustering | None = None

    @property
    def metric(self) -> str:
        """What the score is called."""
        return "r2"

    @property
    def score(self) -> float:
        """R2."""
        return self.r2

    def headline(self) -> dict[str, Any]:
        """R2, the error, and the purity of the clusters."""
        values = self.as_dict()
        figures = {name: values[name] for name in ("r2", "mse", "psnr")}
        return figures if self.clusters is None else figures | {"purity": self.clusters.purity}

    def told(self) -> str:
        """The same for people."""
        signal = "" if self.psnr is None else f", PSNR {self.psnr:.2f} dB"
        found = self.clusters
        clusters = "" if found is None else f", purity of clusters {found.purity:.4f} (by chance {found.chance:.4f})"
        return f"R2 {self.r2:.4f}, MSE {self.mse:.4g}{signal}{clusters}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Reconstruction":
        """The inverse of `as_dict`."""
        figures = {name: number(values[name]) for name in ("r2", "mse", "loss")}
        clusters = None if values["clusters"] is None else Clustering.from_dict(values["clusters"])
        return cls(**figures, psnr=values["psnr"], count=values["count"], clusters=clusters)


def sum_errors(
    outputs: Float[Tensor, "B *sample"],
    inputs: Float[Tensor, "B *sample"],
    *,
    scale: Float[Tensor, "..."],
    criterion: Criterion,
) -> ReconstructionSums:
    """The sums of a batch.

    Args:
        outputs: what the network gave back.
        inputs: what it was given.
        scale: units of the data in one unit of the network's input, broadcast against a sample.
        criterion: mean loss of (outputs, inputs).
    """
    y, x = outputs.double() * scale, inputs.double() * scale
    return ReconstructionSums(
        error=(x - y).square().sum(),
        first=x.sum(0),
        second=x.square().sum(0),
        loss=criterion(outputs.double(), inputs.double()) * len(x),
        samples=torch.tensor(len(x), device=x.device),
    )


def add_up(sums: Iterable[ReconstructionSums]) -> ReconstructionSums:
    """What was seen of all samples; at least one batch."""
    return ReconstructionSums(*(torch.stack(parts).sum(0) for parts in zip(*sums, strict=True)))


def reconstruction(sums: ReconstructionSums, *, peak: float | None) -> Reconstruction:
    """Judge what was summed up; `peak` is the largest value that the data can have, such as 1 for pixels in [0, 1]."""
    count = int(sums.samples)
    error = float(sums.error)
    spread = float((sums.second - sums.first.square() / count).clamp(min=0).sum())
    varies = spread > ROUNDING * float(sums.second.sum())
    mse = error / (count * sums.first.numel())
    return Reconstruction(
        r2=1 - error / spread if varies else nan,
        mse=mse,
        psnr=None if peak is None else (10 * log10(peak**2 / mse) if mse > 0 else inf),
        loss=float(sums.loss) / count,
        count=count,
    )
