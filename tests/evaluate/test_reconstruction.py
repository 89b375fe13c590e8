import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_squared_error, r2_score
from torch.nn import functional as F

from striate.evaluate.reconstruction import add_up, reconstruction, sum_errors

ONE = torch.ones(())


def judged(y, x, size, scale=ONE, peak=None):
    pieces = (
        sum_errors(a, b, scale=scale, criterion=F.l1_loss) for a, b in zip(y.split(size), x.split(size), strict=True)
    )
    return reconstruction(add_up(pieces), peak=peak)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(2, 9), st.integers(1, 4), st.integers(0, 10**6))
def test_every_figure_is_scikit_learns_however_the_samples_are_cut_into_batches(n, size, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 2, 3, 4, generator=generator) + 5
    y = x + 0.3 * torch.randn(x.shape, generator=generator)
    scale = torch.tensor([0.5, 2.0]).reshape(2, 1, 1)
    found = judged(y, x, size, scale, peak=2.0)
    true, back = ((v.double() * scale).flatten(1).numpy() for v in (x, y))
    assert found.score == pytest.approx(r2_score(true, back, multioutput="variance_weighted"))
    assert found.mse == pytest.approx(mean_squared_error(true, back))
    assert found.psnr == pytest.approx(10 * math.log10(2.0**2 / mean_squared_error(true, back)))
    assert found.loss == pytest.approx(np.abs(x.double().numpy() - y.double().numpy()).mean())
    assert (found.count, found.metric, found.as_dict()["r2"]) == (n, "r2", found.r2)


def test_the_mean_sample_scores_0_and_the_sample_itself_1():
    x = torch.randn(20, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    assert judged(x.mean(0).expand_as(x), x, 7).score == pytest.approx(0, abs=1e-6)
    perfect = judged(x, x, 7, peak=1.0)
    assert (perfect.score, perfect.mse, perfect.psnr) == (1.0, 0.0, math.inf)
    assert perfect.as_dict()["psnr"] is None  # JSON has no infinity


def test_samples_that_are_all_alike_have_no_r2_and_data_without_a_peak_no_psnr():
    x = torch.full((10, 1, 3, 3), 0.1)
    found = judged(x + 0.5, x, 3)
    assert math.isnan(found.score)
    assert found.psnr is None
