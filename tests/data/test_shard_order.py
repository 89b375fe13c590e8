import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.base.errors import ConfigError
from striate.base.random import Purpose, key, philox
from striate.data.batches import epoch_order
from striate.data.shard_order import Share, batch_starts, shard_order

sizes = st.lists(st.integers(0, 30), min_size=1, max_size=12)


def shards(counts) -> np.ndarray:
    return np.repeat(np.arange(len(counts)), counts).astype(np.int64)


EQUAL = shards([100] * 50)


@settings(max_examples=100, deadline=None)
@given(counts=sizes, seed=st.integers(0, 2**40), epoch=st.integers(0, 9), window=st.integers(0, 90), data=st.data())
def test_every_sample_is_in_exactly_one_stream_once(counts, seed, epoch, window, data):
    shard, world = shards(counts), data.draw(st.integers(1, 6))
    streams = [shard_order(shard, seed=seed, epoch=epoch, window=window, share=Share(r, world)) for r in range(world)]
    assert sorted(torch.cat(streams).tolist()) == list(range(len(shard)))
    lengths = [len(stream) for stream in streams]
    assert max(lengths) - min(lengths) <= 1
    touched = [set(shard[stream.numpy()]) for stream in streams]
    assert sum(map(len, touched)) <= len({*shard}) + world - 1  # neighbours share one shard at most


@settings(max_examples=100, deadline=None)
@given(count=st.integers(1, 500), batch_size=st.integers(1, 40), world=st.integers(1, 6))
def test_all_processes_make_equally_many_batches_that_hold_everything(count, batch_size, world):
    if count // world < math.ceil(math.ceil(count / world) / batch_size):
        with pytest.raises(ConfigError, match=r"at least one sample, got .*\n  Fix: take a batch_size of 2 or more"):
            batch_starts(count, batch_size, Share(0, world))
        return
    starts = [batch_starts(count, batch_size, Share(r, world)) for r in range(world)]
    assert len({len(s) for s in starts}) == 1
    for rank, s in enumerate(starts):
        begin, end = Share(rank, world).bounds(count)
        assert (s[0], s[-1]) == (0, end - begin)
        assert ((np.diff(s) >= 1) & (np.diff(s) <= batch_size)).all()
        assert (np.diff(s)[:-2] == batch_size).all()
    if world == 1:
        assert starts[0].tolist() == [*range(0, count, batch_size), count]


def test_the_order_depends_on_seed_and_epoch_and_on_nothing_else():
    orders = [shard_order(EQUAL, seed=s, epoch=e, window=400) for s, e in ((0, 0), (0, 1), (1, 0))]
    torch.manual_seed(5)
    np.random.seed(5)
    assert torch.equal(orders[0], shard_order(EQUAL, seed=0, epoch=0, window=400))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert int((orders[a] == orders[b]).sum()) < 20
        assert np.mean(EQUAL[orders[a].numpy()] == EQUAL[orders[b].numpy()]) < 0.1  # other shards at the same time
    assert int((orders[0] == epoch_order(len(EQUAL), 0, 0)).sum()) < 20


def test_without_a_window_shards_are_read_whole_and_in_order():
    order = shard_order(EQUAL, seed=3, epoch=1, window=0).numpy()
    runs = order.reshape(50, 100)
    assert (np.diff(runs) == 1).all()
    assert sorted(EQUAL[runs[:, 0]]) == list(range(50))
    assert not (np.diff(EQUAL[runs[:, 0]]) == 1).all()


@pytest.mark.parametrize("window", [200, 400, 1000])
def test_nothing_moves_further_than_the_window(window):
    unmixed = shard_order(EQUAL, seed=3, epoch=1, window=0).numpy()
    mixed = shard_order(EQUAL, seed=3, epoch=1, window=window).numpy()
    place = np.empty_like(mixed)
    place[mixed] = np.arange(len(mixed))
    moved = place[unmixed] - np.arange(len(mixed))
    assert abs(moved).max() <= window
    assert abs(moved).max() > 0.4 * window
    open_at_once = [len({*EQUAL[mixed[i : i + 32]]}) for i in range(0, len(mixed), 32)]
    assert max(open_at_once) <= window // 100 + 3


@pytest.mark.parametrize("width", [2, 4, 10])
def test_neighbours_are_of_one_shard_as_seldom_as_a_window_of_that_many_shards_allows(width):
    """Sampling from `width` shards alike gives 1 / width; uniform shuffling of all would give 1 / 50."""
    same = []
    for epoch in range(8):
        order = shard_order(EQUAL, seed=0, epoch=epoch, window=100 * width).numpy()
        same.append(np.mean(EQUAL[order[1:]] == EQUAL[order[:-1]]))
    assert abs(np.mean(same) - 1 / width) < 0.2 / width, same


def test_every_place_in_a_window_is_alike_for_the_samples_of_one_shard():
    """The first and the last sample of a shard go equally far ahead and back."""
    moved = []
    for epoch in range(40):
        unmixed = shard_order(EQUAL, seed=1, epoch=epoch, window=0).numpy()
        mixed = shard_order(EQUAL, seed=1, epoch=epoch, window=400).numpy()
        place = np.empty_like(mixed)
        place[mixed] = np.arange(len(mixed))
        moved.append((place[unmixed] - np.arange(len(mixed)))[1000:4000].reshape(30, 100))
    by_place = np.mean(moved, axis=(0, 1))  # of the 100 places in a shard
    assert abs(by_place).max() < 5 * 400 / 12**0.5 / (40 * 30) ** 0.5


def test_a_batch_needs_nothing_before_it():
    order, starts = (
        shard_order(EQUAL, seed=0, epoch=4, window=300, share=Share(1, 3)),
        batch_starts(5000, 64, Share(1, 3)),
    )
    again = shard_order(EQUAL, seed=0, epoch=4, window=300, share=Share(1, 3))
    for b in (0, 7, len(starts) - 2):
        assert torch.equal(order[starts[b] : starts[b + 1]], again[starts[b] : starts[b + 1]])


def test_the_order_is_the_one_that_is_written_down():
    """Draw by draw: shards and samples share no numbers with each other, nor with `epoch_order`."""
    counts, seed, epoch, window = [3, 0, 5, 2], 11, 6, 4
    shard = shards(counts)

    def words(counter, use):
        place = tuple(np.array([number]) for number in (counter, epoch, use, 0))
        return [int(word[0]) for word in philox(place, key(seed, Purpose.ORDER))]

    def signed(high, low):
        value = high << 32 | low
        return value - 2**64 if value >= 2**63 else value

    turns = sorted(range(4), key=lambda s: signed(*words(s, 1)[:2]))
    laid = [row for s in turns for row in range(10) if shard[row] == s]
    places = [p + words(row, 2)[0] / 2**32 * window for p, row in enumerate(laid)]
    expected = [row for _, row in sorted(zip(places, laid, strict=True))]
    assert shard_order(shard, seed=seed, epoch=epoch, window=window).tolist() == expected


def test_a_negative_window_is_refused():
    with pytest.raises(ConfigError, match=r"window must be >= 0 samples, got -1"):
        shard_order(EQUAL, seed=0, epoch=0, window=-1)
