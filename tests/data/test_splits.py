import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.base.errors import ConfigError
from striate.data.items import ArrayItems
from striate.data.samples import Samples
from striate.data.splits import Shares, divide, stratified, stratified_folds


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
    *found, _ = divide(parts, Shares(0.25, 0.2), 0)
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
    notes = divide(parts, Shares(0.1, 0.2), 0)[3]
    assert notes == ("no test split given: 0.2 of training is kept apart as test",)


def test_three_given_splits_are_taken_as_they_are():
    parts = {part: samples(LABELS[:n], part) for part, n in (("train", 100), ("validation", 30), ("test", 20))}
    assert lengths(parts) == (100, 30, 20)
    found = divide(parts, Shares(7.0, 7.0), 0)  # fractions that nobody needs
    assert found[0] is parts["train"]


def test_picked_samples_keep_label_and_name():
    part = divide({"all": samples(LABELS)}, Shares(0.1, 0.1), 1)[2]
    assert [LABELS[int(name.split("/")[1])] for name in part.names] == part.labels.tolist()


def test_validation_is_drawn_apart_from_test():
    _, validation, test, _ = divide({"all": samples(LABELS)}, Shares(0.25, 0.2), 5)
    kept, taken = stratified(LABELS, 0.2, 5)
    rows = kept[stratified(LABELS[kept], 0.25, 5, draw=1)[1]]
    assert test.names == tuple(f"all/{i}" for i in taken)
    assert validation.names == tuple(f"all/{i}" for i in rows)
    same_draw = kept[stratified(LABELS[kept], 0.25, 5)[1]]
    assert not np.array_equal(rows, same_draw)


def test_folds_are_validation_in_turn_each_with_its_share_of_every_class():
    runs = [divide({"all": samples(LABELS)}, Shares(0.1, 0.2, folds=5, fold=k), 3) for k in range(5)]
    assert len({test.names for _, _, test, _ in runs}) == 1
    names = [name for _, validation, _, _ in runs for name in validation.names]
    assert len(names) == len(set(names)) == 160
    for train, validation, _, _ in runs:
        assert not set(train.names) & set(validation.names)
        assert np.bincount(validation.labels).tolist() == [8] * 4


@given(st.lists(st.integers(0, 5), min_size=1, max_size=80), st.integers(2, 7), st.integers(0, 2**40))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_folds_differ_by_at_most_one_in_size_and_in_every_class(labels, folds, seed):
    labels = np.array(labels, dtype=np.int64)
    fold = stratified_folds(labels, folds, seed)
    for part in (np.ones(len(labels), bool), *(labels == c for c in set(labels.tolist()))):
        counts = np.bincount(fold[part], minlength=folds)
        assert counts.max() - counts.min() <= 1


def test_folds_of_data_with_a_validation_split_are_refused():
    parts = {"train": samples(LABELS, "train"), "validation": samples(LABELS[:30], "validation")}
    with pytest.raises(ConfigError, match=r"folds must be left out for data with a validation split, got 5"):
        divide(parts, Shares(0.1, 0.2, folds=5), 0)


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (5, 5), (5, -1)])
def test_a_fold_that_is_none_is_refused(folds, fold):
    with pytest.raises(ConfigError, match=r"fold must be 0 to folds - 1, of at least 2 folds"):
        Shares(0.1, 0.2, folds=folds, fold=fold)


def test_groups_stay_whole_in_every_split_and_fold():
    groups = tuple(f"patient {i // 5}" for i in range(200))
    grouped = Samples(samples(LABELS).items, LABELS, samples(LABELS).names, groups)
    for shares in (Shares(0.2, 0.2), Shares(0.1, 0.2, folds=4, fold=2)):
        *found, notes = divide({"all": grouped}, shares, 7)
        assert notes == ()
        sets = [set(part.groups) for part in found]
        assert sets[0].isdisjoint(sets[1] | sets[2])
        assert sets[1].isdisjoint(sets[2])
        assert sum(map(len, found)) == 200
        assert all(len(part) > 20 for part in found)


def test_a_given_split_that_tears_groups_apart_is_told():
    parts = {}
    for part, n in (("train", 100), ("validation", 30), ("test", 20)):
        plain = samples(LABELS[:n], part)
        parts[part] = Samples(plain.items, plain.labels, plain.names, ("a", "b") * (n // 2))
    notes = divide(parts, Shares(0.1, 0.2), 0)[3]
    assert notes == ("2 groups stand in more than one part of the given split, first 'a'",)
