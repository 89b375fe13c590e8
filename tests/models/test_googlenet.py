"""Figures: Szegedy et al. 2015, Going deeper with convolutions, arXiv:1409.4842, Table 1 and section 5."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from striate.base.errors import ConfigError
from striate.deploy.predictor import load
from striate.experiment.recipe import parse_recipe
from striate.experiment.train import start
from striate.models.catalogue import MODELS, build, training_form
from striate.models.googlenet import GoogLeNet, WithHeads, loss_with_heads
from striate.training.checkpoint import newest

# row: channels and side of its output; #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj
TABLE = {
    "pool1": (64, 56, None),
    "pool2": (192, 28, None),
    "inception3a": (256, 28, (64, 96, 128, 16, 32, 32)),
    "inception3b": (480, 28, (128, 128, 192, 32, 96, 64)),
    "pool3": (480, 14, None),
    "inception4a": (512, 14, (192, 96, 208, 16, 48, 64)),
    "inception4b": (512, 14, (160, 112, 224, 24, 64, 64)),
    "inception4c": (512, 14, (128, 128, 256, 24, 64, 64)),
    "inception4d": (528, 14, (112, 144, 288, 32, 64, 64)),
    "inception4e": (832, 14, (256, 160, 320, 32, 128, 128)),
    "pool4": (832, 7, None),
    "inception5a": (832, 7, (256, 160, 320, 32, 128, 128)),
    "inception5b": (1024, 7, (384, 192, 384, 48, 128, 128)),
    "avgpool": (1024, 1, None),
}
# row: params printed, in 1024, and ops printed, in millions.  Misprints, left out: conv1's 2.7K (9,408 weights) and 34M
# (118M), and 5a's 54M (51M).
PRINTED = {
    "inception3a": (159, 128),
    "inception3b": (380, 304),
    "inception4a": (364, 73),
    "inception4b": (437, 88),
    "inception4c": (463, 100),
    "inception4d": (580, 119),
    "inception4e": (840, 170),
    "inception5a": (1072, None),
    "inception5b": (1388, 71),
}
LOOSE = {"inception4c", "inception5a"}  # printed params that the structure misses by 7 % and 5 %
# row: weights without biases, MACs at 224 pixels, by arithmetic from the structure columns
COMPUTED = {
    "conv1": (9_408, 118_013_952),
    "inception3a": (163_328, 128_049_152),
    "inception3b": (388_096, 304_267_264),
    "inception4a": (375_552, 73_608_192),
    "inception4b": (448_512, 87_908_352),
    "inception4c": (509_440, 99_850_240),
    "inception4d": (604_672, 118_515_712),
    "inception4e": (867_328, 169_996_288),
    "inception5a": (1_042_432, 51_079_168),
    "inception5b": (1_442_816, 70_697_984),
    "fc": (1_024_000, 1_024_000),
}
NORMED = {"googlenet": None, "googlenet-bn": nn.BatchNorm2d}


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def measured():
    """GoogLeNet, the output shape and the MACs of each of its layers at 224 pixels, and all MACs, without numbers."""
    shapes, macs = {}, {}
    with torch.device("meta"):
        model = GoogLeNet().eval()
        for name, layer in model.named_children():
            layer.register_forward_hook(lambda _, __, y, name=name: shapes.update({name: tuple(y.shape[1:])}))
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 3, 224, 224))
    for path, counts in counter.get_flop_counts().items():
        macs[path.removeprefix("GoogLeNet.")] = sum(counts.values()) // 2
    return model, shapes, macs


def test_parameters_and_macs_are_those_of_table_1s_structure(measured):
    model, _, macs = measured
    assert sum(p.numel() for p in model.parameters()) == 6_998_552
    assert macs["Global"] == 1_582_671_872
    for name, (weights, count) in COMPUTED.items():
        layer = model.get_submodule(name)
        assert sum(p.numel() for p in layer.parameters() if p.ndim > 1) == weights, name
        assert macs[name] == count, name
    assert sum(p.numel() for name in ("conv2", "conv3") for p in model.get_submodule(name).parameters()) == 114_944
    assert macs["conv2"] + macs["conv3"] == 359_661_568


@pytest.mark.parametrize("name", PRINTED)
def test_printed_params_and_ops_hold_within_the_tables_rounding(measured, name):
    params, ops = PRINTED[name]
    model, _, macs = measured
    weights = sum(p.numel() for p in model.get_submodule(name).parameters() if p.ndim > 1)
    assert weights / 1024 == pytest.approx(params, rel=0.08 if name in LOOSE else 0.02)
    if ops is not None:
        assert macs[name] / 1e6 == pytest.approx(ops, rel=0.01)


def test_outputs_and_widths_are_those_of_table_1(measured):
    model, shapes, _ = measured
    assert shapes["conv1"] == (64, 112, 112)
    for name, (channels, side, widths) in TABLE.items():
        assert shapes[name] == (channels, side, side), name
        if widths is not None:
            module = model.get_submodule(name)
            convs = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
            assert tuple(conv.out_channels for conv in convs) == widths
            assert [conv.kernel_size[0] for conv in convs] == [1, 1, 3, 1, 5, 1]
    assert shapes["fc"] == (1000,)


def test_22_layers_with_parameters_lie_one_behind_the_other(measured):
    names = [name for name, layer in measured[0].named_children() if any(True for _ in layer.parameters())]
    depth = sum(2 if name.startswith("inception") else 1 for name in names)
    assert depth == MODELS["googlenet"].published["layers with parameters"] == 22


def test_the_stem_is_that_of_figure_3():
    model = build("googlenet", num_classes=2, image_size=64)
    x = draw(2, 3, 64, 64)

    def conv(x, step, **options):
        return F.relu(F.conv2d(x, step[0].weight, step[0].bias, **options))

    def norm(x):
        return F.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2.0)

    wanted = norm(F.max_pool2d(conv(x, model.conv1, stride=2, padding=3), 3, 2, ceil_mode=True))
    wanted = norm(conv(conv(wanted, model.conv2), model.conv3, padding=1))
    wanted = F.max_pool2d(wanted, 3, 2, ceil_mode=True)
    wanted = F.max_pool2d(model.inception3b(model.inception3a(wanted)), 3, 2, ceil_mode=True)
    assert_close(model.to_4a(x), model.inception4a(wanted), rtol=1e-4, atol=1e-5)


def test_the_normalised_variant_has_torchvisions_parameters_but_for_its_5x5_kernels():
    model = build("googlenet-bn")
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(convs) == len(norms) == 57
    assert all(conv.bias is None for conv in convs)
    larger = sum((25 - 9) * c.in_channels * c.out_channels for c in convs if c.kernel_size == (5, 5))
    assert sum(p.numel() for p in model.parameters()) - larger == 6_624_904  # torchvision's 5x5 are 3x3


@pytest.mark.parametrize("name", NORMED)
@pytest.mark.parametrize(("image_size", "in_channels", "classes"), [(31, 1, 3), (32, 3, 2), (75, 2, 5)])
def test_any_size_from_31_pixels_and_any_channels_and_classes_train_with_heads(name, image_size, in_channels, classes):
    network = build(name, num_classes=classes, in_channels=in_channels, image_size=image_size)
    model = training_form(name, network, seed=0).train()
    outputs = model(draw(2, in_channels, image_size, image_size))
    assert [y.shape for y in outputs] == [(2, classes)] * 3
    MODELS[name].loss(F.cross_entropy)(outputs, torch.tensor([0, classes - 1])).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("name", NORMED)
def test_a_picture_below_31_pixels_is_refused(name):
    with pytest.raises(ConfigError, match="image_size must be >= 31 pixels, got 30"):
        build(name, image_size=30)


def test_heads_are_as_described_and_see_4a_and_4d():
    with torch.device("meta"):
        network = GoogLeNet()
        model = WithHeads(network)
        at_4a = network.to_4a(torch.zeros(1, 3, 224, 224))
        pooled = [model.head4a.avgpool(at_4a), model.head4d.avgpool(network.from_4a_to_4d(at_4a))]
    assert [tuple(x.shape[1:]) for x in pooled] == [(512, 4, 4), (528, 4, 4)]
    for head, channels in ((model.head4a, 512), (model.head4d, 528)):
        assert (head.conv[0].in_channels, head.conv[0].out_channels, head.conv[0].kernel_size) == (
            channels,
            128,
            (1, 1),
        )
        assert (head.fc1.in_features, head.fc1.out_features, head.fc2.out_features) == (2048, 1024, 1000)
        assert head.dropout.p == 0.7


def test_the_heads_are_only_used_in_training_and_leave_the_networks_weights_alone():
    network = build("googlenet", num_classes=3, image_size=64, seed=5)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    model = training_form("googlenet", network, seed=5)
    assert model.network is network
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert [model.get_submodule(path).stream for path in ("network.dropout", "head4a.dropout", "head4d.dropout")] == [
        0,
        1,
        2,
    ]
    x = draw(2, 3, 64, 64)
    assert torch.equal(model.eval()(x), network(x))
    for m in model.train().modules():
        if hasattr(m, "p"):
            m.p = 0.0
    logits, at_4a, at_4d = model(x)
    assert_close(logits, network(x))
    assert_close(at_4a, model.head4a(network.to_4a(x)))
    assert_close(at_4d, model.head4d(network.from_4a_to_4d(network.to_4a(x))))


def test_the_loss_is_the_networks_and_0_3_of_each_heads():
    outputs, labels = tuple(draw(3, 4, 5)), torch.tensor([0, 4, 2, 2])
    a, b, c = (F.cross_entropy(y, labels) for y in outputs)
    assert_close(loss_with_heads(F.cross_entropy)(outputs, labels), a + 0.3 * b + 0.3 * c)


def test_a_runs_bundle_holds_the_network_without_its_heads(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "noise.npz", x=rng.integers(0, 256, (18, 32, 32)).astype(np.uint8), y=np.arange(18) % 2)
    options = {"epochs": 1, "batch_size": 8, "lr": 1e-3, "preprocess": {"image_size": 32}}
    recipe = parse_recipe({"data": str(tmp_path / "noise.npz"), "model": "googlenet-bn", **options})
    for _ in start(recipe, run=tmp_path / "run"):
        pass
    trained = newest(tmp_path / "run" / "checkpoints")[0].tensors
    assert any(name.startswith("model.head4a.") for name in trained)
    with safe_open(tmp_path / "run" / "model" / "model.safetensors", framework="pt") as file:
        kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no dict
    assert kept.keys() == build("googlenet-bn", num_classes=2, in_channels=1, image_size=32).state_dict().keys()
    assert all(torch.equal(kept[name], trained[f"model.network.{name}"]) for name in kept)
    assert json.loads((tmp_path / "run" / "result.json").read_text())["parameters"] == sum(
        p.numel() for p in load(tmp_path / "run").bundle.model.parameters()
    )
