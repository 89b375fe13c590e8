from functools import partial

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.binary_cross_entropy import binary_cross_entropy_with_logits
from striate.calculus.cross_entropy import cross_entropy
from striate.calculus.focal import focal
from striate.calculus.hinge import multi_class_hinge
from striate.calculus.mean_squared_error import mean_squared_error
from striate.training.losses import (
    class_loss,
    class_weights,
    classify,
    multilabel,
    reconstruct,
    regress,
    segment,
)

LOGITS = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
TARGET = torch.tensor([0, 2, 1, 0, 0, 2])


def test_balanced_weights_are_scikit_learns():
    labels = [0] * 30 + [1] * 7 + [2]
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert_close(class_weights("balanced", [30, 7, 1]), torch.tensor(expected, dtype=torch.float32))
    assert class_weights("none", [30, 7, 1]) is None
    assert class_weights((1.0, 2.0, 0.5), [30, 7, 1]).tolist() == [1.0, 2.0, 0.5]


def test_a_number_for_each_class_is_needed():
    with pytest.raises(ConfigError, match=r"class_weights must be 3 numbers, got 2"):
        class_weights((1.0, 2.0), [30, 7, 1])


def test_the_loss_is_torchs_cross_entropy_or_focal():
    weights = torch.tensor([0.5, 2.0, 1.0])
    plain = class_loss(label_smoothing=0.1, weights=weights, focal_gamma=0.0)
    assert torch.equal(plain(LOGITS, TARGET), F.cross_entropy(LOGITS, TARGET, weight=weights, label_smoothing=0.1))
    focused = class_loss(label_smoothing=0.1, weights=weights, focal_gamma=2.0)
    assert_close(focused(LOGITS, TARGET), focal(LOGITS, TARGET, gamma=2.0, weight=weights, label_smoothing=0.1))


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_a_logit_that_no_class_names_takes_part_with_weight_1_and_probability_0(gamma):
    wide = torch.cat([LOGITS, torch.full((6, 1), -1.0)], 1)
    loss = class_loss(label_smoothing=0.0, weights=torch.tensor([0.5, 2.0, 1.0]), focal_gamma=gamma)
    soft = F.one_hot(TARGET, 3).float()
    by_hand = class_loss(label_smoothing=0.0, weights=torch.tensor([0.5, 2.0, 1.0, 1.0]), focal_gamma=gamma)
    assert_close(loss(wide, TARGET), by_hand(wide, TARGET))
    assert_close(loss(wide, soft), by_hand(wide, F.one_hot(TARGET, 4).float()))


GENERATOR = torch.Generator().manual_seed(1)
WEIGHTS = torch.tensor([0.5, 2.0, 1.0], dtype=torch.float64)
SCORES = torch.randn(7, 3, generator=GENERATOR, dtype=torch.float64)
LABELS = torch.tensor([0, 2, 1, 0, 0, 2, 1])
PROBABILITIES = torch.rand(7, 3, generator=GENERATOR, dtype=torch.float64).softmax(1)
NUMBERS = 3 * torch.randn(7, 3, generator=GENERATOR, dtype=torch.float64)
YES = (torch.rand(7, 3, generator=GENERATOR) < 0.5).double()
PIXELS = torch.randn(7, 3, 4, 5, generator=GENERATOR, dtype=torch.float64)
MASKS = torch.randint(0, 3, (7, 4, 5), generator=GENERATOR)


def brier_by_hand(scores, labels):
    p = scores.softmax(1)
    return mean_squared_error(p, F.one_hot(labels, 3).double(), reduction="sum") / len(p)


def huber_by_hand(outputs, targets):
    e = (outputs - targets).abs()
    return torch.where(e <= 0.7, e**2 / 2, 0.7 * (e - 0.35)).mean()


OBJECTIVES = {  # objective, outputs, targets, the formula
    "cross-entropy": (
        classify("cross_entropy", label_smoothing=0.1, weights=WEIGHTS),
        SCORES,
        LABELS,
        partial(cross_entropy, weight=WEIGHTS, label_smoothing=0.1),
    ),
    "cross-entropy of probabilities": (
        classify("cross_entropy", weights=WEIGHTS),
        SCORES,
        PROBABILITIES,
        partial(cross_entropy, weight=WEIGHTS),
    ),
    "focal": (
        classify("cross_entropy", weights=WEIGHTS, focal_gamma=2.0),
        SCORES,
        LABELS,
        partial(focal, gamma=2.0, weight=WEIGHTS),
    ),
    "focal of probabilities": (
        classify("cross_entropy", weights=WEIGHTS, focal_gamma=2.0),
        SCORES,
        PROBABILITIES,
        partial(focal, gamma=2.0, weight=WEIGHTS),
    ),
    "hinge": (classify("hinge"), SCORES, LABELS, multi_class_hinge),
    "mse of classes": (classify("mse"), SCORES, LABELS, brier_by_hand),
    "bce": (multilabel(), SCORES, YES, binary_cross_entropy_with_logits),
    "mse": (regress("mse"), SCORES, NUMBERS, mean_squared_error),
    "mae": (regress("mae"), SCORES, NUMBERS, lambda y, t: (y - t).abs().mean()),
    "huber": (regress("huber", huber_delta=0.7), SCORES, NUMBERS, huber_by_hand),
    "pixels": (segment(WEIGHTS), PIXELS, MASKS, partial(cross_entropy, weight=WEIGHTS)),
    "pixels alike": (segment(), PIXELS, MASKS, cross_entropy),
    "mse of samples": (reconstruct("mse"), PIXELS, PIXELS.flip(0), mean_squared_error),
    "mae of samples": (reconstruct("mae"), PIXELS, PIXELS.flip(0), lambda y, t: (y - t).abs().mean()),
}


@pytest.fixture(params=OBJECTIVES)
def case(request):
    return OBJECTIVES[request.param]


def test_every_loss_and_its_gradient_are_those_of_the_calculus(case):
    objective, outputs, targets, formula = case
    x = outputs.clone().requires_grad_()
    ours, theirs = objective.loss(x, targets), formula(x, targets)
    assert_close(ours, theirs, rtol=1e-12, atol=0)
    assert_close(torch.autograd.grad(ours, x)[0], torch.autograd.grad(theirs, x)[0], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_batches_cut_in_pieces_add_up_to_the_whole(case, size):
    objective, outputs, targets, _ = case
    pieces = list(zip(outputs.split(size), targets.split(size), strict=True))
    counted = [objective.weight(t).double() for _, t in pieces]
    assert_close(sum(counted), objective.weight(targets).double())
    total = sum(c * objective.loss(y, t) for c, (y, t) in zip(counted, pieces, strict=True)) / sum(counted)
    assert_close(total, objective.loss(outputs, targets), rtol=1e-12, atol=0)
    assert objective.weight(targets).ndim == 0


def test_outputs_in_half_precision_lose_nothing_in_the_loss(case):
    objective, outputs, targets, _ = case
    target = targets.float() if targets.is_floating_point() else targets
    half = outputs.bfloat16()
    loss = objective.loss(half, target)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, objective.loss(half.float(), target))


def test_a_loss_never_broadcasts():
    with pytest.raises(ConfigError, match=r"output must be of the target's shape \(7,\), got \(7, 1\)"):
        regress("mse").loss(torch.zeros(7, 1), torch.zeros(7))
