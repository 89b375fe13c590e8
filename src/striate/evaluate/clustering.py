"""Whether features tell classes apart that nobody told the network: clusters of k-means, held against the labels.

    purity = (1/n) sum over clusters of the samples of its most frequent class

With c clusters over c classes, purity is 1 where each cluster is a class.  It is never 0: `chance` is what clusters of
these sizes reach with the labels shuffled, and the share of the largest class is what one cluster of all would.
Manning, Raghavan and Schuetze 2008, "Introduction to Information Retrieval", section 16.3.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from striate.base.random import Purpose, derive
from striate.evaluate.plain import plain

SHUFFLES = 50
STARTS = 4  # of k-means, of which the best is taken
LARGEST = 2**31  # scikit-learn's seeds are below


@dataclass(frozen=True, slots=True)
class Clustering:
    """Clusters held against classes.

    Args:
        purity: share of samples in a cluster of which most are of their class, in (0, 1].
        chance: the same with the labels shuffled, mean over shuffles.
        count: samples.
        table: table[cluster][class] = samples.
    """

    purity: float
    chance: float
    count: int
    table: tuple[tuple[int, ...], ...]

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Clustering":
        """The inverse of `as_dict`."""
        return cls(**{**values, "table": tuple(tuple(row) for row in values["table"])})


def clustering(
    features: Float[Tensor, "N features"], labels: Int[Tensor, " N"], *, clusters: int, classes: int, seed: int
) -> Clustering:
    """Cluster features and hold the clusters against labels in [0, classes).

    Args:
        features: of every sample.
        labels: its class number.
        clusters: how many are to be found, 1 to N.
        classes: how many there are.
        seed: of the starts of k-means and of the shuffles.
    """
    found, true = _clusters(features, clusters, seed), labels.numpy()
    table = _table(found, true, clusters, classes)
    generator = torch.Generator().manual_seed(derive(seed, Purpose.CHANCE, 1))
    shuffled = (true[torch.randperm(len(true), generator=generator).numpy()] for _ in range(SHUFFLES))
    return Clustering(
        purity=_purity(table),
        chance=float(np.mean([_purity(_table(found, other, clusters, classes)) for other in shuffled])),
        count=len(true),
        table=tuple(tuple(row) for row in table.tolist()),
    )


def _clusters(features: Tensor, clusters: int, seed: int) -> Int64[np.ndarray, " N"]:
    from sklearn.cluster import KMeans  # 1.4 s to import
    from sklearn.exceptions import ConvergenceWarning

    kmeans = KMeans(clusters, n_init=STARTS, random_state=derive(seed, Purpose.CHANCE, 0) % LARGEST)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different features than clusters: some stay empty
        return kmeans.fit_predict(features.double().numpy()).astype(np.int64)


def _table(
    found: Int64[np.ndarray, " N"], true: Int64[np.ndarray, " N"], clusters: int, classes: int
) -> Int64[np.ndarray, "clusters classes"]:
    return np.bincount(found * classes + true, minlength=clusters * classes).reshape(clusters, classes)


def _purity(table: Int64[np.ndarray, "clusters classes"]) -> float:
    return float(table.max(1).sum() / table.sum())
