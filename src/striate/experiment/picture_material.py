"""Pictures as the data of a run: decoded, divided, normalised, changed at random, in batches."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from striate.base.errors import ConfigError, DataError
from striate.data.augment import check, colour_axes
from striate.data.batches import Batch, Feed, evaluation_batches, training_batches, whole
from striate.data.cache_folder import cache_path
from striate.data.dataset import Dataset, Wanted, prepare
from striate.data.decode import Fault
from striate.data.kinds import top_of
from striate.data.manifest import Rows, rows_of
from striate.data.picture import Picture
from striate.data.preprocess import Preprocess
from striate.data.samples import Source
from striate.data.split import Split
from striate.data.splits import Shares, divide
from striate.data.statistics import mean_std
from striate.data.storage import Storage
from striate.deploy.native_network import pixels_of
from striate.experiment.material import EVALUATION_BATCH, PARTS
from striate.experiment.recipe import Recipe
from striate.experiment.settle import batch_size, settle, usual_changes
from striate.models.card import Given
from striate.models.catalogue import card
from striate.native.augment import moved, windows
from striate.native.library import library
from striate.native.pixels import Pixels

MEASURED_AT_ONCE = 256  # pictures
PAPER_PAD = 2  # pixels: LeCun et al. 1998 put the 28x28 digits in the middle of 32x32


@dataclass(frozen=True, slots=True, eq=False)
class PictureMaterial:
    """Pictures with classes; where a picture is to be given back, it is its own target.

    Args:
        dataset: splits of pictures.
        preprocess: pixels -> input.
        feed: what training batches are made of.
        own_target: whether a picture is its own target.
    """

    dataset: Dataset
    preprocess: Preprocess
    feed: Feed
    own_target: bool = False

    @property
    def name(self) -> str:
        """Short, for the name of a run."""
        return self.dataset.name

    @property
    def location(self) -> str:
        """Where the data lie."""
        return self.dataset.location

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.dataset.classes

    @property
    def fingerprint(self) -> str:
        """Of contents, classes and splits."""
        return self.dataset.fingerprint

    @property
    def notes(self) -> tuple[str, ...]:
        """How the data were read."""
        return self.dataset.notes

    @property
    def left_out(self) -> tuple[Fault, ...]:
        """Files that did not decode."""
        return self.dataset.left_out

    def split(self, part: str) -> Split:
        """One of the three splits."""
        return {"train": self.dataset.train, "validation": self.dataset.validation, "test": self.dataset.test}[part]

    def count(self, part: str) -> int:
        """Pictures of a split."""
        return len(self.split(part))

    def given(self) -> Given:
        """The data's classes and channels, the picture's size."""
        picture = self.preprocess.picture
        classes = None if self.own_target else len(self.classes)
        return Given(
            num_classes=classes, in_channels=picture.channels, image_size=picture.height + 2 * picture.pad, dropout=None
        )

    def training(
        self, epoch: int, first: int, *, batch_size: int, rows: Callable[[int], slice] = whole
    ) -> Iterator[Batch]:
        """The batches of an epoch from number `first` on."""
        batches = training_batches(replace(self.feed, batch_size=batch_size), epoch, first, rows)
        return self._targeted(batches)

    def in_bytes(self) -> "tuple[PictureMaterial, Pixels] | None":
        """The same with training batches of bytes, and how they become the input; None where more is done to them."""
        feed, augment = self.feed, self.feed.augment
        if not feed.in_one_pass or augment.mixes or self.own_target:
            return None
        return replace(self, feed=replace(feed, moved=moved)), pixels_of(self.preprocess)

    def evaluation(self, part: str, *, rows: Callable[[int], slice] = whole) -> Iterator[Batch]:
        """The pictures of a split once, in their order."""
        split, device = self.split(part), self.feed.device
        return self._targeted(evaluation_batches(split, self.preprocess, EVALUATION_BATCH, device=device, rows=rows))

    def _targeted(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        return ((x, x) for x, _ in batches) if self.own_target else batches

    def describe(self) -> dict[str, object]:
        """What data.json holds beside the location."""
        return {
            "name": self.name,
            "fingerprint": self.fingerprint,
            "classes": list(self.classes),
            "splits": {
                part: {"count": self.count(part), "per_class": _per_class(self.split(part), self.classes)}
                for part in PARTS
            },
            "notes": list(self.notes),
            "left_out": [str(fault) for fault in self.left_out],
        }

    def listing(self) -> Rows:
        """Every picture with its class and digest."""
        return rows_of(self.dataset)

    def close(self) -> None:
        """Let go of what gives the pictures."""
        self.dataset.close()


def _per_class(split: Split, classes: tuple[str, ...]) -> dict[str, int]:
    counts = Counter(split.labels.tolist())
    return {name: counts[number] for number, name in enumerate(classes)}


def picture_material(recipe: Recipe, source: Source, dataset: Dataset, device: str) -> PictureMaterial:
    """What a recipe with nothing left open makes of pictures.

    Raises:
        ConfigError: options that do not fit the pictures.
    """
    preprocess = _preprocess(recipe, picture_of(recipe, source), dataset)
    feed = feed_of(recipe, dataset, preprocess, device)
    return PictureMaterial(dataset, preprocess, feed, own_target=recipe.task == "reconstruct")


def picture_of(recipe: Recipe, source: Source) -> Picture:
    """The uint8 picture that training and prediction bring everything to.

    Pictures that all lack the same few pixels on each side are put in the middle of black, as the paper
    did with its digits; all others are resized.
    """
    asked = recipe.preprocess
    size = asked.image_size or card(recipe.model).usual.image_size
    channels = asked.channels or source.channels
    if source.size is not None and source.size[0] == source.size[1]:
        lacking = size - source.size[0]
        if lacking % 2 == 0 and 0 < lacking <= 2 * PAPER_PAD:
            return Picture(channels, *source.size, pad=lacking // 2, kind=source.kind, resize=asked.resize)
    return Picture(channels, size, size, kind=source.kind, resize=asked.resize)


def stored_for_training(recipe: Recipe, source: Source) -> Picture:
    """The same, larger by an eighth of the side and more where random crops are to be taken from it."""
    picture = picture_of(recipe, source)
    if recipe.augment.changes().crop_scale == 1:
        return picture
    height, width = (-(-side * 8 // 7) for side in (picture.height, picture.width))
    return replace(picture, height=height, width=width)


def shares_of(recipe: Recipe) -> Shares:
    """How data that bring no split are divided."""
    split = recipe.split
    return Shares(split.validation_fraction, split.test_fraction, split.folds, split.fold)


def settled(recipe: Recipe, source: Source) -> Recipe:
    """The recipe with nothing left open, now that the data are known."""
    train = divide(source.parts, shares_of(recipe), recipe.seed)[0]
    picture = picture_of(recipe, source)
    return settle(recipe, len(train), usual_changes(recipe, source, picture))


def prepare_data(
    recipe: Recipe,
    source: Source,
    progress: Callable[[int, int], None] | None = None,
    *,
    picture: Picture | None = None,
) -> Dataset:
    """Read and split the data as the recipe says; `picture` is the recipe's own, or that of a finished model.

    Raises:
        DataError: pictures that do not decode, or too few to validate and to test with.
    """
    train_picture = picture or stored_for_training(recipe, source)
    fitted = picture or picture_of(recipe, source)
    wanted = Wanted(fitted, train_picture, shares_of(recipe), recipe.seed, recipe.split.skip_bad, storage_of(recipe))
    dataset = prepare(source, wanted, progress)
    for name, part in (("validation", dataset.validation), ("test", dataset.test)):
        if not len(part):
            dataset.close()
            fix = "bring a split of your own, or at least 3 pictures of some class"
            raise DataError(source.location, f"{name} pictures", "at least one", got="none", fix=fix)
    return dataset


def storage_of(recipe: Recipe) -> Storage:
    """Where decoded pictures are kept."""
    execution = recipe.execution
    return Storage(execution.cache, cache_path("decoded"), round(execution.cache_gb * 1e9), execution.workers)


def feed_of(recipe: Recipe, dataset: Dataset, preprocess: Preprocess, device: str) -> Feed:
    """What training batches are made of, by a recipe with nothing left open.

    Raises:
        ConfigError: random changes that mean nothing for this picture.
    """
    picture, augment = preprocess.picture, recipe.augment.changes()
    check(augment, picture.channels, top_of(picture.kind))
    side = min(picture.height, picture.width)
    if augment.shift >= side:
        raise ConfigError("augment", "shift", f"below the picture's {side} pixels", got=augment.shift, fix="2 is usual")
    return Feed(
        split=dataset.train,
        preprocess=preprocess,
        augment=augment,
        seed=recipe.seed,
        batch_size=batch_size(len(dataset.train)),  # a loop asks for its own
        num_classes=len(dataset.classes),
        axes=colour_axes(_part_by_part(dataset), top_of(picture.kind)) if augment.colour_noise else None,
        balanced=recipe.sampling.balanced,
        device=device,
        windows=windows if library() is not None else None,
    )


def _preprocess(recipe: Recipe, picture: Picture, dataset: Dataset) -> Preprocess:
    """From pixels to input, measured on the training split where it is to be."""
    asked, plain = recipe.preprocess, Preprocess.plain(picture)
    if asked.normalise == "none":
        return plain
    if asked.mean is not None and asked.std is not None:
        _check_given(asked.mean, asked.std, picture)
        return Preprocess(picture, asked.mean, asked.std)
    normal = Preprocess(picture, *mean_std(_part_by_part(dataset)))
    if asked.normalise in ("pca", "zca"):
        return normal.whitened(_part_by_part(dataset), asked.normalise)
    return normal


def _check_given(mean: tuple[float, ...], std: tuple[float, ...], picture: Picture) -> None:
    """Refuse numbers in units of bytes, and those of another count of channels."""
    top = "numbers" if picture.kind == "float32" else "numbers in [0, 1]"
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != picture.channels or (picture.kind != "float32" and not all(0 <= v <= 1 for v in values)):
            fix = f"of bytes, divide by 255; or normalise=measured takes the {name} of the training pictures"
            raise ConfigError("preprocess", name, f"{picture.channels} {top}, one a channel", got=list(values), fix=fix)


def _part_by_part(dataset: Dataset) -> Iterator[Tensor]:
    """The training pictures, some at a time."""
    for start in range(0, len(dataset.train), MEASURED_AT_ONCE):
        rows = np.arange(start, min(start + MEASURED_AT_ONCE, len(dataset.train)))
        yield dataset.train.pictures.gather(rows)
