import pytest
import torch
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.rbf import rbf_pullback
from striate.layers.rbf import RBF


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_the_class_whose_code_came_has_the_smallest_output():
    codes = draw([10, 84], 0).sign()
    y = RBF(codes)(codes + 0.1 * draw([10, 84], 1))
    assert y.argmin(1).tolist() == list(range(10))


@pytest.mark.parametrize("learnable", [False, True])
def test_codes_are_fixed_unless_asked_and_saved_under_one_name(learnable):
    codes = draw([4, 6], 0)
    layer = RBF(codes, learnable=learnable)
    assert [name for name, _ in layer.named_parameters()] == (["codes"] if learnable else [])
    other = RBF(torch.zeros(4, 6, dtype=torch.float64))
    other.load_state_dict(layer.state_dict())
    assert_close(other.codes, codes)
    codes.zero_()
    assert layer.codes.abs().min() > 0  # a copy


def test_gradients_are_the_calculus():
    x, codes, dy = draw([3, 6], 0).requires_grad_(), draw([4, 6], 1), draw([3, 4], 2)
    layer = RBF(codes, learnable=True)
    gradients = torch.autograd.grad(layer(x), (x, layer.codes), dy)
    for gradient, expected in zip(gradients, rbf_pullback(dy, x.detach(), codes), strict=True):
        assert_close(gradient, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("codes", [torch.ones(3), torch.ones(2, 3, dtype=torch.int64)])
def test_codes_of_the_wrong_kind_are_refused(codes):
    with pytest.raises(ConfigError, match=r"RBF: codes must be floats \(classes, features\), got torch"):
        RBF(codes)
