import pytest
import torch
from torch import nn
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.models.catalogue import build
from striate.models.perceptron import MLP


def count(model):
    return sum(p.numel() for p in model.parameters())


def test_the_perceptron_has_a_weight_for_each_pixel_and_class_and_a_bias_for_each_class():
    assert count(build("perceptron")) == 784 * 10 + 10
    assert count(build("perceptron", num_classes=3, in_channels=2, image_size=5)) == 50 * 3 + 3


def test_the_perceptron_is_linear():
    model = build("perceptron")
    x, y = torch.randn(2, 4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    bias = model(torch.zeros(1, 1, 28, 28))
    assert_close(model(2 * x - 3 * y) - bias, 2 * (model(x) - bias) - 3 * (model(y) - bias), atol=1e-5, rtol=1e-5)


def test_mlp_has_256_hidden_units_and_203530_parameters():
    model = build("mlp")
    assert count(model) == 784 * 256 + 256 + 256 * 10 + 10 == 203_530
    assert build("mlp", num_classes=7, in_channels=3, image_size=8)(torch.zeros(2, 3, 8, 8)).shape == (2, 7)


def test_mlp_is_torchs_linear_layers_with_relu_between_them():
    model = MLP([12, 5, 4, 3])
    plain = nn.Sequential(nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    plain.load_state_dict(dict(zip(plain.state_dict(), model.state_dict().values(), strict=True)))
    x = torch.randn(6, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(x), plain(x.flatten(1)))


def test_every_hidden_layer_drops_in_training():
    model = MLP([12, 5, 4, 3], dropout=1.0)
    x = torch.ones(2, 3, 2, 2)
    assert torch.equal(model(x), model.layers[-1].bias.expand(2, 3))  # nothing but the last bias is left
    assert not torch.equal(model.eval()(x), model.layers[-1].bias.expand(2, 3))


@pytest.mark.parametrize("sizes", [[], [784], [784, 0, 10]])
def test_sizes_that_make_no_network_are_refused(sizes):
    with pytest.raises(ConfigError, match=r"mlp: sizes must be two or more, each >= 1, got \["):
        MLP(sizes)


def test_the_perceptron_drops_nothing_and_says_so():
    with pytest.raises(ConfigError, match=r"dropout must be left out, got 0\.5"):
        build("perceptron", dropout=0.5)
