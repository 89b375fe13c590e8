import pytest
import torch
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.max_pool import max_pool
from striate.calculus.mean_pool import mean_pool
from striate.layers.mixed_pool import MixedPool2d

X = torch.randn(2, 3, 7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("mix", [0.1, 0.5, 0.9])
def test_it_mixes_max_and_mean(mix):
    layer = MixedPool2d(3, 2, 1, mix=mix).double()
    largest = max_pool(X, 3, stride=2, padding=1)[0]
    mean = mean_pool(X, 3, stride=2, padding=1, count_include_pad=False)
    assert_close(layer(X), mix * largest + (1 - mix) * mean, rtol=1e-6, atol=1e-6)


def test_gradients_agree_with_central_differences():
    layer = MixedPool2d(2).double()

    def of_mix(x, logit):
        return torch.func.functional_call(layer, {"logit": logit}, x)

    leaves = (X.clone().requires_grad_(), layer.logit.detach().requires_grad_())
    assert torch.autograd.gradcheck(of_mix, leaves)


@pytest.mark.parametrize("mix", [0.0, 1.0])
def test_a_mix_of_one_kind_names_torchs_layers(mix):
    with pytest.raises(ConfigError, match=r"both excluded, got .*\n  Fix: start at 0\.5; .* AvgPool2d"):
        MixedPool2d(2, mix=mix)
