import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.moments import moments
from striate.calculus.whitening import pca_whitening, whiten_pullback, zca_whitening
from striate.layers.whiten import Whiten


def draw(shape, seed):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_a_fitted_whitening_whitens_and_its_gradient_is_the_calculus():
    x = draw([200, 4], 0) @ draw([4, 4], 1)
    fitted = pca_whitening(moments(x), components=3)
    layer = Whiten(fitted.mean, fitted.matrix)
    y = layer(x.float())
    assert y.dtype == torch.float32
    assert_close(
        torch.from_numpy(np.cov(y.numpy(), rowvar=False)), torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-4
    )
    x, dy = x.float().requires_grad_(), draw([200, 3], 2).float()
    assert_close(torch.autograd.grad(layer(x), x, dy)[0], whiten_pullback(dy, layer.matrix))


def test_pictures_go_in_flat_and_come_out_of_zca_as_pictures():
    pictures = draw([50, 2, 3, 3], 0)
    fitted = zca_whitening(moments(pictures.flatten(1)), epsilon=1e-3)
    net = nn.Sequential(nn.Flatten(), Whiten(fitted.mean, fitted.matrix), nn.Unflatten(1, (2, 3, 3)))
    assert net(pictures.float()).shape == pictures.shape


def test_the_fit_travels_with_the_network_and_is_not_trained():
    layer = Whiten(draw([4], 0), draw([2, 4], 1))
    assert list(layer.state_dict()) == ["mean", "matrix"]
    assert not list(layer.parameters())
    other = Whiten(torch.zeros(4), torch.zeros(2, 4))
    other.load_state_dict(layer.state_dict())
    x = draw([3, 4], 2).float()
    assert_close(other(x), layer(x), rtol=0, atol=0)
    assert str(layer) == "Whiten(4 -> 2)"


@pytest.mark.parametrize(("mean", "matrix"), [([4], [2, 3]), ([2, 2], [2, 2]), ([4], [4])])
def test_a_mean_and_a_matrix_of_different_fits_are_refused(mean, matrix):
    with pytest.raises(ConfigError, match=r"mean and matrix must be \(F,\) and \(K, F\), got"):
        Whiten(torch.ones(mean), torch.ones(matrix))
