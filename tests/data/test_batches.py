import numpy as np
import pytest
import torch

from striate.data.augment import Augment, apply, draw
from striate.data.batches import epoch_order, evaluation_batches, training_batches
from striate.data.picture import Picture
from striate.data.preprocess import Preprocess
from striate.data.split import Split

PICTURE = Picture(1, 8, 8, pad=1)
PREPROCESS = Preprocess(PICTURE, (0.4,), (0.3,))


def split(count: int = 53, channels: int = 1) -> Split:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    return Split(images, torch.arange(count) % 10, tuple(f"all/{i}" for i in range(count)))


def epoch(**options):
    defaults = {"seed": 3, "epoch": 2, "batch_size": 8}
    return list(training_batches(split(), PREPROCESS, Augment(1, True), **(defaults | options)))


def test_an_epoch_is_a_permutation_that_depends_on_seed_and_epoch():
    orders = [epoch_order(1000, s, e) for s, e in ((0, 0), (0, 1), (1, 0))]
    for order in orders:
        assert torch.equal(order.sort().values, torch.arange(1000))
        assert int((order == torch.arange(1000)).sum()) < 10
    assert all(int((a == b).sum()) < 10 for a, b in ((orders[0], orders[1]), (orders[0], orders[2])))
    assert torch.equal(orders[0], epoch_order(1000, 0, 0))


def test_every_place_is_equally_likely_for_a_sample():
    places = torch.stack([epoch_order(10, seed, 0) for seed in range(2000)])
    for place in range(10):
        counts = torch.bincount(places[:, place], minlength=10)
        assert ((counts - 200).abs() < 5 * 180**0.5).all()


def test_every_picture_comes_once_and_the_last_batch_holds_the_rest():
    labels = torch.cat([y for _, y in epoch()])
    assert [len(y) for _, y in epoch()] == [8] * 6 + [5]
    assert torch.equal(labels.sort().values, split().labels.sort().values)


def test_a_batch_is_gathered_augmented_and_normalised():
    data, order = split(), epoch_order(53, 3, 2)
    draws = draw(Augment(1, True), 3, 2, np.arange(53, dtype=np.int64))
    for i, (x, y) in enumerate(epoch()):
        rows = order[8 * i : 8 * i + 8]
        expected = PREPROCESS.to_input(apply(data.images[rows], draws[rows]))
        assert torch.equal(x, expected)
        assert torch.equal(y, data.labels[rows])


@pytest.mark.parametrize("first", [0, 1, 3, 6, 7, 100])
def test_a_resumed_epoch_is_the_rest_of_the_unbroken_one(first):
    resumed, whole = epoch(first=first), epoch()[first:]
    assert len(resumed) == len(whole)
    for (x, y), (u, v) in zip(resumed, whole, strict=True):
        assert torch.equal(x, u)
        assert torch.equal(y, v)


def test_the_batch_size_changes_no_picture():
    pictures = [torch.cat([x for x, _ in epoch(batch_size=size)]) for size in (1, 8, 53, 100)]
    assert all(torch.equal(pictures[0], other) for other in pictures[1:])


def test_torchs_own_generator_is_never_used():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    epoch()
    assert torch.equal(before, torch.get_rng_state())


def test_evaluation_goes_through_in_file_order():
    data = split()
    batches = list(evaluation_batches(data, PREPROCESS, 10))
    assert torch.equal(torch.cat([x for x, _ in batches]), PREPROCESS.to_input(data.images))
    assert torch.equal(torch.cat([y for _, y in batches]), data.labels)


def test_an_empty_split_has_no_batches():
    assert list(evaluation_batches(split(0), PREPROCESS, 10)) == []


def test_colour_batches_are_channels_last_and_right():
    data = split(20, channels=3)
    preprocess = Preprocess(Picture(3, 8, 8), (0.1, 0.2, 0.3), (1.0, 1.0, 1.0))
    (x, _), *_ = training_batches(data, preprocess, Augment(), seed=0, epoch=0, batch_size=20)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(x, preprocess.to_input(data.images)[epoch_order(20, 0, 0)])
