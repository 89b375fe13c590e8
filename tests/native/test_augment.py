from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.augment import Augment
from striate.data.batches import Feed, batch_of, training_batches
from striate.data.picture import Picture
from striate.data.pictures import Held, Shelved
from striate.data.preprocess import Preprocess
from striate.data.source import open_source
from striate.data.split import Split
from striate.experiment.picture_material import picture_material, prepare_data, settled
from striate.experiment.recipe import Recipe
from striate.native import augment as native
from striate.native.library import VARIABLE


def pixels(count, height, width, channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def feed_of(pictures, picture, augment, **options):
    labels = torch.arange(len(pictures)) % 3
    split = Split(pictures, labels, tuple(map(str, range(len(pictures)))))
    rng = np.random.default_rng(1)
    mean, std = (tuple(rng.uniform(low, 0.6, picture.channels).tolist()) for low in (0, 0.05))
    return Feed(split, Preprocess(picture, mean, std), augment, 3, batch_size=4, num_classes=3, **options)


def both(feed, samples, epoch=2):
    """The batch as torch makes it, and as the library."""
    return batch_of(feed, epoch, samples)[0], batch_of(replace(feed, windows=native.windows), epoch, samples)[0]


def normalised(feed, samples, epoch=2):
    """The batch as the bytes that the library moves, which become input afterwards."""
    in_bytes = batch_of(replace(feed, windows=native.windows, moved=native.moved), epoch, samples)[0]
    assert in_bytes.dtype == torch.uint8
    assert in_bytes.is_contiguous(memory_format=torch.channels_last)
    return feed.preprocess.to_input(in_bytes)


def same(x, y):
    return x.shape == y.shape and x.stride() == y.stride() and torch.equal(x, y)


@pytest.mark.usefixtures("instructions")
def test_a_batch_is_torchs_to_the_bit_whatever_the_sizes_shifts_and_flips():
    sides = st.tuples(st.integers(1, 40), st.integers(1, 40))

    @settings(max_examples=150, deadline=None, derandomize=True)
    @given(
        st.integers(0, 5), st.integers(1, 5), sides, st.tuples(st.integers(0, 7), st.integers(0, 7)),
        st.integers(0, 3), st.booleans(), st.booleans(), st.data(),
    )  # fmt: skip
    def holds(count, channels, size, more, pad, flip, vertical, data):
        shift = data.draw(st.integers(0, min(size) - 1))
        augment = Augment(shift, flip, vertical)
        stored = size if augment.changes_nothing else (size[0] + more[0], size[1] + more[1])
        feed = feed_of(Held(pixels(9, *stored, channels)), Picture(channels, *size, pad), augment)
        x, y = both(feed, np.arange(count, dtype=np.int64) * 2)
        assert torch.equal(x, y)
        assert x.stride() == y.stride() or not count
        assert y.shape == (count, channels, size[0] + 2 * pad, size[1] + 2 * pad)
        assert torch.equal(normalised(feed, np.arange(count, dtype=np.int64) * 2), x)

    holds()


@pytest.mark.usefixtures("instructions")
@pytest.mark.parametrize("count", [2, 33])  # the larger result is written past the cache
def test_photographs_are_torchs_to_the_bit(count):
    feed = feed_of(Held(pixels(33, 256, 256, 3)), Picture(3, 224, 224), Augment(20, True, True))
    assert same(*both(feed, np.arange(count)))


@pytest.mark.usefixtures("instructions")
def test_a_window_that_lies_beyond_the_picture_is_0_before_the_steps():
    picture = pixels(1, 4, 5, 2)
    far = [[9, 0], [-9, 0], [0, 9], [0, -9], [-2, -3], [2, 3]]
    moves = torch.tensor([[top, left, flip, 0] for top, left in far for flip in (0, 1)])
    steps = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])
    places = np.zeros((len(moves), 2), dtype=np.int64)
    y = native.windows((picture,), places, moves, size=(4, 5), border=0, steps=steps)
    padded = np.pad(picture[0], ((9, 9), (9, 9), (0, 0))).astype(np.float32)
    for image, (top, left, flip, _) in zip(y, moves.tolist(), strict=True):
        window = padded[9 + top : 13 + top, 9 + left : 14 + left]
        expected = torch.from_numpy((window[:, ::-1] if flip else window).copy())
        assert torch.equal(image.permute(1, 2, 0), (expected - steps[0]) * steps[1])


@pytest.mark.usefixtures("instructions")
def test_pictures_are_read_where_they_lie_in_whichever_segment():
    parts = pixels(4, 6, 7, 3), pixels(3, 6, 7, 3, seed=1)
    segment, row = np.array([1, 0, 0, 1, 1]), np.array([2, 3, 0, 0, 1])
    feed = feed_of(Shelved(parts, segment, row), Picture(3, 6, 7), Augment(2, True))
    assert same(*both(feed, samples := np.array([4, 0, 2, 2, 1, 3])))
    assert torch.equal(normalised(feed, samples), batch_of(feed, 2, samples)[0])
    upside_down = Held(parts[0][::-1])  # not dense
    assert same(*both(feed_of(upside_down, Picture(3, 6, 7), Augment(2, True)), np.arange(4)))


@pytest.mark.usefixtures("instructions")
def test_the_number_of_threads_changes_no_bit():
    feed = feed_of(Held(pixels(40, 36, 36, 3)), Picture(3, 32, 32), Augment(4, True), windows=native.windows)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            found.append(batch_of(feed, 0, np.arange(40))[0])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(x, found[0]) for x in found)


@pytest.mark.usefixtures("instructions")
def test_an_epoch_of_training_is_the_same_with_and_without():
    feed = feed_of(Held(pixels(11, 8, 8, 1)), Picture(1, 8, 8, pad=2), Augment(1, True, mixup=0.4))
    one, other = (list(training_batches(f, 0)) for f in (feed, replace(feed, windows=native.windows)))
    assert len(one) == len(other) == 3
    assert all(same(x, u) and torch.equal(y, v) for (x, y), (u, v) in zip(one, other, strict=True))


@pytest.mark.usefixtures("instructions")
@pytest.mark.parametrize("places", [[[0, 2]], [[0, -1]]])
def test_a_row_that_is_not_there_is_never_read(places):
    moves, steps = torch.zeros(1, 4, dtype=torch.int64), (torch.zeros(1), torch.ones(1))
    with pytest.raises(AssertionError, match="a row of each segment"):
        native.windows((pixels(2, 3, 3, 1),), np.array(places), moves, size=(3, 3), border=0, steps=steps)
    with pytest.raises(AssertionError, match="a row of each segment"):
        native.moved((pixels(2, 3, 3, 1),), np.array(places), moves, size=(3, 3))


@pytest.mark.usefixtures("instructions")
def test_a_run_has_its_pictures_made_by_the_library_where_that_is_there(monkeypatch):
    recipe = Recipe(model="lenet5", data="digits")
    source = open_source(recipe.data)
    recipe = settled(recipe, source)
    dataset = prepare_data(recipe, source)
    material = picture_material(recipe, source, dataset, "cpu")
    assert material.feed.in_one_pass
    found = next(iter(material.training(0, 0, batch_size=32)))[0]
    monkeypatch.setenv(VARIABLE, "off")
    without = picture_material(recipe, source, dataset, "cpu")
    assert not without.feed.in_one_pass
    assert same(found, next(iter(without.training(0, 0, batch_size=32)))[0])
