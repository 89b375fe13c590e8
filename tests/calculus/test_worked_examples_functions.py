"""Worked examples of the textbooks, with their numbers."""

import torch
from torch.testing import assert_close

from striate.calculus.activations import sigmoid, sigmoid_pullback
from striate.calculus.cross_entropy import cross_entropy_pullback
from striate.calculus.mean_squared_error import mean_squared_error, mean_squared_error_pullback
from striate.calculus.softmax import softmax

F64 = torch.float64


def test_mse_of_a_one_hot_target_against_probabilities_divides_by_all_elements():
    p = torch.tensor([[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]], dtype=F64)
    target = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]], dtype=F64)
    # squares: 0.01 + 0.09 + 0.04 = 0.14 and 0.36 + 0.49 + 0.01 = 0.86
    assert_close(mean_squared_error(p, target, reduction="sum"), torch.tensor(1.0, dtype=F64))
    assert_close(mean_squared_error(p, target), torch.tensor(1 / 6, dtype=F64))  # 2 samples x 3 classes, no 1/2
    gradient = mean_squared_error_pullback(torch.tensor(1.0, dtype=F64), p, target)
    assert_close(gradient, (p - target) * 2 / 6)
    # the textbooks' (1/2) sum for one sample is C / 2 times the mean: 0.07 for the first
    halved = mean_squared_error(p[0], target[0]) * 3 / 2
    assert_close(halved, torch.tensor(0.07, dtype=F64))


def test_the_sigmoids_slope_is_at_most_a_quarter_and_reaches_it_at_zero():
    x = torch.linspace(-20, 20, 4001, dtype=F64)
    slope = sigmoid_pullback(torch.ones_like(x), x)
    assert float(slope.max()) == 0.25
    assert abs(float(x[slope.argmax()])) < 1e-12
    assert_close(slope, sigmoid(x) * (1 - sigmoid(x)), rtol=1e-7, atol=1e-12)


def test_the_gradient_of_softmax_and_cross_entropy_is_p_minus_y_over_the_batch():
    logits = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], dtype=F64)
    gradient = cross_entropy_pullback(torch.tensor(1.0, dtype=F64), logits, torch.tensor([2, 0]))
    y = torch.tensor([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], dtype=F64)
    assert_close(gradient, (softmax(logits, dim=1) - y) / 2)
    assert_close(gradient[1], torch.tensor([-1 / 3, 1 / 6, 1 / 6], dtype=F64))
