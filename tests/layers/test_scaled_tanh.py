import torch
from torch.testing import assert_close

from striate.calculus.activations import scaled_tanh_pullback
from striate.layers.scaled_tanh import ScaledTanh

X = torch.tensor([-1e4, -3.0, -1.0, 0.0, 0.5, 1.0, 1e4], dtype=torch.float64)


def test_values_are_the_papers_and_the_gradient_is_the_calculus():
    x = X.clone().requires_grad_()
    y = ScaledTanh()(x)
    assert_close(y, 1.7159 * torch.tanh(2 / 3 * X))
    dy = torch.linspace(1, 2, 7, dtype=torch.float64)
    assert_close(torch.autograd.grad(y, x, dy)[0], scaled_tanh_pullback(dy, X), rtol=1e-10, atol=1e-12)
