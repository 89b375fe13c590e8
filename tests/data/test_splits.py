import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.base.errors import ConfigError
from striate.data.items import ArrayItems
from striate.data.samples import Samples
from striate.data.splits import divide, stratified


def samples(labels: np.ndarray, prefix: str = "all") -> Samples:
    items = ArrayItems(np.zeros((len(labels), 2, 2), np.uint8))
    return Samples(items, labels, tuple(f"{prefix}/{i}" for i in range(len(labels))))


@given(
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    fraction=st.floats(0, 0.95),
    seed=st.integers(0, 2**40),
    shuffle=st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_class_gives_its_share_and_keeps_some(counts, fraction, seed, shuffle):
    labels = [c for c, count in enumerate(counts) for _ in range(count)]
    shuffle.shuffle(labels)
    labels = np.array(labels, dtype=np.int64)
    kept, taken = stratified(labels, fraction, seed)
    assert sorted([*kept, *taken]) == list(range(len(labels)))
    assert (np.diff(kept) > 0).all()
    assert (np.diff(taken) > 0).all()
    for c, count in enumerate(counts):
        share = int((labels[taken] == c).sum())
        if count == 1 or fraction == 0:
            assert share == 0
        else:
            assert 1 <= share <= count - 1
            assert abs(share - fraction * count) <= 0.5 or share in (1, count - 1)


def test_the_same_seed_splits_the_same_and_another_does_not():
    labels = np.repeat(np.arange(10), 100).astype(np.int64)
    first, again, other, second = (stratified(labels, 0.2, s, draw=d)[1] for s, d in ((3, 0), (3, 0), (4, 0), (3, 1)))
    assert np.array_equal(first, again)
    for different in (other, second):
        assert 15 <= len(np.intersect1d(first, different)) <= 75  # a fifth of 200 by chance


def test_every_sample_is_equally_likely():
    labels = np.zeros(50, dtype=np.int64)
    counts = np.bincount(np.concatenate([stratified(labels, 0.2, seed)[1] for seed in range(500)]), minlength=50)
    assert counts.sum() == 500 * 10
    assert (abs(counts - 100) < 5 * 80**0.5).all()


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ConfigError, match=r"fraction must be in \[0, 1\), got .*\n  Fix: 0\.1 takes a tenth"):
        stratified(np.zeros(4, dtype=np.int64), fraction, 0)


LABELS = np.tile(np.arange(4), 50).astype(np.int64)  # 200


def lengths(parts: dict[str, Samples]) -> tuple[int, int, int]:
    *found, _ = divide(parts, seed=0, validation_fraction=0.25, test_fraction=0.2)
    names = [name for part in found for name in part.names]
    assert len(names) == len(set(names)) == sum(map(len, parts.values()))
    return tuple(map(len, found))


def test_one_part_gives_test_first_and_validation_from_the_rest():
    assert lengths({"all": samples(LABELS)}) == (120, 40, 40)
    assert lengths({"train": samples(LABELS)}) == (120, 40, 40)


def test_a_given_test_split_stays_whole():
    assert lengths({"train": samples(LABELS, "train"), "test": samples(LABELS[:30], "test")}) == (148, 52, 30)


def test_a_given_validation_split_stays_and_test_comes_out_of_training_with_a_note():
    parts = {"train": samples(LABELS, "train"), "validation": samples(LABELS[:30], "validation")}
    assert lengths(parts) == (160, 30, 40)
    notes = divide(parts, seed=0, validation_fraction=0.1, test_fraction=0.2)[3]
    assert notes == ("no test split given: 0.2 of training is kept apart as test",)


def test_three_given_splits_are_taken_as_they_are():
    parts = {part: samples(LABELS[:n], part) for part, n in (("train", 100), ("validation", 30), ("test", 20))}
    assert lengths(parts) == (100, 30, 20)
    found = divide(parts, seed=0, validation_fraction=7.0, test_fraction=7.0)  # fractions that nobody needs
    assert found[0] is parts["train"]


def test_picked_samples_keep_label_and_name():
    part = divide({"all": samples(LABELS)}, seed=1, validation_fraction=0.1, test_fraction=0.1)[2]
    assert [LABELS[int(name.split("/")[1])] for name in part.names] == part.labels.tolist()


def test_validation_is_drawn_apart_from_test():
    options = {"seed": 5, "validation_fraction": 0.25, "test_fraction": 0.2}
    _, validation, test, _ = divide({"all": samples(LABELS)}, **options)
    kept, taken = stratified(LABELS, 0.2, 5)
    rows = kept[stratified(LABELS[kept], 0.25, 5, draw=1)[1]]
    assert test.names == tuple(f"all/{i}" for i in taken)
    assert validation.names == tuple(f"all/{i}" for i in rows)
    same_draw = kept[stratified(LABELS[kept], 0.25, 5)[1]]
    assert not np.array_equal(rows, same_draw)
