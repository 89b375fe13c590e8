"""From a recipe to the parts that train: data, preprocessing, network, optimiser, schedule, loss."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import ceil

import numpy as np
import torch
from torch import Tensor, nn

from striate.analysis.rules import trainable_parameters
from striate.base.errors import ConfigError, DataError
from striate.data.augment import check, colour_axes
from striate.data.batches import Feed
from striate.data.cache_folder import cache_path
from striate.data.dataset import Dataset, Wanted, prepare
from striate.data.kinds import top_of
from striate.data.picture import Picture
from striate.data.preprocess import Preprocess
from striate.data.samples import Source
from striate.data.splits import Shares, divide
from striate.data.statistics import mean_std
from striate.data.storage import Storage
from striate.deploy.bundle import Architecture
from striate.experiment.recipe import Recipe
from striate.experiment.settle import settle
from striate.models.card import Card, Criterion, Given, Options
from striate.models.catalogue import card, drawn, title, with_heads
from striate.models.own_file import check_output, is_file, short_name
from striate.training.engine import Objective, TrainState
from striate.training.losses import class_loss, class_weights
from striate.training.optimisers import OPTIMISERS, Settings
from striate.training.plan import Plan
from striate.training.schedules import SCHEDULES, Curve, Schedule

MEASURED_AT_ONCE = 256  # pictures
PAPER_PAD = 2  # pixels: LeCun et al. 1998 put the 28x28 digits in the middle of 32x32


@dataclass(frozen=True, slots=True)
class Wired:
    """Everything a run needs, built and placed.

    Args:
        recipe: what was asked for.
        card: what its network is.
        dataset: splits of uint8 pictures.
        preprocess: uint8 picture -> input.
        feed: what training batches are made of.
        architecture: how to build the network again.
        plan: what runs the steps.
        network: what is kept: the trained module, without heads that only training needs.
        state: trained module and optimiser before the first update.
        objective: what is minimised.
        lr_at: learning rate of an update.
        epochs: passes over the training split.
        steps_per_epoch: updates in an epoch, the last partial batch included.
    """

    recipe: Recipe
    card: Card
    dataset: Dataset
    preprocess: Preprocess
    feed: Feed
    architecture: Architecture
    plan: Plan
    network: nn.Module
    state: TrainState
    objective: Objective
    lr_at: Schedule
    epochs: int
    steps_per_epoch: int

    @property
    def title(self) -> str:
        """What the network is called where a name has to be short."""
        return title(self.recipe.model)

    @property
    def parameters(self) -> int:
        """Trainable numbers of the network."""
        return trainable_parameters(self.network)


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
    return settle(recipe, source, picture_of(recipe, source), len(train))


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


def wire(recipe: Recipe, source: Source, dataset: Dataset, plan: Plan) -> Wired:
    """Build and place what trains.

    Raises:
        ConfigError: options that do not fit the data or the network.
    """
    picture, chosen = picture_of(recipe, source), card(recipe.model)
    assert recipe.epochs is not None
    asked = _asked(recipe, chosen, picture, len(dataset.classes))
    network = plan.place(drawn(chosen, asked, recipe.seed))
    _check_logits(recipe, network, asked, plan)
    model = plan.place(with_heads(chosen, network, recipe.seed))
    preprocess = _preprocess(recipe, picture, dataset)
    feed = feed_of(recipe, dataset, preprocess, plan.device)
    steps_per_epoch = ceil(len(dataset.train) / feed.batch_size)
    total = recipe.epochs * steps_per_epoch
    warmup = min(total, round((recipe.schedule.warmup_epochs or 0.0) * steps_per_epoch))
    settings = Settings(lr=recipe.lr, weight_decay=recipe.weight_decay, momentum=recipe.momentum or 0.0)
    optimizer = OPTIMISERS[recipe.optimizer](model, settings)
    return Wired(
        recipe=recipe,
        card=chosen,
        dataset=dataset,
        preprocess=preprocess,
        feed=feed,
        architecture=_architecture(recipe, chosen, asked),
        plan=plan,
        network=network,
        state=TrainState(model=model, optimizer=optimizer, seed=recipe.seed),
        objective=Objective(_loss(recipe, chosen, dataset)),
        lr_at=SCHEDULES[recipe.schedule.name](recipe.lr, warmup, total, Curve()),
        epochs=recipe.epochs,
        steps_per_epoch=steps_per_epoch,
    )


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
    assert recipe.batch_size is not None
    return Feed(
        split=dataset.train,
        preprocess=preprocess,
        augment=augment,
        seed=recipe.seed,
        batch_size=recipe.batch_size,
        num_classes=len(dataset.classes),
        axes=colour_axes(_part_by_part(dataset), top_of(picture.kind)) if augment.colour_noise else None,
        balanced=recipe.sampling.balanced,
        device=device,
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


def _asked(recipe: Recipe, chosen: Card, picture: Picture, classes: int) -> Options:
    """What the builder of the network is told: the data's classes and channels, the picture's size."""
    given = Given(
        num_classes=classes,
        in_channels=picture.channels,
        image_size=picture.height + 2 * picture.pad,
        dropout=recipe.regularise.dropout,
    )
    return chosen.settle(title(recipe.model), chosen.usual, given)


def _architecture(recipe: Recipe, chosen: Card, asked: Options) -> Architecture:
    """How to build the network again: a built-in name, the whole text, or FILE.py:NAME with the digest of the file."""
    name = recipe.model if chosen.text is None else chosen.text(asked)
    return Architecture(
        name=short_name(name) if chosen.digest else name,
        num_classes=asked.classes,
        in_channels=asked.in_channels,
        image_size=asked.image_size,
        source_sha256=chosen.digest,
    )


def _check_logits(recipe: Recipe, network: nn.Module, asked: Options, plan: Plan) -> None:
    """Refuse what cannot train: an output that is no logit a class."""
    last = list(network.modules())[-1]
    if isinstance(network, nn.Sequential) and isinstance(last, nn.Softmax | nn.LogSoftmax):
        fix = "leave the softmax out: the loss takes logits, and prediction makes probabilities of them"
        raise ConfigError(title(recipe.model), "the output", "logits", got=type(last).__name__.lower(), fix=fix)
    if is_file(recipe.model):
        batch = torch.zeros(2, asked.in_channels, asked.image_size, asked.image_size, device=plan.device)
        check_output(recipe.model, network, batch, asked.classes)


def _loss(recipe: Recipe, chosen: Card, dataset: Dataset) -> Criterion:
    """Cross-entropy or focal loss, in the form that the network is trained by."""
    asked = recipe.loss
    counts = torch.bincount(dataset.train.labels, minlength=len(dataset.classes)).tolist()
    weights = class_weights(asked.class_weights, counts)
    plain = class_loss(label_smoothing=asked.label_smoothing or 0.0, weights=weights, focal_gamma=asked.focal_gamma)
    return chosen.loss(plain) if chosen.loss else plain
