from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from striate.data.augment import Augment, apply, draw, moves
from striate.data.batches import Feed, balanced_order, batch_of, epoch_order, evaluation_batches, training_batches
from striate.data.picture import Picture
from striate.data.pictures import Held, Shelved, lying
from striate.data.preprocess import Preprocess
from striate.data.split import Split

PICTURE = Picture(1, 8, 8, pad=1)
PREPROCESS = Preprocess(PICTURE, (0.4,), (0.3,))


def split(count: int = 53, channels: int = 1) -> Split:
    pixels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, channels), dtype=np.uint8)
    return Split(Held(pixels), torch.arange(count) % 10, tuple(f"all/{i}" for i in range(count)))


def epoch(batch_size=8, first=0):
    feed = Feed(split(), PREPROCESS, Augment(1, True), seed=3, batch_size=batch_size, num_classes=10)
    return list(training_batches(feed, 2, first))


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
    (x, _), *_ = training_batches(Feed(data, preprocess, Augment(), seed=0, batch_size=20, num_classes=10), 0)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(x, preprocess.to_input(data.images)[epoch_order(20, 0, 0)])


LABELS = np.array([0] * 40 + [1] * 10 + [2] * 3, dtype=np.int64)


def test_balanced_every_class_comes_equally_often_and_small_ones_in_rounds():
    order = balanced_order(LABELS, 3, 1)
    assert len(order) == 53
    counts = np.bincount(LABELS[order % 53])
    assert sorted(counts) == [17, 18, 18]
    for c, size in enumerate((40, 10, 3)):
        times = np.bincount(order[LABELS[order % 53] == c] % 53, minlength=53)[c == LABELS]
        assert times.max() - times.min() <= 1, "a sample comes again only when all of its class have come"
        rounds = order[LABELS[order % 53] == c] // 53
        assert rounds.max() == (counts[c] - 1) // size
    assert len(np.unique(order)) == 53, "a sample that comes again is drawn anew"


def test_balanced_the_order_depends_on_seed_and_epoch_and_leaves_nobody_out_for_ever():
    orders = [balanced_order(LABELS, s, e) for s, e in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert np.array_equal(orders[0], orders[3])
    assert not any(np.array_equal(orders[0], other) for other in orders[1:3])
    seen = np.unique(np.concatenate([balanced_order(LABELS, 0, e) % 53 for e in range(30)]))
    assert np.array_equal(seen, np.arange(53))


def test_balanced_batches_repeat_a_sample_with_other_changes():
    pixels = np.random.default_rng(1).integers(0, 256, (53, 8, 8, 1), dtype=np.uint8)
    data = Split(Held(pixels), torch.from_numpy(LABELS), tuple(map(str, range(53))))
    feed = Feed(data, PREPROCESS, Augment(3, True), seed=3, batch_size=53, num_classes=10, balanced=True)
    ((x, y),) = training_batches(feed, 0)
    assert sorted(torch.bincount(y).tolist()) == [17, 18, 18]
    rare = x[y == 2]
    assert len(torch.unique(rare.flatten(1), dim=0)) > 10, "three pictures, each six times, differently"


ASKED: list[dict[str, object]] = []


def windows(segments, places, moves, *, size, border, steps):
    """Stands for the native library: remembers what it is asked for."""
    ASKED.append({"segments": segments, "places": places, "moves": moves, "size": size, "border": border})
    return torch.zeros(len(places), segments[0].shape[3], size[0] + 2 * border, size[1] + 2 * border)


def one_pass_feed(**changes):
    feed = Feed(split(), PREPROCESS, Augment(1, True), seed=3, batch_size=8, num_classes=10, windows=windows)
    return replace(feed, **changes)


def test_pictures_that_are_only_moved_are_handed_over_as_they_lie():
    ASKED.clear()
    feed, samples = one_pass_feed(), np.array([5, 0, 60])  # the last is the second round of 7
    x, y = batch_of(feed, 2, samples)
    (asked,) = ASKED
    assert x.shape == (3, 1, 10, 10)
    assert y.tolist() == [5, 0, 7]
    assert asked["segments"][0] is feed.split.pictures.pixels
    assert asked["places"].tolist() == [[0, 5], [0, 0], [0, 7]]
    assert asked["size"] == (8, 8)
    assert asked["border"] == 1
    assert torch.equal(asked["moves"], moves(draw(feed.augment, 3, 2, samples), (8, 8), (8, 8)))
    assert asked["moves"][:, 2].any()
    ASKED.clear()
    batch_of(one_pass_feed(augment=Augment()), 2, samples)
    assert not ASKED[0]["moves"].any()


OTHERS = [
    {"augment": Augment(erase=0.5)},
    {"augment": Augment(rotate=5.0)},
    {"augment": Augment(crop_scale=0.5)},
    {"augment": Augment(brightness=0.5)},
    {"augment": Augment(policy="trivialaugment")},
    {"preprocess": PREPROCESS.whitened(split().images, "pca")},
    {"preprocess": Preprocess(Picture(1, 8, 8, kind="float32"), (0.4,), (0.3,))},
    {"device": "cuda"},
    {"windows": None},
]


@pytest.mark.parametrize("changes", OTHERS, ids=lambda changes: next(iter(changes)))
def test_whatever_else_is_asked_for_stays_with_torch(changes):
    assert one_pass_feed().in_one_pass
    assert one_pass_feed(augment=Augment(2, True, True, mixup=1.0)).in_one_pass
    assert not one_pass_feed(**changes).in_one_pass


@dataclass
class Decoded:
    """Pictures that lie nowhere until they are asked for."""

    pixels: np.ndarray

    def __len__(self):
        return len(self.pixels)

    def gather(self, rows):
        return torch.from_numpy(self.pixels[rows]).permute(0, 3, 1, 2)

    def close(self):
        pass


def test_pictures_lie_where_they_are_kept_or_where_they_were_decoded_to():
    pixels, rows = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 2), dtype=np.uint8), np.array([4, 0, 4])
    shelved = Shelved((pixels[:2], pixels[2:]), np.array([0, 0, 1, 1, 1, 1]), np.array([0, 1, 0, 1, 2, 3]))
    for kept in (Held(pixels), shelved):
        found = lying(kept, rows)
        assert torch.equal(found.gather(np.arange(3)), kept.gather(rows))
        assert all(np.shares_memory(segment, pixels) for segment in found.segments)
    for elsewhere in (Held(pixels[:, ::-1]), Decoded(pixels)):  # the first is not dense
        found = lying(elsewhere, rows)
        assert torch.equal(found.gather(np.arange(3)), elsewhere.gather(rows))
        assert found.segments[0].flags.c_contiguous


def test_an_empty_batch_is_flipped_too():
    x, y = batch_of(one_pass_feed(windows=None, augment=Augment(0, True, True)), 0, np.arange(0))
    assert x.shape == (0, 1, 10, 10)
    assert len(y) == 0
