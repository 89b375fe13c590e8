"""Every shortcut gives the shapes, kinds and strides that torch gives."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from striate.analysis.call import arguments_of
from striate.analysis.shortcuts import _RULES, shortcut

X = torch.rand(2, 4, 8, 8)
V = torch.rand(2, 6)


class Compare(TorchDispatchMode):
    """Lets torch compute, and compares every shortcut with what came out."""

    def __init__(self):
        super().__init__()
        self.compared = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        arguments = tree_map_only(torch.Tensor, self.without_numbers, arguments_of(func, args, kwargs or {}))
        quick = shortcut(func, dict(arguments))
        result = func(*args, **(kwargs or {}))
        if quick is not None:
            self.compared.add(func.overloadpacket.__name__)
            outputs = zip(*(x if isinstance(x, tuple | list) else (x,) for x in (quick, result)), strict=True)
            for ours, torchs in outputs:
                assert (ours is None) == (torchs is None), func
                if ours is not None:
                    same = (ours.shape, ours.dtype) == (torchs.shape, torchs.dtype)
                    assert same, (func, ours.shape, torchs.shape)
                    assert ours.numel() == 0 or ours.is_contiguous() == torchs.is_contiguous(), func
        return result

    @staticmethod
    def without_numbers(tensor):
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def backed(function):
    """A function of X, and its way back."""

    def run():
        x = X.clone().requires_grad_()
        y = function(x)
        y.backward(torch.ones_like(y))
        function(x).sum().backward()

    return run


RUNS = {
    "convolution": backed(nn.Conv2d(4, 6, (3, 2), 2, (1, 0), groups=2)),
    "transposed": backed(nn.ConvTranspose2d(4, 6, 3, 2, 1, output_padding=1, groups=2, dilation=2)),
    "one axis": lambda: nn.Conv1d(3, 2, 5, 2, 1, bias=False)(torch.rand(2, 3, 9)),
    "three axes": lambda: nn.Conv3d(1, 2, 2)(torch.rand(1, 1, 3, 4, 5)),
    "batch norm": backed(nn.BatchNorm2d(4)),
    "batch norm in evaluation": lambda: nn.BatchNorm2d(4).eval()(X),
    "layer norm": backed(nn.LayerNorm((8, 8))),
    "max": backed(lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True)),
    "mean": backed(lambda x: F.avg_pool2d(x, (2, 3), ceil_mode=True)),
    "adaptive": lambda: F.adaptive_avg_pool2d(X, (3, 2)),
    "pad": backed(lambda x: F.pad(x, (1, 2, 0, -1))),
    "join": backed(lambda x: torch.cat([x, x[:, :1]], 1) + torch.stack([x, x]).sum(0).sum(1, keepdim=True)),
    "reduce": backed(lambda x: x.mean((2, 3)) * x.amax(1).sum() + x.amin((0, 2, 3)).sum()),
    "products": backed(lambda x: F.linear(x.flatten(1), torch.rand(3, 256), torch.rand(3)) @ torch.rand(3, 2)),
    "batched products": backed(lambda x: torch.baddbmm(torch.rand(3), x[0], torch.rand(4, 8, 3))),
    "softmax": backed(lambda x: x.softmax(1) + x.log_softmax(2) + torch.ops.aten._safe_softmax(x, 1)),
    "embedding": lambda: F.embedding(torch.tensor([[1, 1], [0, 1]]), V),
    "up": lambda: [F.interpolate(X, scale_factor=2, mode=mode) for mode in ("nearest", "bilinear", "bicubic")],
    "activations": backed(lambda x: F.gelu(F.silu(F.leaky_relu(F.elu(x.relu().tanh().sigmoid()))))),
    "arithmetic": backed(lambda x: (x * 2 + 1 - x / 3).clamp(min=0) ** 2 * torch.rand(4, 1, 1)),
    "masked": backed(lambda x: x * (X > 0.5) * torch.tensor([[True], [False]])[:, :, None, None]),
    "in place": lambda: X.clone().relu_().add_(1).mul_(X).clamp_(0, 1),
    "branches": backed(lambda x: torch.cat([F.relu(x), F.relu(x[:, :2])], 1)),
    "comparisons": lambda: (X > 0.5, X.masked_fill(X > 0.5, 0.0), torch.where(X > 0.5, X, -X)),
    "other kinds": lambda: (torch.arange(3) + 1, torch.arange(3) / 2, X.double() + X, torch.arange(8) < X),
    "channels last": backed(lambda x: F.relu(nn.BatchNorm2d(4)(x.contiguous(memory_format=torch.channels_last)))),
    "copies": lambda: (X.clone(), X.transpose(1, 2).clone(), X.transpose(1, 2).contiguous(), X.half(), X[::2].clone()),
    "constants": lambda: (torch.zeros_like(X), torch.ones_like(X), torch.empty_like(X), X.clone().zero_().fill_(2)),
    "dropout": backed(lambda x: F.dropout(x, 0.5)),
    "written out": lambda: torch.mul(X, X, out=torch.empty_like(X)),
    "random": lambda: (X.clone().bernoulli_(0.5), X.clone().uniform_(), X.clone().normal_()),
}
SEEN = set()


@pytest.mark.parametrize("name", RUNS)
def test_shapes_are_torchs(name):
    with torch.random.fork_rng(devices=[]), Compare() as mode:
        RUNS[name]()
    SEEN.update(mode.compared)


def test_the_way_back_through_branches_needs_no_compiler():
    """Parts of a gradient, which have gaps between them, against whole maps."""
    gradient, x = torch.empty(2, 6, 8, 8, device="meta")[:, :4], torch.empty(2, 4, 8, 8, device="meta")
    back = torch.ops.aten.threshold_backward.default
    quick = shortcut(back, arguments_of(back, (gradient, x, 0), {}))
    assert quick.stride() == back(torch.rand(2, 6, 8, 8)[:, :4], X, 0).stride()


def test_every_rule_was_compared():
    if len(SEEN) > 20:  # all of the above have run in this process
        assert set(_RULES) <= SEEN


@pytest.mark.parametrize(
    "run",
    [
        lambda x: F.conv2d(x, torch.empty(2, 3, 3, 3, device="meta")),
        lambda x: F.conv2d(x, torch.empty(2, 4, 9, 9, device="meta")),
        lambda x: F.linear(x, torch.empty(2, 3, device="meta")),
        lambda x: x + torch.empty(2, 4, 8, 7, device="meta"),
        lambda x: torch.cat([x, x[:, :, 1:]], 1),
        lambda x: F.max_pool2d(x, 9),
        lambda x: F.layer_norm(x, (7,)),
        lambda x: torch.stack([x, x[:1]]),
        lambda x: F.pad(x, (-5, -5)),
    ],
)
def test_what_does_not_fit_is_left_to_torch_to_refuse(run):
    class Quick(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            quick = shortcut(func, arguments_of(func, args, kwargs or {}))
            return func(*args, **(kwargs or {})) if quick is None else quick

    with pytest.raises(RuntimeError), Quick():
        run(X.to("meta"))
