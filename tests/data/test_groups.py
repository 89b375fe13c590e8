import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.base.errors import DataError
from striate.data.groups import group_folds, grouped


@st.composite
def grouped_samples(draw):
    """Labels and groups: up to 40 groups of up to 12 samples of up to 4 classes, in any order."""
    sizes = draw(st.lists(st.integers(1, 12), min_size=8, max_size=40))
    groups = [f"patient {i}" for i, size in enumerate(sizes) for _ in range(size)]
    labels = draw(st.lists(st.integers(0, 3), min_size=len(groups), max_size=len(groups)))
    order = draw(st.permutations(range(len(groups))))
    return np.array([labels[i] for i in order], dtype=np.int64), [groups[i] for i in order]


@given(grouped_samples(), st.floats(0.1, 0.5), st.integers(0, 2**40))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_no_group_stands_on_both_sides_and_no_class_is_used_up(sample, fraction, seed):
    labels, groups = sample
    try:
        kept, taken = grouped(labels, groups, fraction, seed)
    except DataError:  # classes so rare that no group can be spared
        assert min(len({g for g, c in zip(groups, labels, strict=True) if c == k}) for k in set(labels.tolist())) == 1
        return
    assert sorted([*kept, *taken]) == list(range(len(labels)))
    assert not {groups[i] for i in kept} & {groups[i] for i in taken}
    assert set(labels[kept]) == set(labels)


def test_the_shares_of_the_classes_are_near_the_fraction():
    rng = np.random.default_rng(0)
    groups = [f"g{i}" for i in range(200) for _ in range(5)]
    labels = rng.integers(0, 3, 1000)
    _, taken = grouped(labels, groups, 0.2, 1)
    for c in range(3):
        assert abs((labels[taken] == c).mean() - (labels == c).mean()) < 0.03
        assert abs((labels[taken] == c).sum() / (labels == c).sum() - 0.2) < 0.02


def test_the_order_of_the_samples_changes_nothing_and_the_seed_does():
    groups = [f"g{i // 3}" for i in range(90)]
    labels = np.arange(90) % 2
    chosen = {groups[i] for i in grouped(labels, groups, 0.3, 5)[1]}
    backwards = {groups[::-1][i] for i in grouped(labels[::-1].copy(), groups[::-1], 0.3, 5)[1]}
    assert chosen == backwards != {groups[i] for i in grouped(labels, groups, 0.3, 6)[1]}


def test_a_single_group_cannot_be_divided():
    with pytest.raises(DataError, match=r"1 groups of 6 pictures, none of which can be spared"):
        grouped(np.array([0, 1, 0, 1, 0, 1]), ["same"] * 6, 0.2, 0)


@given(grouped_samples(), st.integers(2, 6), st.integers(0, 2**40))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_every_fold_has_whole_groups_and_about_its_share(sample, folds, seed):
    labels, groups = sample
    fold = group_folds(labels, groups, folds, seed)
    for name in set(groups):
        assert len({int(f) for f, g in zip(fold, groups, strict=True) if g == name}) == 1
    assert set(fold) == set(range(folds))


def test_as_many_groups_as_folds_are_needed():
    with pytest.raises(DataError, match=r"number of groups must be at least 3, one a fold, got 2"):
        group_folds(np.array([0, 1, 0]), ["a", "b", "a"], 3, 0)
