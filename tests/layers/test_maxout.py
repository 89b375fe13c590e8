import pytest
import torch
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.maxout import maxout_pullback
from striate.layers.maxout import Maxout


@pytest.mark.parametrize("rest", [(), (5,), (4, 5)])
def test_values_and_gradient_are_the_calculus_ties_included(rest):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(3, (2, 6, *rest), generator=generator).double().requires_grad_()  # whole numbers: many ties
    layer = Maxout(3)
    y = layer(x)
    assert y.shape == (2, 2, *rest)
    dy = torch.randn(y.shape, dtype=torch.float64, generator=generator)
    assert_close(torch.autograd.grad(y, x, dy)[0], maxout_pullback(dy, x.detach(), pieces=3))
    assert str(layer) == "Maxout(pieces=3)"


def test_a_bad_number_of_pieces_names_the_fix():
    with pytest.raises(ConfigError, match="Maxout: pieces must be >= 1, got 0"):
        Maxout(0)
    with pytest.raises(ConfigError, match=r"a divisor of the 5 channels, got 2\.\n  Fix: give the layer before it"):
        Maxout(2)(torch.ones(1, 5))
