import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_recall_fscore_support

from striate.evaluate.multilabel import multilabel


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 5), st.integers(1, 40), st.floats(0.0, 1.0), st.integers(0, 10**6))
def test_every_figure_is_scikit_learns(k, n, share, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, k, generator=generator)
    targets = (torch.rand(n, k, generator=generator) < share).float()
    found = multilabel(logits, targets, tuple(f"label {i}" for i in range(k)))
    y, p = targets.numpy().astype(int), (logits > 0).numpy().astype(int)
    expected = [precision_recall_fscore_support(y[:, i], p[:, i], labels=[1], zero_division=np.nan) for i in range(k)]
    for entry, scores in zip(found.per_label, expected, strict=True):
        for ours, theirs in zip((entry.precision, entry.recall, entry.f1), scores, strict=False):
            assert math.isnan(theirs[0]) if ours is None else ours == pytest.approx(theirs[0])
        assert entry.count == scores[3][0]
    macro = np.mean([f1 for _, _, (f1,), _ in expected if not math.isnan(f1)] or [math.nan])
    assert found.score == pytest.approx(macro, nan_ok=True)
    assert found.subset_accuracy == accuracy_score(y, p)
    probabilities = logits.double().sigmoid().numpy().ravel()
    assert found.loss == pytest.approx(log_loss(y.ravel(), probabilities, labels=[0, 1]))
    assert found.count == n


def test_the_mean_f1_is_scikit_learns_macro_f1_where_every_label_occurs():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(50, 4, generator=generator)
    targets = (torch.rand(50, 4, generator=generator) < 0.4).float()
    expected = f1_score(targets.numpy(), (logits > 0).numpy(), average="macro")
    assert multilabel(logits, targets, tuple("abcd")).f1 == pytest.approx(expected)


def test_labels_that_never_occur_have_no_f1_and_json_no_nan():
    found = multilabel(torch.tensor([[-1.0, 2.0], [-1.0, -2.0]]), torch.tensor([[0.0, 1.0], [0.0, 0.0]]), ("a", "b"))
    assert (found.per_label[0].f1, found.per_label[1].f1, found.f1) == (None, 1.0, 1.0)
    nothing = multilabel(torch.tensor([[-1.0]]), torch.tensor([[0.0]]), ("a",))
    assert math.isnan(nothing.score)
    assert nothing.as_dict()["f1"] is None
    assert nothing.as_dict()["per_label"][0]["name"] == "a"
