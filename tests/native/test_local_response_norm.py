import os
import subprocess
import sys
from threading import Thread
from unittest.mock import patch

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from striate.calculus import local_response_norm as calculus
from striate.layers.local_response_norm import LocalResponseNorm
from striate.native import local_response_norm as native
from striate.native.library import VARIABLE

OPTIONS = {"alpha": 0.3, "beta": 0.75, "k": 1.5}
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def numbers(*shape, dtype=torch.float32, last=False, seed=0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    return x.movedim(1, -1).contiguous().movedim(-1, 1) if last else x


def scale(dy, x, size, options):
    """|direct| + |spread| of the pullback's formula: what its rounding is relative to."""
    dy, x = dy.abs(), x.abs()
    direct = dy * calculus.local_response_norm(x, size, **options) / x
    return 2 * direct - calculus.local_response_norm_pullback(dy, x, size, **options)


def check(x, dy, size, options):
    """Both directions against the calculus in float64."""
    wide, error, rough = x.double(), dy.double(), 2**-8 if x.dtype == torch.bfloat16 else 0
    y, dx = native.local_response_norm(x, size, **options), native.local_response_norm_pullback(dy, x, size, **options)
    assert y.stride() == dx.stride() == x.stride()
    assert_close(y.double(), calculus.local_response_norm(wide, size, **options), rtol=2e-6 + rough, atol=0)
    exact = calculus.local_response_norm_pullback(error, wide, size, **options)
    far = (dx - exact).abs() - rough * exact.abs() - 2e-6 * scale(error, wide, size, options)
    assert (far <= 0).all(), f"{far.max()} beyond what rounding explains"


shapes = st.tuples(st.integers(1, 4), st.integers(1, 40), st.lists(st.integers(1, 7), min_size=1, max_size=3))
betas = st.sampled_from([0.75, 0.75, 0.5, 1.0, 0.3])


@pytest.mark.usefixtures("instructions")
def test_both_directions_are_the_calculus_to_float32s_rounding(monkeypatch):
    chosen = os.environ[VARIABLE]

    @settings(max_examples=80, deadline=None, derandomize=True)
    @given(shapes, st.integers(1, 60), betas, st.booleans(), st.sampled_from(list(native.KINDS)), st.integers(0, 9))
    def holds(shape, size, beta, last, dtype, seed):
        assert os.environ[VARIABLE] == chosen
        x = numbers(*shape[:2], *shape[2], dtype=dtype, last=last, seed=seed)
        assume((x != 0).all())
        dy = numbers(*x.shape, dtype=dtype, seed=seed + 10)
        assert native.takes(x)
        check(x, dy, size, {"alpha": 0.3 / size, "beta": beta, "k": 1.5})

    holds()


@pytest.mark.usefixtures("instructions")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", native.KINDS)
@pytest.mark.parametrize("shape", [(2, 96, 55, 55), (3, 257, 9, 9), (2, 5, 301, 13)])  # strips with and without ends
def test_pictures_of_many_tiles_are_right(shape, dtype, layout):
    x, dy = (numbers(*shape, dtype=dtype, seed=seed).contiguous(memory_format=layout) for seed in (0, 1))
    x = torch.where(x == 0, 1, x)
    check(x, dy, 5, {"alpha": 1e-4, "beta": 0.75, "k": 2.0})
    check(x, dy, 4, {"alpha": 0.1, "beta": 0.75, "k": 2.0})


@pytest.mark.usefixtures("instructions")
@pytest.mark.parametrize(("channels", "places"), [(64, 300), (48, 333), (50, 301)])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", native.KINDS)
def test_a_result_larger_than_the_cache_is_the_same_as_in_parts(channels, places, last, dtype):
    x, dy = (numbers(1, channels, places, last=last, dtype=dtype, seed=seed) for seed in (0, 1))
    count = (40 << 20) // (x.numel() * 4)  # 20 MB at least, so it is written past the cache
    many, errors = (t.movedim(1, -1 if last else 1).repeat(count, 1, 1) for t in (x, dy))
    many, errors = (t.movedim(-1, 1) if last else t for t in (many, errors))
    y = native.local_response_norm(many, 5, **OPTIONS)
    assert (y == native.local_response_norm(x, 5, **OPTIONS)).all()
    dx = native.local_response_norm_pullback(errors, many, 5, **OPTIONS)
    assert (dx == native.local_response_norm_pullback(dy, x, 5, **OPTIONS)).all()


@pytest.mark.usefixtures("instructions")
@pytest.mark.parametrize("dtype", native.KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_number_of_threads_changes_no_bit(dtype, layout):
    x, dy = (numbers(7, 96, 23, 23, dtype=dtype, seed=seed).contiguous(memory_format=layout) for seed in (0, 1))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            found += [
                (native.local_response_norm(x, 5, **OPTIONS), native.local_response_norm_pullback(dy, x, 5, **OPTIONS))
            ]
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for one in found for a, b in zip(one, found[0], strict=True))


@pytest.mark.usefixtures("instructions")
def test_callers_at_the_same_time_each_get_their_own_result():
    before = torch.get_num_threads()
    xs = [numbers(3, 96, 17, 17, seed=seed) for seed in range(4)]
    right = [native.local_response_norm(x, 5, **OPTIONS) for x in xs]
    wrong = []

    def call(place):
        torch.set_num_threads(3)
        calls = (native.local_response_norm(xs[place], 5, **OPTIONS) for _ in range(60))
        wrong.extend(place for y in calls if not torch.equal(y, right[place]))

    threads = [Thread(target=call, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.set_num_threads(before)
    assert not wrong


FORKED = """
import os, torch
from striate.native import local_response_norm as native
x = torch.randn(4, 96, 20, 20)
torch.get_num_threads = lambda: 3  # to set the number would have torch make threads of its own
def call():
    return native.local_response_norm(x, 5, alpha=0.3, beta=0.75, k=1.5)
def threads():
    return len(os.listdir("/proc/self/task"))
assert threads() == 1, "none are made at load"
y = call()
assert threads() == 3
child = os.fork()
if child == 0:
    good = threads() == 1 and torch.equal(y, call()) and threads() == 3
    os._exit(0 if good else 9)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert torch.equal(y, call()) and threads() == 3
"""


@pytest.mark.usefixtures("instructions")
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted where Linux lists them")
def test_threads_are_made_when_needed_and_by_a_forked_child_for_itself():
    subprocess.run([sys.executable, "-c", FORKED], check=True, timeout=60, env={**os.environ, "OMP_NUM_THREADS": "1"})


@pytest.mark.usefixtures("instructions")
def test_what_is_no_number_and_silence_come_out_as_without_the_library(monkeypatch):
    x = torch.tensor([[0.0, 0, 0, 0, torch.inf, 0, 0, torch.nan, 1.0]]).repeat(3, 1)
    layer = LocalResponseNorm(3, alpha=0.9, k=0.0)
    found = [layer(x.to(dtype)) for dtype in native.KINDS]
    monkeypatch.setenv(VARIABLE, "off")
    for dtype, y in zip(native.KINDS, found, strict=True):
        assert_close(y, layer(x.to(dtype)), equal_nan=True)


@pytest.mark.usefixtures("instructions")
@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 0, 4, 4), (2, 3, 0, 4)])
def test_nothing_at_all_is_taken(shape):
    x = torch.empty(shape, requires_grad=True)
    y = LocalResponseNorm(5)(x)
    assert y.shape == shape
    assert torch.autograd.grad(y.sum(), x)[0].shape == shape


@pytest.mark.usefixtures("instructions")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_error_that_lies_otherwise_in_memory_is_brought_to_the_layout_of_x(layout):
    x = numbers(2, 9, 4, 5).contiguous(memory_format=layout)
    dense = numbers(2, 9, 4, 5, seed=1).contiguous(memory_format=layout)
    strided = torch.empty(2, 9, 4, 10)[..., ::2].copy_(dense)
    one = torch.ones(()).expand(x.shape)
    right = native.local_response_norm_pullback(dense, x, 5, **OPTIONS)
    for other in (strided, dense.contiguous(), dense.contiguous(memory_format=torch.channels_last)):
        assert torch.equal(native.local_response_norm_pullback(other, x, 5, **OPTIONS), right)
    assert torch.equal(
        native.local_response_norm_pullback(one, x, 5, **OPTIONS),
        native.local_response_norm_pullback(torch.ones_like(x), x, 5, **OPTIONS),
    )


class Recorder(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


@pytest.mark.usefixtures("instructions")
def test_only_what_the_library_can_read_is_taken():
    x = numbers(2, 6, 4, 4)
    assert native.takes(x)
    assert native.takes(torch.nn.Parameter(x))
    assert not native.takes(x.double())
    assert not native.takes(x.half())
    assert not native.takes(x[..., ::2])
    assert not native.takes(x.transpose(0, 2))
    assert not native.takes(x.to("meta"))
    with torch._subclasses.FakeTensorMode() as mode:
        assert not native.takes(mode.from_tensor(x))
    with Recorder():  # who records torch's operations must see them
        assert not native.takes(x)


@pytest.mark.usefixtures("instructions")
@pytest.mark.parametrize("dtype", native.KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layer_uses_it_and_agrees_with_itself_without(monkeypatch, dtype, layout):
    x = numbers(2, 11, 5, 6, dtype=dtype).contiguous(memory_format=layout).requires_grad_()
    dy = numbers(2, 11, 5, 6, dtype=dtype, seed=1)
    layer, asked = LocalResponseNorm(4, alpha=0.5, k=2.0), []
    real = native._run
    with patch.object(native, "_run", lambda *args: asked.append(args) or real(*args)):
        y = layer(x)
        dx = torch.autograd.grad(y, x, dy)[0]
    assert len(asked) == 2
    assert asked[1][0] is not None
    monkeypatch.setenv(VARIABLE, "off")
    assert not native.takes(x)
    z = layer(x)
    near = {"rtol": 2**-7, "atol": 2**-9} if dtype == torch.bfloat16 else {"rtol": 2e-6, "atol": 1e-6}
    assert_close(y, z, **near)
    assert_close(dx, torch.autograd.grad(z, x, dy)[0], **near)


@pytest.mark.usefixtures("instructions")
def test_only_x_is_kept_for_the_backward_pass():
    x, kept = numbers(2, 6, 4, 4).requires_grad_(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        LocalResponseNorm(5)(x)
    assert {t.data_ptr() for t in kept} == {x.data_ptr()}
