import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import forward_ad
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.layers import local_response_norm as module
from striate.layers.local_response_norm import LocalResponseNorm

sizes = st.tuples(st.integers(0, 5), st.integers(1, 9), st.lists(st.integers(1, 4), min_size=1, max_size=3))


def gradient(layer, x, dy):
    return torch.autograd.grad(layer(x), x, dy)[0]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(sizes, st.integers(1, 7), st.sampled_from([0.5, 0.75, 1.0]), st.booleans(), st.sampled_from([8, 64, 1 << 17]))
def test_values_and_gradients_are_torchs_in_every_layout_and_block(shape, size, beta, last, block):
    before, module.BLOCK = module.BLOCK, block
    try:
        x = torch.randn(shape[0], shape[1], *shape[2], dtype=torch.float64)
        if last:
            x = x.movedim(1, -1).contiguous().movedim(-1, 1)
        x.requires_grad_()
        options = {"alpha": 0.3, "beta": beta, "k": 1.5}
        ours, torchs = LocalResponseNorm(size, **options), nn.LocalResponseNorm(size, **options)
        dy = torch.randn(x.shape, dtype=torch.float64)  # its layout need not be that of x
        y = ours(x)
        assert y.stride() == x.stride() or 0 in x.shape
        if 0 in x.shape:
            assert y.shape == x.shape
            return
        assert_close(y, torchs(x), rtol=1e-10, atol=1e-12)
        assert_close(gradient(ours, x, dy), gradient(torchs, x, dy), rtol=1e-10, atol=1e-12)
    finally:
        module.BLOCK = before


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_alexnets_sizes_agree_to_a_millionth_in_float32(layout):
    g = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(2, 96, 55, 55, generator=g).to(memory_format=layout) for _ in range(2))
    x.requires_grad_()
    ours, torchs = (kind(5, alpha=5e-4, k=2.0) for kind in (LocalResponseNorm, nn.LocalResponseNorm))
    assert_close(ours(x), torchs(x), rtol=1e-6, atol=1e-6)
    assert_close(gradient(ours, x, dy), gradient(torchs, x, dy), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bfloat16_differs_from_float64_by_its_own_rounding_only(layout):
    x = torch.randn(2, 16, 5, 5, dtype=torch.bfloat16).to(memory_format=layout).requires_grad_()
    dy = torch.randn(2, 16, 5, 5, dtype=torch.bfloat16)
    exact = x.detach().double().requires_grad_()
    ours, torchs = LocalResponseNorm(5, alpha=0.5, k=2.0), nn.LocalResponseNorm(5, alpha=0.5, k=2.0)
    assert ours(x).dtype == torch.bfloat16
    assert_close(ours(x).double(), torchs(exact), rtol=2**-8, atol=0)
    assert_close(gradient(ours, x, dy).double(), gradient(torchs, exact, dy.double()), rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-6), (torch.bfloat16, 2**-6)])
def test_the_layer_behind_may_write_over_the_output(layout, dtype, near):
    g = torch.Generator().manual_seed(0)
    x = torch.randn(2, 8, 5, 5, generator=g).to(dtype).to(memory_format=layout).requires_grad_()
    dy = torch.randn(2, 8, 5, 5, generator=g).to(dtype)
    exact = x.detach().float().requires_grad_()
    ours = nn.Sequential(LocalResponseNorm(5, alpha=0.5), nn.ReLU(inplace=True))
    torchs = nn.Sequential(nn.LocalResponseNorm(5, alpha=0.5), nn.ReLU(inplace=True))
    assert_close(ours(x).float(), torchs(exact), rtol=near, atol=0)
    assert_close(gradient(ours, x, dy).float(), gradient(torchs, exact, dy.float()), rtol=near, atol=near)


def test_a_pixel_of_a_batch_of_one_keeps_its_layout_and_may_be_written_over():
    for shape in [(1, 8, 1, 1), (3, 1, 4, 4), (1, 8, 4, 4), (2, 8, 1, 5)]:
        x = torch.randn(shape).to(memory_format=torch.channels_last).requires_grad_()
        y = LocalResponseNorm(5, alpha=0.5)(x).relu_()
        assert_close(y, nn.LocalResponseNorm(5, alpha=0.5)(x).relu())
        y.sum().backward()


TRANSFORMS = {
    "grad": lambda f, x, v: torch.func.grad(lambda x: (f(x) * v).sum())(x),
    "vjp": lambda f, x, v: torch.func.vjp(f, x)[1](v)[0],
    "jvp": lambda f, x, v: torch.func.jvp(f, (x,), (v,))[1],
    "vmap": lambda f, x, v: torch.func.vmap(f, in_dims=2, out_dims=1)(torch.stack([x, v], 2)),
    "vmap of grad": lambda f, x, v: torch.func.vmap(torch.func.grad(lambda x: f(x).pow(2).sum()))(torch.stack([x, v])),
    "grad of vmap": lambda f, x, v: torch.func.grad(lambda z: torch.func.vmap(f)(z).pow(2).sum())(torch.stack([x, v])),
    "jacfwd": lambda f, x, v: torch.func.jacfwd(f)(x * v),
    "jacrev": lambda f, x, v: torch.func.jacrev(f)(x * v),
    "hessian": lambda f, x, v: torch.func.hessian(lambda x: (f(x) * v).sum())(x),
}


# torch scripts some formulas of its own when forward mode is first used
SCRIPTED = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


@SCRIPTED
@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_transforms_of_torch_func_go_through(name):
    g = torch.Generator().manual_seed(0)
    x, v = (torch.randn(2, 4, 3, dtype=torch.float64, generator=g) for _ in range(2))
    ours, torchs = (kind(3, alpha=0.5, k=2.0) for kind in (LocalResponseNorm, nn.LocalResponseNorm))
    assert_close(TRANSFORMS[name](ours, x, v), TRANSFORMS[name](torchs, x, v), rtol=1e-10, atol=1e-12)


@SCRIPTED
def test_forward_mode_differentiation_goes_through():
    x, v = (torch.randn(2, 4, 3, dtype=torch.float64) for _ in range(2))
    ours, torchs = (kind(4, alpha=0.5, k=2.0) for kind in (LocalResponseNorm, nn.LocalResponseNorm))
    with forward_ad.dual_level():
        tangents = [forward_ad.unpack_dual(layer(forward_ad.make_dual(x, v))).tangent for layer in (ours, torchs)]
    assert_close(*tangents, rtol=1e-10, atol=1e-12)


def test_the_gradient_can_be_differentiated_again():
    x = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    layer = LocalResponseNorm(3, alpha=0.5)
    assert torch.autograd.gradgradcheck(layer, (x,))


def test_a_view_that_is_not_dense_is_taken():
    x = torch.randn(2, 6, 8, 8, dtype=torch.float64)[:, :, ::2, 1:]
    assert_close(LocalResponseNorm(5)(x), nn.LocalResponseNorm(5)(x))


def test_an_exported_network_holds_the_plain_formula():
    layer, x = LocalResponseNorm(5, k=2.0).eval(), torch.randn(2, 6, 4, 4)
    program = torch.export.export(layer, (x,))
    assert_close(program.module()(x), layer(x))


def test_a_neighbourhood_of_nothing_names_the_fix():
    with pytest.raises(ConfigError, match=r"size must be >= 1 channel, got 0\.\n  Fix: AlexNet takes 5"):
        LocalResponseNorm(0)
