import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, jaccard_score, log_loss, recall_score

from striate.evaluate.segmentation import add_up, count_pixels, segmentation


def judged(logits, masks, names, size):
    pieces = (count_pixels(x, y) for x, y in zip(logits.split(size), masks.split(size), strict=True))
    return segmentation(add_up(pieces), names)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(2, 4), st.integers(1, 7), st.integers(1, 3), st.integers(0, 10**6))
def test_every_figure_is_scikit_learns_however_the_pictures_are_cut_into_batches(k, n, size, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, k, 5, 4, generator=generator)
    masks = torch.randint(0, k, (n, 5, 4), generator=generator)
    found = judged(logits, masks, tuple(map(str, range(k))), size)
    y, p = masks.numpy().ravel(), logits.argmax(1).numpy().ravel()
    assert np.array_equal(np.array(found.confusion), confusion_matrix(y, p, labels=range(k)))
    assert found.pixel_accuracy == accuracy_score(y, p)
    present = sorted(set(y) | set(p))
    assert found.score == pytest.approx(jaccard_score(y, p, labels=present, average="macro"))
    recalls = recall_score(y, p, labels=range(k), average=None, zero_division=np.nan)
    for number, entry in enumerate(found.per_class):
        theirs = jaccard_score(y == number, p == number) if number in present else None
        assert entry.iou == (None if theirs is None else pytest.approx(theirs))
        assert math.isnan(recalls[number]) if entry.recall is None else entry.recall == pytest.approx(recalls[number])
        assert entry.count == (y == number).sum()
    probabilities = logits.double().softmax(1).movedim(1, -1).reshape(-1, k).numpy()
    assert found.loss == pytest.approx(log_loss(y, probabilities, labels=list(range(k))))
    assert found.count == n


def test_a_class_that_nothing_shows_has_no_iou():
    logits = torch.tensor([[[[1.0]], [[0.0]], [[-1.0]]]])  # one pixel, of three classes the first
    found = judged(logits, torch.tensor([[[0]]]), ("a", "b", "c"), 1)
    assert [entry.iou for entry in found.per_class] == [1.0, None, None]
    assert found.as_dict()["iou"] == found.iou == 1.0
