import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, precision_recall_fscore_support

from striate.evaluate.classification import classification, wilson
from striate.evaluate.collect import collect


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(2, 6), st.integers(1, 60), st.integers(0, 10**6))
def test_every_figure_is_scikit_learns(k, n, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, k, generator=generator)
    labels = torch.randint(0, k, (n,), generator=generator)
    names = tuple(f"class {number}" for number in range(k))
    found = classification(logits, labels, names)
    y, p = labels.numpy(), logits.argmax(1).numpy()
    assert found.accuracy == found.score == found.as_dict()[found.metric] == accuracy_score(y, p)
    assert np.array_equal(np.array(found.confusion), confusion_matrix(y, p, labels=range(k)))
    probabilities = logits.double().softmax(1).numpy()
    assert found.loss == pytest.approx(log_loss(y, probabilities, labels=list(range(k))))
    scores = precision_recall_fscore_support(y, p, labels=range(k), zero_division=np.nan)
    for entry, precision, recall, f1, count in zip(found.per_class, *scores, strict=True):
        assert entry.count == count
        for ours, theirs in ((entry.precision, precision), (entry.recall, recall), (entry.f1, f1)):
            assert math.isnan(theirs) if ours is None else ours == pytest.approx(theirs)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 10_000), st.data())
def test_the_interval_is_scipys_wilson_interval(count, data):
    correct = data.draw(st.integers(0, count))
    expected = binomtest(correct, count).proportion_ci(0.95, method="wilson")
    low, high = wilson(correct, count)
    assert low == pytest.approx(expected.low, abs=1e-12)
    assert high == pytest.approx(expected.high, abs=1e-12)
    assert 0 <= low <= correct / count <= high <= 1


def test_a_ragged_last_batch_counts_each_picture_once_and_the_mode_comes_back():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout(0.5)).train()
    x, y = torch.randn(10, 3, generator=torch.Generator().manual_seed(0)), torch.arange(10) % 2
    batches = [(x[:4], y[:4]), (x[4:8], y[4:8]), (x[8:], y[8:])]
    logits, labels = collect(model, batches)
    assert torch.equal(labels, y)
    torch.testing.assert_close(logits, model[0](x).detach())
    assert model.training
