"""Photographs of a folder to batches for training: Striate, and the usual Dataset and DataLoader with Pillow.

    python benchmarks/photographs.py [FOLDER] [--rounds 5] [--later 3]

Both bring every photograph of the folder to 256x256, cut 224x224 out at random, flip, normalise and give float32
batches of 32.  In every round both begin from nothing: Striate with an empty cache, so its first epoch looks at every
header, hashes, decodes, and writes what it decoded; the DataLoader with workers to start.  Later epochs are Striate's
from its cache, and the DataLoader's with the same workers, which decode again.  Who begins changes from round to round.
Printed are the medians of the rounds in photographs/s and s (fastest to slowest), and how many times the speed of the
DataLoader that is (the median of the rounds' ratios, least to most).
"""

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lenet5_mnist import heading
from striate.base.allocator import keep_memory
from striate.data.augment import Augment
from striate.data.batches import Feed, training_batches
from striate.data.dataset import Wanted, prepare
from striate.data.items import FileItems
from striate.data.picture import Picture
from striate.data.preprocess import Preprocess
from striate.data.samples import Samples, Source
from striate.data.source import open_source
from striate.data.splits import Shares
from striate.data.storage import Storage

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STORED, SIZE, BATCH, WORKERS = 256, 224, 32, 2
STRIATE, LOADER = "Striate", f"Pillow, DataLoader, {WORKERS} workers"
REPOSITORY = Path(__file__).resolve().parents[1]
Batch = tuple[Tensor, Tensor]
Epochs = Iterator[Callable[[], Iterator[Batch]]]  # the first epoch, and the later ones


def main() -> None:
    asked = arguments()
    keep_memory()  # as `striate train` begins; both contestants have it
    photographs = in_one_part(open_source(str(asked.folder))).parts["all"]
    print(heading(), flush=True)
    contestants = {STRIATE: partial(striate, asked.folder), LOADER: partial(pillow, photographs)}
    seconds: dict[str, list[list[float]]] = {name: [] for name in contestants}
    for number in range(asked.rounds):
        for name in list(contestants)[:: -1 if number % 2 else 1]:
            seconds[name].append(timed(contestants[name](), 1 + asked.later, len(photographs)))
    print(f"\n{len(photographs)} photographs, batches of {BATCH}, rounds: {asked.rounds}, later epochs: {asked.later}")
    for title, of_round in (("first epoch", lambda times: times[0]), ("later epochs", later)):
        print(title)
        base = [of_round(times) for times in seconds[LOADER]]
        for name, rounds in seconds.items():
            print(line(name, [of_round(times) for times in rounds], base, len(photographs)), flush=True)


def striate(folder: Path) -> Epochs:
    """Everything from the look at the folder on, with a cache of its own."""
    stored, picture = Picture(3, STORED, STORED), Picture(3, SIZE, SIZE)
    with tempfile.TemporaryDirectory() as cache:
        feed: Feed

        def first() -> Iterator[Batch]:
            nonlocal feed
            wanted = Wanted(picture, stored, Shares(0.0, 0.0), 0, False, Storage("disk", Path(cache), 10**10))
            data = prepare(in_one_part(open_source(str(folder))), wanted)
            augment = Augment(shift=(STORED - SIZE) // 2, flip=True)
            feed = Feed(data.train, Preprocess(picture, MEAN, STD), augment, 0, BATCH, len(data.classes))
            return training_batches(feed, 0)

        yield first
        yield from (partial(training_batches, feed, epoch) for epoch in itertools.count(1))


def in_one_part(source: Source) -> Source:
    """Nothing kept apart to validate or test with."""
    parts = source.parts.values()
    paths = tuple(path for part in parts if isinstance(part.items, FileItems) for path in part.items.paths)
    labels, names = np.concatenate([part.labels for part in parts]), tuple(n for part in parts for n in part.names)
    return replace(source, parts={"all": Samples(FileItems(paths), labels, names)})


class Photographs(Dataset[tuple[Tensor, int]]):
    """One photograph at a time, as Pillow's users write it."""

    def __init__(self, samples: Samples) -> None:
        assert isinstance(samples.items, FileItems)
        self.paths, self.labels = samples.items.paths, samples.labels.tolist()
        self.mean, self.std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[number]) as file:
            image = file.convert("RGB").resize((STORED, STORED), Image.Resampling.BILINEAR)
        top, left = torch.randint(0, STORED - SIZE + 1, (2,)).tolist()
        image = image.crop((left, top, left + SIZE, top + SIZE))
        if torch.rand(1) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div_(255)
        return x.sub_(self.mean).div_(self.std), self.labels[number]


def pillow(samples: Samples) -> Epochs:
    """The DataLoader; its workers stay for the next epoch."""
    loader = DataLoader(Photographs(samples), BATCH, shuffle=True, num_workers=WORKERS, persistent_workers=True)
    return itertools.repeat(partial(iter, loader))


def timed(epochs: Epochs, count: int, photographs: int) -> list[float]:
    """Seconds of so many epochs; each gives all photographs."""
    seconds = []
    for epoch in itertools.islice(epochs, count):
        start = time.perf_counter()
        done = sum(len(x) for x, _ in epoch())
        seconds.append(time.perf_counter() - start)
        assert done == photographs
    return seconds


def later(times: list[float]) -> float:
    return statistics.median(times[1:])


def line(name: str, times: list[float], base: list[float], photographs: int) -> str:
    """One contestant's row."""
    middle = statistics.median(times)
    ratios = [of_base / own for of_base, own in zip(base, times, strict=True)]
    return (
        f"  {name:<30} {photographs / middle:>7,.0f} photographs/s   {middle:6.3f} s ({min(times):.3f} to "
        f"{max(times):.3f})   x {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    data = REPOSITORY / os.environ.get("STRIATE_TEST_DATA", "../shared/data") / "photos-hymenoptera"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=data, help="class folders of photographs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--later", type=int, default=3, help="epochs after the first, in every round")
    return parser.parse_args()


if __name__ == "__main__":
    main()
