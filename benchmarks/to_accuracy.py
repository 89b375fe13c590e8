"""A peer trained until it classifies the test pictures well enough."""

import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from contestants import Contestant, Entry, seated
from lenet5_mnist import made
from peers import Peer

PICTURES, BATCH = 60_000, 64


@dataclass(frozen=True, slots=True)
class Aim:
    """How well, and how long at most."""

    accuracy: float
    epochs: int


@dataclass(frozen=True, slots=True)
class Way:
    """Seconds of every epoch, and the accuracy after it."""

    seconds: tuple[float, ...]
    accuracies: tuple[float, ...]

    def told(self, aim: Aim) -> str:
        """In words."""
        spent = f"{sum(self.seconds):.2f} s"
        if self.accuracies[-1] >= aim.accuracy:
            return f"{spent} of training   epochs: {len(self.seconds)}   {self.accuracies[-1]:.4f}"
        return f"not within {aim.epochs} epochs ({spent}), at most {max(self.accuracies):.4f}"


def trained(peer: Peer, data: Path, aim: Aim, seed: int, pictures: int = PICTURES) -> Way:
    """Epoch after epoch in a process of its own; the test pictures are looked at in between, unmeasured."""
    seconds, accuracies = [], []
    with seated([Entry(peer.name, partial(seeded, peer, data, seed, pictures))]) as (seat,):
        while len(seconds) < aim.epochs and max(accuracies, default=0.0) < aim.accuracy:
            seconds.append(seat.turn()[0])
            accuracies.append(seat.verdict())
    return Way(tuple(seconds), tuple(accuracies))


def seeded(peer: Peer, data: Path, seed: int, pictures: int) -> Contestant:
    """In a child: torch draws from its own generator, Keras from Python's; Flax's seeds stand in its code."""
    torch.manual_seed(seed)
    random.seed(seed)
    return made(peer.make, data, pictures, BATCH)
