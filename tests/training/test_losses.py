import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.focal import focal
from striate.training.losses import class_loss, class_weights

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
