import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.calculus.initialise import (
    demonstrate,
    fans,
    he_normal,
    he_uniform,
    lecun_1998,
    normal,
    orthogonal,
    xavier_normal,
    xavier_uniform,
)

F64 = torch.float64
RULES = {
    "xavier_uniform": xavier_uniform,
    "xavier_normal": xavier_normal,
    "he_uniform": he_uniform,
    "he_normal": he_normal,
}

# name: weight shape, options of fans, options of torch's convolution; 32 channels to 32, or 32 to 64
LAYERS = {
    "one group": ((64, 32, 3, 3), {}, {}),
    "two groups": ((64, 16, 3, 3), {"groups": 2}, {"groups": 2}),
    "depthwise": ((64, 1, 3, 3), {"groups": 32}, {"groups": 32}),
    "strided": ((64, 32, 4, 4), {"stride": 2}, {"stride": 2}),
    "transposed": ((32, 64, 3, 3), {"transposed": True}, {}),
    "transposed, two groups": ((32, 32, 3, 3), {"transposed": True, "groups": 2}, {"groups": 2}),
    "transposed, depthwise": ((32, 2, 3, 3), {"transposed": True, "groups": 32}, {"groups": 32}),
    "transposed, strided": ((32, 64, 4, 4), {"transposed": True, "stride": 2}, {"stride": 2}),
}


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def draw(shape, seed):
    return torch.randn(shape, dtype=F64, generator=source(seed))


def pass_through(name, weight, x):
    """The layer's output and, for random errors of variance 1, its input's gradient, both without the borders."""
    _, counting, options = LAYERS[name]
    x = x.requires_grad_()
    layer = F.conv_transpose2d if counting.get("transposed") else F.conv2d
    y = layer(x, weight, **options)
    dx = torch.autograd.grad(y, x, draw(y.shape, 99))[0]
    return y.detach()[..., 4:-4, 4:-4], dx[..., 4:-4, 4:-4]


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_the_fans_are_the_counts_of_the_terms(name):
    shape, counting, options = LAYERS[name]
    ones = torch.ones(shape, dtype=F64)
    y, dx = pass_through(name, ones, torch.ones(1, 32, 24, 24, dtype=F64))
    fan = fans(shape, **counting)
    assert float(y.mean()) == pytest.approx(fan.fan_in)  # all weights and inputs 1: the sum is the count
    x = torch.ones(1, 32, 24, 24, dtype=F64, requires_grad=True)
    layer = F.conv_transpose2d if counting.get("transposed") else F.conv2d
    dx = torch.autograd.grad(layer(x, ones, **options).sum(), x)[0]
    assert float(dx[..., 4:-4, 4:-4].mean()) == pytest.approx(fan.fan_out)


@pytest.mark.parametrize("name", sorted(LAYERS))
@pytest.mark.parametrize("rule", sorted(RULES))
def test_the_variance_that_each_rule_keeps_through_each_layer(rule, name):
    shape, counting, _ = LAYERS[name]
    fan = fans(shape, **counting)
    x = draw([8, 32, 24, 24], 1)
    weight = RULES[rule](shape, source(2), fan=fan, dtype=F64)
    if rule.startswith("he"):
        y, _ = pass_through(name, weight, x.relu())  # E x^2 = 1/2
        assert float(y.square().mean()) == pytest.approx(1, rel=0.2)  # as before the ReLU
    else:
        y, dx = pass_through(name, weight, x)
        forward, backward = 2 * fan.fan_in, 2 * fan.fan_out
        assert float(y.var()) == pytest.approx(forward / sum(fan), rel=0.2)
        assert float(dx.var()) == pytest.approx(backward / sum(fan), rel=0.2)


@pytest.mark.parametrize("name", ["one group", "two groups", "transposed, strided"])
def test_lecuns_rule_shrinks_the_variance_to_1_92_over_fan_in(name):
    shape, counting, _ = LAYERS[name]
    fan = fans(shape, **counting)
    weight = lecun_1998(shape, source(), fan=fan, dtype=F64)
    assert float(weight.abs().max()) == pytest.approx(2.4 / fan.fan_in, rel=1e-2)
    assert float(weight.abs().max()) <= 2.4 / fan.fan_in
    y, _ = pass_through(name, weight, draw([8, 32, 24, 24], 1))
    assert float(y.var()) == pytest.approx(1.92 / fan.fan_in, rel=0.2)


@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_twenty_layers_of_he_keep_the_signal_where_a_fixed_deviation_loses_it(slope):
    x = draw([64, 256], 0)
    kept, lost = x, x
    for layer in range(20):
        kept = F.leaky_relu(kept @ he_normal((256, 256), source(100 + layer), negative_slope=slope, dtype=F64).T, slope)
        lost = F.leaky_relu(lost @ normal((256, 256), source(100 + layer), std=0.01, dtype=F64).T, slope)
    assert 0.3 < float(kept.square().mean()) / ((1 + slope**2) / 2) < 3
    assert float(lost.square().mean()) < 1e-20


def test_without_groups_the_spreads_are_torchs():
    shape = (64, 32, 5, 5)
    spread = {
        "xavier": math.sqrt(2 / sum(torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape)))),
        "he": math.sqrt(2 / torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))[0]),
    }
    for name, rule in RULES.items():
        weight = rule(shape, source(), dtype=F64)
        std = spread[name.split("_")[0]]
        assert float(weight.std()) == pytest.approx(std, rel=0.02)
        if name.endswith("uniform"):
            assert std * math.sqrt(3) * 0.99 < float(weight.abs().max()) <= std * math.sqrt(3)
    assert float(xavier_normal(shape, source(), gain=2.0).std()) == pytest.approx(2 * spread["xavier"], rel=0.02)


@pytest.mark.parametrize(
    ("shape", "groups"), [((4, 9), 1), ((9, 4), 1), ((8, 3, 2, 2), 2), ((8, 1, 2, 2), 8), ((8, 1, 2, 2), 1)]
)
def test_orthogonal_weights_are_orthonormal_in_each_group(shape, groups):
    matrix = orthogonal(shape, source(), groups=groups, gain=3.0, dtype=F64).reshape(groups, shape[0] // groups, -1) / 3
    rows, columns = matrix.shape[1:]
    gram = matrix @ matrix.mT if rows <= columns else matrix.mT @ matrix
    assert_close(gram, torch.eye(min(rows, columns), dtype=F64).expand_as(gram), rtol=0, atol=1e-12)


def test_orthogonal_matrices_of_both_signs_are_equally_likely():
    corners = torch.stack([orthogonal((3, 3), source(seed), dtype=F64) for seed in range(400)])
    assert_close(corners.mean(0), torch.zeros(3, 3, dtype=F64), rtol=0, atol=0.15)  # 5 standard errors of 0.58 / 20
    assert_close(corners.square().mean(0), torch.full((3, 3), 1 / 3, dtype=F64), rtol=0, atol=0.08)


@pytest.mark.parametrize("name", ["one group", "two groups", "depthwise"])
def test_an_orthogonal_layer_with_more_inputs_than_outputs_keeps_the_variance(name):
    groups = LAYERS[name][1].get("groups", 1)
    weight = orthogonal((32, 32 // groups, 3, 3), source(), groups=groups, dtype=F64)
    y = F.conv2d(draw([4, 32, 24, 24], 1), weight, groups=groups)
    assert float(y.var()) == pytest.approx(1, rel=0.05)


def test_a_transposed_orthogonal_layer_keeps_lengths_where_windows_do_not_overlap():
    x = draw([2, 8, 5, 5], 0)
    y = F.conv_transpose2d(x, orthogonal((8, 4, 2, 2), source(), groups=2, dtype=F64), stride=2, groups=2)
    assert_close(y.norm(), x.norm())


def test_the_same_generator_gives_the_same_weights_and_torchs_own_stays_untouched():
    before = torch.get_rng_state()
    for rule in (*RULES.values(), lecun_1998, normal, orthogonal):
        assert_close(rule((4, 3), source(5)), rule((4, 3), source(5)), rtol=0, atol=0)
        assert rule((4, 3), source(5)).dtype == torch.float32
    assert torch.equal(before, torch.get_rng_state())


def test_vectors_and_foreign_groups_are_refused():
    with pytest.raises(ConfigError, match=r"shape must be of two axes or more, got \(3,\)"):
        he_normal((3,), source())
    with pytest.raises(ConfigError, match="groups must be a divisor of the first axis, 4, got 3"):
        orthogonal((4, 2), source(), groups=3)


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate()
    grouped = next(line for line in text.splitlines() if line.startswith("the same")).split()
    assert grouped[-5:] == ["36", "72", "0.0385", "0.1361", "0.2357"]  # 2.4/36/sqrt 3, sqrt(2/108), sqrt(2/36)
    assert "fan_in = 16 * 4 = 64" in text
    assert next(line for line in text.splitlines() if line.startswith("transposed")).split()[-5:-3] == ["64", "512"]
