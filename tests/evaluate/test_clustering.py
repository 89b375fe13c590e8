import numpy as np
import pytest
import torch
from sklearn.metrics.cluster import contingency_matrix

from striate.evaluate.clustering import clustering

GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.arange(90) % 3
SEPARATE = torch.randn(90, 5, generator=GENERATOR) + 20 * torch.nn.functional.one_hot(LABELS, 5)


def test_classes_that_lie_apart_are_found_and_purity_is_far_above_chance():
    found = clustering(SEPARATE, LABELS, clusters=3, classes=3, seed=0)
    assert found.purity == 1.0
    assert 1 / 3 < found.chance < 0.5
    assert found.count == 90
    assert sorted(map(sum, found.table)) == [30, 30, 30]


def test_features_that_say_nothing_are_no_better_than_chance():
    noise = torch.randn(900, 5, generator=GENERATOR)
    found = clustering(noise, torch.arange(900) % 3, clusters=3, classes=3, seed=0)
    assert found.purity == pytest.approx(found.chance, abs=0.04)


def test_purity_is_that_of_a_contingency_table():
    found = clustering(SEPARATE + 15 * torch.randn(90, 5, generator=GENERATOR), LABELS, clusters=4, classes=3, seed=1)
    clusters = np.repeat(np.arange(4), [sum(row) for row in found.table])
    classes = np.concatenate([np.repeat(np.arange(3), row) for row in found.table])
    assert found.purity == contingency_matrix(classes, clusters).max(0).sum() / 90
    assert found.purity < 1


def test_it_is_a_pure_function_of_its_seed_and_leaves_the_global_generators_alone():
    features = torch.randn(60, 4, generator=GENERATOR)
    np.random.seed(0)
    torch.manual_seed(0)
    before = np.random.get_state()[2], torch.get_rng_state()
    once, again = (clustering(features, LABELS[:60], clusters=3, classes=3, seed=5) for _ in range(2))
    assert once == again
    assert before[0] == np.random.get_state()[2]
    assert torch.equal(before[1], torch.get_rng_state())
    assert clustering(features, LABELS[:60], clusters=3, classes=3, seed=6).chance != once.chance


def test_features_that_have_collapsed_are_one_cluster():
    found = clustering(torch.ones(30, 4), LABELS[:30], clusters=3, classes=3, seed=0)
    assert found.purity == pytest.approx(1 / 3)
    assert found.chance == pytest.approx(1 / 3)
