"""Augmentation of whole batches, side by side with the usual one picture at a time and with kornia.

    python benchmarks/augment.py [part of a task's name] … [--rounds 5] [--pictures 512]

Every contestant turns the same uint8 pictures in memory into batches of normalised float32 network input, by the same
random changes.  "Striate" makes them with torch's operations, "Striate, native" in one pass of the native library where
pictures are only moved; both as training has them made, by one core.  "Pillow" is what people write: a Dataset that
changes one picture with Pillow, and torch's DataLoader.
All run in one process, turn about, round by round, so that what slows the machine slows all; the first pass of each
warms up and is not counted.  Printed are the median of the rounds in pictures/s and how many times the speed of the
DataLoader with two workers that is (the median of the rounds' ratios, least to most).
"""

import argparse
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from striate.base.allocator import keep_memory
from striate.data.augment import Augment
from striate.data.batches import Feed, Windows, training_batches
from striate.data.picture import Picture
from striate.data.pictures import Held
from striate.data.preprocess import Preprocess
from striate.data.split import Split
from striate.native.augment import windows
from striate.native.library import absence, library

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
JITTER = (0.4, 0.4, 0.4, 0.1)  # brightness, contrast, saturation, hue
SCALE = 0.08
BASE = "Pillow, DataLoader, 2 workers"
Pass = Callable[[], Iterator[Tensor]]


@dataclass(frozen=True, slots=True)
class Task:
    """What is done to the pictures.

    Args:
        name: printed.
        stored: side of the pictures in pixels.
        size: side of the results.
        batch_size: pictures a batch.
        augment: Striate's options.
        change: the same to one Pillow image.
        kornia: the same as kornia's modules.
        copies: how many times as many pictures as asked for, so that a pass takes long enough.
    """

    name: str
    stored: int
    size: int
    batch_size: int
    augment: Augment
    change: Callable[[Image.Image], Image.Image]
    kornia: Callable[[], list[nn.Module]]
    copies: int = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wanted", nargs="*", help="parts of tasks' names; all, if none")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=512, help="of 224 px, in a pass")
    asked = parser.parse_args()
    kept = "kept" if keep_memory() else "as usual"  # as in training
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, memory {kept}, ", end="")
    print(f"native library: {library() or absence()}; medians of {asked.rounds} rounds")
    if not has_kornia():
        print("kornia: left out, not installed: pip install -c constraints.txt -e '.[bench]'")
    for task in TASKS:
        if not asked.wanted or any(part in task.name for part in asked.wanted):
            compete(task, asked.pictures * task.copies, asked.rounds)


def compete(task: Task, count: int, rounds: int) -> None:
    """Run all contestants and print their rows."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, task.stored, task.stored, 3), dtype=np.uint8)
    contestants: dict[str, Pass] = {
        BASE: pillow(task, pixels, workers=2),
        "Pillow, DataLoader, 0 workers": pillow(task, pixels, workers=0),
        "Striate": striate(task, pixels),
    }
    if library() is not None and task.augment.only_moves:
        contestants["Striate, native"] = striate(task, pixels, windows)
    if has_kornia():
        contestants["kornia"] = with_kornia(task, pixels)
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds + 1):
        for name, one_pass in contestants.items():
            start = time.perf_counter()
            done = sum(len(batch) for batch in one_pass())
            seconds[name].append(time.perf_counter() - start)
            assert done == count
    print(f"\n{task.name}, batches of {task.batch_size}, {count:,} pictures a pass")
    for name, times in seconds.items():
        ratios = sorted(base / own for base, own in zip(seconds[BASE][1:], times[1:], strict=True))
        middle, least, most = statistics.median(ratios), ratios[0], ratios[-1]
        rate = count / statistics.median(times[1:])
        print(f"  {name:<31} {rate:>10,.0f} pictures/s   x {middle:.2f} ({least:.2f} to {most:.2f})", flush=True)


def striate(task: Task, pixels: np.ndarray, windows: Windows | None = None) -> Pass:
    """The batches of training: drawn, gathered, changed and normalised as a whole, by one core."""
    names = tuple(map(str, range(len(pixels))))
    split = Split(Held(pixels), torch.zeros(len(pixels), dtype=torch.int64), names)
    preprocess = Preprocess(Picture(3, task.size, task.size), MEAN, STD)
    feed = Feed(split, preprocess, task.augment, 0, task.batch_size, num_classes=1, windows=windows)
    epochs = iter(range(1000))
    return lambda: (x for x, _ in training_batches(feed, next(epochs)))


def channels(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values)[:, None, None]


class OneByOne(Dataset[Tensor]):
    """One picture at a time, as Pillow's users write it."""

    def __init__(self, pixels: np.ndarray, change: Callable[[Image.Image], Image.Image]) -> None:
        self.pixels, self.change = pixels, change

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, number: int) -> Tensor:
        image = self.change(Image.fromarray(self.pixels[number]))
        x = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div_(255)
        return x.sub_(channels(MEAN)).div_(channels(STD))


def pillow(task: Task, pixels: np.ndarray, *, workers: int) -> Pass:
    data = OneByOne(pixels, task.change)
    loader = DataLoader(data, task.batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    return partial(iter, loader)


def with_kornia(task: Task, pixels: np.ndarray) -> Pass:
    from kornia.augmentation import Normalize

    images = torch.from_numpy(pixels)
    modules = nn.Sequential(*task.kornia(), Normalize(torch.tensor(MEAN), torch.tensor(STD)))

    def one_pass() -> Iterator[Tensor]:
        for samples in torch.randperm(len(images)).split(task.batch_size):
            batch = images.index_select(0, samples).permute(0, 3, 1, 2)
            yield modules(batch.to(torch.float32, memory_format=torch.contiguous_format).div_(255))

    return one_pass


def has_kornia() -> bool:
    return importlib.util.find_spec("kornia") is not None


def uniform(low: float, high: float) -> float:
    return float(torch.empty(1).uniform_(low, high))


def flipped(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if torch.rand(1) < 0.5 else image


def cropped(image: Image.Image, *, pad: int, size: int) -> Image.Image:
    image = ImageOps.expand(image, pad) if pad else image
    top, left = torch.randint(0, image.height - size + 1, (2,)).tolist()
    return flipped(image.crop((left, top, left + size, top + size)))


def resized_crop(image: Image.Image, *, size: int) -> Image.Image:
    for _ in range(10):
        area, ratio = image.width * image.height * uniform(SCALE, 1), np.exp(uniform(np.log(3 / 4), np.log(4 / 3)))
        wide, high = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if wide <= image.width and high <= image.height:
            break
    else:
        wide, high = image.size
    top = int(torch.randint(0, image.height - high + 1, (1,)))
    left = int(torch.randint(0, image.width - wide + 1, (1,)))
    box = (left, top, left + wide, top + high)
    return flipped(image.resize((size, size), Image.Resampling.BILINEAR, box=box))


def jittered(image: Image.Image, *, size: int) -> Image.Image:
    image = resized_crop(image, size=size)
    enhancers = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    for step in torch.randperm(4).tolist():
        if step < 3:
            image = enhancers[step](image).enhance(uniform(1 - JITTER[step], 1 + JITTER[step]))
        else:
            hue, saturation, value = image.convert("HSV").split()
            turned = np.array(hue) + np.uint8(int(uniform(-JITTER[3], JITTER[3]) * 255) % 256)
            image = Image.merge("HSV", (Image.fromarray(turned), saturation, value)).convert("RGB")
    return image


def kornia_crop(*, size: int, padding: int) -> list[nn.Module]:
    from kornia.augmentation import RandomCrop, RandomHorizontalFlip

    return [RandomCrop((size, size), padding=padding or None), RandomHorizontalFlip()]


def kornia_resized_crop(*, size: int) -> list[nn.Module]:
    from kornia.augmentation import RandomHorizontalFlip, RandomResizedCrop

    return [RandomResizedCrop((size, size), scale=(SCALE, 1.0)), RandomHorizontalFlip()]


def kornia_jitter(*, size: int) -> list[nn.Module]:
    from kornia.augmentation import ColorJitter

    return [*kornia_resized_crop(size=size), ColorJitter(*JITTER, p=1.0)]


STRENGTHS = dict(zip(("brightness", "contrast", "saturation", "hue"), JITTER, strict=True))
TASKS = [
    Task(
        "32 px: padded crop, flip", 32, 32, 128, Augment(4, True), partial(cropped, pad=4, size=32),
        partial(kornia_crop, size=32, padding=4), copies=16,
    ),
    Task(
        "224 px from 256: crop, flip", 256, 224, 32, Augment(16, True), partial(cropped, pad=0, size=224),
        partial(kornia_crop, size=224, padding=0),
    ),
    Task(
        "224 px from 256: resized crop, flip", 256, 224, 32, Augment(flip=True, crop_scale=SCALE),
        partial(resized_crop, size=224), partial(kornia_resized_crop, size=224),
    ),
    Task(
        "224 px from 256: resized crop, flip, colour jitter", 256, 224, 32,
        Augment(flip=True, crop_scale=SCALE, **STRENGTHS), partial(jittered, size=224),
        partial(kornia_jitter, size=224),
    ),
]  # fmt: skip

if __name__ == "__main__":
    main()
