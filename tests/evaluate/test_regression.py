import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from striate.evaluate.regression import regression


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 4), st.integers(2, 50), st.floats(0.01, 100), st.integers(0, 10**6))
def test_every_figure_is_scikit_learns(k, n, scale, seed):
    generator = torch.Generator().manual_seed(seed)
    t = torch.randn(n, k, generator=generator) * scale + 3 * scale
    y = t + torch.randn(n, k, generator=generator)
    found = regression(y, t, tuple(f"y{i}" for i in range(k)), loss=0.25)
    true, predicted = t.double().numpy(), y.double().numpy()
    assert found.score == pytest.approx(r2_score(true, predicted), rel=1e-6)
    assert found.mae == pytest.approx(mean_absolute_error(true, predicted))
    assert found.rmse == pytest.approx(((true - predicted) ** 2).mean() ** 0.5)
    for i, entry in enumerate(found.per_number):
        assert entry.r2 == pytest.approx(r2_score(true[:, i], predicted[:, i]), rel=1e-6)
        assert entry.rmse == pytest.approx(root_mean_squared_error(true[:, i], predicted[:, i]))
        assert entry.mae == pytest.approx(mean_absolute_error(true[:, i], predicted[:, i]))
        assert entry.mean == pytest.approx(true[:, i].mean())
    assert (found.loss, found.count, found.as_dict()["r2"]) == (0.25, n, found.r2)


def test_a_number_that_never_changes_has_no_r2_and_no_part_in_the_mean():
    t = torch.tensor([[0.1, 1.0], [0.1, 2.0], [0.1, 3.0]])
    y = torch.tensor([[0.2, 1.0], [0.2, 2.0], [0.2, 3.0]])
    found = regression(y, t, ("constant", "changing"), loss=0.0)
    assert (found.per_number[0].r2, found.per_number[1].r2, found.r2) == (None, 1.0, 1.0)
    alone = regression(y[:, :1], t[:, :1], ("constant",), loss=0.0)
    assert math.isnan(alone.score)
    assert alone.as_dict()["r2"] is None
