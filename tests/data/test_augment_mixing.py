import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, kstest
from torch.testing import assert_close

from striate.data.augment import Augment, draw, mix
from striate.data.augment.draws import Block
from striate.data.augment.mixing import beta_quantile, partners, shares

BOTH = Augment(mixup=0.4, cutmix=1.0)


def batch(count: int, size: tuple[int, int] = (7, 10)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 3, *size, generator=generator), torch.arange(count) % 4


def first(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64)


def one_by_one(x: torch.Tensor, y: torch.Tensor, draws) -> tuple[torch.Tensor, torch.Tensor]:
    """The papers' algorithms, picture by picture and pixel by pixel."""
    (B, _, H, W), a = x.shape, draws.augment
    mixed, targets = torch.zeros(x.shape, dtype=torch.float64), torch.zeros(B, 4, dtype=torch.float64)
    for b, (coin, u, down, right) in enumerate(draws.uniform(Block.MIX)[:, 0].tolist()):
        other = b + 1 if b % 2 == 0 else b - 1
        other = max(b - 1, 0) if other == B else other
        cuts = a.cutmix and (not a.mixup or coin < 0.5)
        own = float(beta.ppf(u, *2 * [a.cutmix if cuts else a.mixup]))
        if cuts:
            cut = (1 - own) ** 0.5
            middle, half = (int(H * down), int(W * right)), (int(H * cut) // 2, int(W * cut) // 2)
            theirs = 0
            for i in range(H):
                for j in range(W):
                    both = ((i, middle[0], half[0]), (j, middle[1], half[1]))
                    cut_out = all(centre - reach <= at < centre + reach for at, centre, reach in both)
                    mixed[b, :, i, j] = x[other if cut_out else b, :, i, j]
                    theirs += cut_out
            own = 1 - theirs / (H * W)
        else:
            mixed[b] = own * x[b].double() + (1 - own) * x[other].double()
        targets[b, y[b]] += own
        targets[b, y[other]] += 1 - own
    return mixed, targets


@pytest.mark.parametrize("augment", [Augment(mixup=0.2), Augment(cutmix=1.0), BOTH], ids=["mixup", "cutmix", "both"])
@pytest.mark.parametrize("count", [1, 2, 3, 24])
def test_mixing_is_the_papers_algorithm(augment, count):
    x, y = batch(count)
    before, draws = x.clone(), draw(augment, 3, 1, first(count))
    mixed, targets = mix(x, y, draws, 4)
    expected, expected_targets = one_by_one(x, y, draws)
    assert_close(mixed.double(), expected, atol=1e-5, rtol=0)
    assert_close(targets.double(), expected_targets, atol=1e-6, rtol=0)
    assert_close(targets.sum(1), torch.ones(count))
    assert torch.equal(x, before)


def test_without_either_the_inputs_stay_and_the_targets_are_sharp():
    x, y = batch(5)
    mixed, targets = mix(x, y, draw(Augment(), 0, 0, first(5)), 4)
    assert mixed is x
    assert torch.equal(targets, torch.eye(4)[y])


def test_targets_are_mixed_as_labels_are():
    x, y = batch(8)
    draws = draw(BOTH, 0, 0, first(8))
    for mine, theirs in zip(mix(x, torch.eye(4)[y], draws, 4), mix(x, y, draws, 4), strict=True):
        assert torch.equal(mine, theirs)


@given(st.integers(0, 300))
@settings(deadline=None)
def test_everyone_has_a_partner_that_is_another(count):
    found = partners(count).tolist()
    assert all(0 <= other < count for other in found)
    assert all(other != b for b, other in enumerate(found)) or count == 1
    assert sorted(found[: count // 2 * 2]) == list(range(count // 2 * 2))  # each but the odd one is asked once


@given(st.integers(0, 16), st.integers(0, 16))
@settings(deadline=None, max_examples=30)
def test_processes_that_share_a_batch_at_even_places_mix_as_one(left, right):
    x, y = batch(2 * (left + right))
    draws, cut = draw(BOTH, 0, 0, first(len(x))), 2 * left
    parts = [mix(x[part], y[part], draws[part], 4) for part in (slice(0, cut), slice(cut, len(x)))]
    for whole, halves in zip(mix(x, y, draws, 4), zip(*parts, strict=True), strict=True):
        assert torch.equal(whole, torch.cat(halves))


@pytest.mark.parametrize("alpha", [0.1, 0.2, 1.0, 8.0, 100.0])
def test_lambda_follows_the_beta_distribution(alpha):
    _, own = shares(draw(Augment(mixup=alpha), 0, 0, first(5000)), (4, 4), torch.device("cpu"))
    assert kstest(own.numpy(), beta(alpha, alpha).cdf).pvalue > 1e-4


def test_quantiles_are_scipys_and_never_leave_the_range():
    u = torch.tensor([0.0, 2.0**-32, 0.1, 0.5, 0.9, 1 - 2.0**-32], dtype=torch.float64)
    for alpha in (0.01, 0.2, 1.0, 30.0):
        found = beta_quantile(alpha, u)
        assert_close(found, torch.from_numpy(beta.ppf(u.numpy(), alpha, alpha)))
        assert ((found >= 0) & (found <= 1)).all()


def test_a_coin_decides_between_the_two():
    pixels, _ = shares(draw(BOTH, 0, 0, first(10_000)), (8, 8), torch.device("cpu"))
    flat = (pixels.flatten(1) == pixels[:, :, :1, :1].flatten(1)).all(1)
    between = flat & (pixels[:, 0, 0, 0] > 0) & (pixels[:, 0, 0, 0] < 1)
    assert 4000 < int(between.sum()) <= 5000 + 5 * 50  # MixUp; a share of 0 or 1 can come from either


def test_a_cut_goes_anywhere():
    pixels, own = shares(draw(Augment(cutmix=1.0), 0, 0, first(20_000)), (40, 50), torch.device("cpu"))
    kept = pixels.mean(0)[0]
    assert_close(kept, kept.flip(0), atol=0.06, rtol=0)
    assert_close(kept, kept.flip(1), atol=0.06, rtol=0)
    assert_close(pixels.double().mean((1, 2, 3)), own, atol=1e-6, rtol=0)
