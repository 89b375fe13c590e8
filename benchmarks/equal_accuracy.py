"""Equal accuracy after equal epochs: Striate's plan, and plain PyTorch in float32 and NCHW, on real photographs.

    python benchmarks/equal_accuracy.py DATA [part of a name] … [--precision auto|float32|bfloat16] [--pictures 10000]
                                        [--epochs 10] [--seeds 3]

Both see the same batches in the same order, flipped and shifted alike, from the same first weights, at the same rates.
What differs is the arithmetic: Striate's engine with its fused optimiser, in the form that its plan gives a network of
this size here, or in the precision that is asked for (a processor without bfloat16 emulates it, slowly); and a loop of
five lines.  DATA holds pictures of 32 pixels such as CIFAR-10's; the networks of 224 pixels are built for 32.  Printed:
the accuracy on the test split of every seed, means and standard deviations over the seeds, and the difference pair by
pair: its mean and standard error.
"""

import argparse
import math
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from machine import heading
from striate.data.augment import Augment
from striate.data.batches import Feed, evaluation_batches, training_batches
from striate.data.items import ArrayItems
from striate.data.picture import Picture
from striate.data.pictures import Held
from striate.data.preprocess import Preprocess
from striate.data.samples import Samples
from striate.data.source import open_source
from striate.data.split import Split
from striate.models.catalogue import build
from striate.training.engine import Objective, TrainState, fit
from striate.training.forms import Form
from striate.training.optimisers import Settings, sgd
from striate.training.plan import native_bfloat16
from striate.training.schedules import cosine
from training import of_torch

NETWORKS = {"ResNet-20": "resnet20", "ResNet-18": "resnet18", "GoogLeNet with batch norm": "googlenet-bn"}
SIZE, CLASSES, BATCH, AT_ONCE = 32, 10, 64, 500
LR, MOMENTUM, WEIGHT_DECAY = 0.05, 0.9, 5e-4
PLAIN = Preprocess(Picture(3, SIZE, SIZE), (0.491, 0.482, 0.447), (0.247, 0.243, 0.262))


@dataclass(frozen=True, slots=True)
class Task:
    """What both do.

    Args:
        model: its name in the catalogue.
        train: pictures to train on.
        test: pictures to judge by.
        epochs: passes over the former.
        seed: of first weights, order and augmentation.
    """

    model: str
    train: Split
    test: Split
    epochs: int
    seed: int

    def network(self) -> nn.Module:
        """With its first weights."""
        return build(self.model, num_classes=CLASSES, image_size=SIZE, seed=self.seed)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Of all epochs."""
        changes = Augment(shift=4, flip=True)
        feed = Feed(self.train, PLAIN, changes, seed=self.seed, batch_size=BATCH, num_classes=CLASSES)
        for epoch in range(self.epochs):
            yield from training_batches(feed, epoch)

    def rate(self, step: int) -> float:
        """Of an update: a short rise, then half a cosine."""
        steps = math.ceil(len(self.train) / BATCH)
        return cosine(LR, steps // 2, steps * self.epochs)(step)


def striate(task: Task, form: Form) -> float:
    """The engine in this form; gives the accuracy."""
    model = form.place(task.network(), "cpu")
    settings = Settings(lr=LR, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    state = TrainState(model=model, optimizer=sgd(model, settings), seed=task.seed)
    objective = Objective(F.cross_entropy)
    for _ in fit(state, task.batches(), objective=objective, lr_at=task.rate, autocast=lambda: form.autocast("cpu")):
        pass
    return accuracy(model, task.test)


def plain(task: Task) -> float:
    """Five lines; gives the accuracy."""
    model = of_torch(task.network())
    kernels = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": WEIGHT_DECAY}, {"params": others}]
    optimizer = torch.optim.SGD(groups, LR, MOMENTUM)
    torch.manual_seed(task.seed)  # of its dropout
    for step, (x, y) in enumerate(task.batches()):
        for group in optimizer.param_groups:
            group["lr"] = task.rate(step)
        optimizer.zero_grad()
        F.cross_entropy(model(x.contiguous()), y).backward()
        optimizer.step()
    return accuracy(model, task.test)


@torch.inference_mode()
def accuracy(model: nn.Module, test: Split) -> float:
    """In float32, on the test split."""
    model.eval()
    right = [int((model(x).argmax(1) == y).sum()) for x, y in evaluation_batches(test, PLAIN, AT_ONCE)]
    return sum(right) / len(test)


def compare(title: str, tasks: list[Task], form: Form) -> Iterator[str]:
    """The lines about one network."""
    ours, theirs = [], []
    for task in tasks:
        ours.append(striate(task, form))
        theirs.append(plain(task))
    yield f"\n{title}, {SIZE} px, {len(tasks[0].train):,} pictures, epochs: {tasks[0].epochs}, seeds: {len(tasks)}"
    yield f"  {f'Striate, {form}':<40} {told(ours)}"
    yield f"  {'plain PyTorch, float32, NCHW':<40} {told(theirs)}"
    yield f"  difference {difference(np.array(ours) - np.array(theirs))}"


def told(accuracies: list[float]) -> str:
    """Mean, standard deviation, and each."""
    deviation = statistics.stdev(accuracies) if len(accuracies) > 1 else math.nan
    each = ", ".join(f"{value:.4f}" for value in accuracies)
    return f"accuracy {statistics.mean(accuracies):.4f}, standard deviation {deviation:.4f}   ({each})"


def difference(pairs: np.ndarray) -> str:
    """Mean and standard error of the pairs' differences."""
    error = pairs.std(ddof=1) / math.sqrt(len(pairs)) if len(pairs) > 1 else math.nan
    return f"{pairs.mean():+.4f}, standard error {error:.4f}"


def held(samples: Samples, count: int) -> Split:
    """The first pictures of a part."""
    assert isinstance(samples.items, ArrayItems)
    return Split(
        Held(samples.items.array[:count].copy()), torch.from_numpy(samples.labels[:count].copy()), samples.names[:count]
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="pictures of 32 pixels in 10 classes, with a test split")
    parser.add_argument("parts", nargs="*", help="of the titles of the networks; none: all")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    print(heading(), flush=True)
    usual = "bfloat16" if native_bfloat16() else "float32"
    form = Form(usual if asked.precision == "auto" else asked.precision, "channels_last")
    parts = open_source(str(asked.data)).parts
    train, test = held(parts["train"], asked.pictures), held(parts["test"], asked.pictures)
    for title, model in NETWORKS.items():
        if not asked.parts or any(part.lower() in title.lower() for part in asked.parts):
            tasks = [Task(model, train, test, asked.epochs, seed) for seed in range(asked.seeds)]
            for line in compare(title, tasks, form):
                print(line, flush=True)


if __name__ == "__main__":
    main()
