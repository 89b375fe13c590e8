"""Figures: Krizhevsky, Sutskever and Hinton 2012, ImageNet classification with deep convolutional neural networks."""

import pytest
import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from striate.base.errors import ConfigError
from striate.base.random import StepRandomness, step_randomness
from striate.layers.dropout import number_layers
from striate.models.alexnet import AlexNet, TwoTowers, WithinTowers, alexnet, join_state, split_state
from striate.models.catalogue import MODELS, build

KERNELS = {  # printed: number, size
    "conv1": (96, 3, 11),
    "conv2": (256, 48, 5),
    "conv3": (384, 256, 3),
    "conv4": (384, 192, 3),
    "conv5": (256, 192, 3),
}
NEURONS = {"conv2": 186_624, "conv3": 64_896, "conv4": 64_896, "conv5": 43_264, "fc6": 4096, "fc7": 4096, "fc8": 1000}
# The paper prints 253,440 = 55 * 48 * 96 for conv1.  55 * 55 * 96 is what its own sizes give; with it the sum is
# 659,272, "650,000" in the text.
CONV1_NEURONS = 290_400
PARAMETERS = {  # by arithmetic from the printed sizes; "60 million" in the text
    "conv1": 34_944,
    "conv2": 307_456,
    "conv3": 885_120,
    "conv4": 663_936,
    "conv5": 442_624,
    "fc6": 37_752_832,
    "fc7": 16_781_312,
    "fc8": 4_097_000,
}
SIDES = {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "conv3": 13, "conv4": 13, "conv5": 13, "pool5": 6}
ONE = {"conv2", "conv4", "conv5", "fc6", "fc7"}


def draw(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def shapes(image_size):
    """What each layer gives for one picture, and the MACs, without numbers."""
    with torch.device("meta"):
        model, x, given = AlexNet(image_size=image_size).eval(), torch.zeros(1, 3, image_size, image_size), {}
        with FlopCounterMode(display=False) as counter:
            for name, layer in model.named_children():
                x = given[name] = layer(x)
    return model, {name: tuple(y.shape[1:]) for name, y in given.items()}, counter.get_total_flops() // 2


@pytest.mark.parametrize("image_size", [224, 227])
def test_sizes_neurons_and_macs_are_the_published_ones(image_size):
    _, given, macs = shapes(image_size)
    assert {name: given[name][1] for name in SIDES} == SIDES
    neurons = {name: torch.Size(given[name]).numel() for name in ["conv1", *NEURONS]}
    assert neurons == {"conv1": CONV1_NEURONS, **NEURONS}
    assert sum(neurons.values()) == 659_272
    assert macs == 724_406_816


def test_kernels_and_parameters_are_the_published_ones():
    model, _, _ = shapes(224)
    layers = dict(model.named_children())
    assert {name: (*layers[name].weight.shape[:2], layers[name].kernel_size[0]) for name in KERNELS} == KERNELS
    assert {name: sum(p.numel() for p in layers[name].parameters()) for name in PARAMETERS} == PARAMETERS
    assert sum(p.numel() for p in model.parameters()) == MODELS["alexnet"].published["parameters"] == 60_965_224
    assert [name for name in KERNELS if layers[name].groups == 2] == ["conv2", "conv4", "conv5"]


def test_224_pixels_are_padded_and_227_are_not():
    assert [AlexNet(2, image_size=size).conv1.padding for size in (67, 64)] == [(0, 0), (2, 2)]
    assert [shapes(size)[0].conv1.padding for size in (227, 224)] == [(0, 0), (2, 2)]


def test_layers_stand_in_the_papers_order():
    model, _, _ = shapes(224)
    names = [name for name, _ in model.named_children() if not name.startswith("relu")]
    assert " ".join(names) == (
        "conv1 norm1 pool1 conv2 norm2 pool2 conv3 conv4 conv5 pool5 flatten fc6 drop6 fc7 drop7 fc8"
    )
    assert all(isinstance(model.get_submodule(f"relu{n}"), torch.nn.ReLU) for n in range(1, 8))
    assert (model.pool1.kernel_size, model.pool1.stride) == (3, 2)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_normalisation_is_torchs_on_each_tower_with_the_papers_alpha_times_five(layout):
    x = 30 * draw(2, 12, 4, 5)
    theirs = torch.nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
    wanted = torch.cat([theirs(tower) for tower in x.chunk(2, 1)], 1)
    given = WithinTowers(2)(x.contiguous(memory_format=layout))
    assert_close(given, wanted)
    assert given.is_contiguous(memory_format=layout)
    assert not torch.allclose(given, theirs(x))


def test_what_one_tower_sees_reaches_the_other_in_conv3_only():
    model = build("alexnet", num_classes=2, image_size=64).eval()
    with torch.no_grad():
        model.conv1.weight[48:] = 0  # the second tower is blind
    x, y = draw(2, 1, 3, 64, 64, dtype=torch.float32)
    for name, layer in model.named_children():
        if name == "conv3":
            break
        x, y = layer(x), layer(y)
        assert torch.equal(x[:, x.shape[1] // 2 :], y[:, y.shape[1] // 2 :]), name
    x, y = model.conv3(x), model.conv3(y)
    assert not torch.equal(x[:, 192:], y[:, 192:])


def test_first_weights_have_deviation_0_01_of_grey_levels_and_five_layers_biases_of_one():
    model = build("alexnet", num_classes=2, image_size=64)
    for name in PARAMETERS:
        layer = model.get_submodule(name)
        deviation = 0.58 if name == "conv1" else 0.01
        assert layer.weight.std().item() == pytest.approx(deviation, rel=0.03)
        assert layer.bias.unique().tolist() == [1.0 if name in ONE else 0.0], name


def test_dropout_follows_fc6_and_fc7():
    model = AlexNet(2, image_size=64, dropout=1.0)
    x = draw(2, 3, 64, 64, dtype=torch.float32)
    assert torch.equal(model(x), model.fc8.bias.expand(2, 2))
    model.drop7.p = 0.0
    assert_close(model(x), model.fc8(model.fc7.bias.relu()).expand(2, 2))


@pytest.mark.parametrize(("image_size", "in_channels", "classes"), [(64, 1, 3), (65, 3, 2), (66, 2, 5), (96, 3, 2)])
def test_any_size_from_64_pixels_and_any_channels_and_classes_train(image_size, in_channels, classes):
    model = build("alexnet", num_classes=classes, in_channels=in_channels, image_size=image_size)
    logits = model(draw(2, in_channels, image_size, image_size, dtype=torch.float32))
    assert logits.shape == (2, classes)
    F.cross_entropy(logits, torch.tensor([0, classes - 1])).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("image_size", [1, 63])
def test_a_picture_below_64_pixels_is_refused(image_size):
    with pytest.raises(ConfigError, match=f"image_size must be >= 64 pixels, got {image_size}"):
        build("alexnet", image_size=image_size)


def test_dropout_outside_its_range_is_refused():
    with pytest.raises(ConfigError, match=r"p must be a probability in \[0, 1\], got 1.5"):
        build("alexnet", image_size=64, dropout=1.5)


@pytest.fixture(scope="module")
def pair():
    """A network in one place and in two towers, numbered as in a run."""
    network = build("alexnet", num_classes=5, in_channels=2, image_size=64, seed=3).double()
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(5)  # far enough from zero for the logits to differ
    towers = TwoTowers(network, ("cpu", "cpu"))
    number_layers(towers)
    return network, towers


def gradients(model, x, labels):
    with step_randomness(StepRandomness(seed=1, step=7)):
        logits = model(x)
    return logits, torch.autograd.grad(F.cross_entropy(logits, labels), list(model.parameters()))


@pytest.mark.parametrize("training", [False, True])
def test_two_towers_compute_what_one_network_computes(pair, training):
    network, towers = (model.train(training) for model in pair)
    x, labels = draw(4, 2, 64, 64), torch.tensor([0, 4, 2, 1])
    (wanted, wanted_gradients), (logits, found) = gradients(network, x, labels), gradients(towers, x, labels)
    assert wanted.std() > 1e-3
    assert_close(logits, wanted, rtol=1e-10, atol=1e-12)
    named = dict(zip(dict(network.named_parameters()), wanted_gradients, strict=True))
    halves = split_state(named, ("cpu", "cpu"))
    for (name, _), gradient in zip(towers.named_parameters(), found, strict=True):
        assert_close(gradient, halves[name], rtol=1e-9, atol=1e-12)


def test_weights_go_to_two_towers_and_back(pair):
    network, towers = pair
    state = towers.state_dict()
    assert state.keys() == {f"towers.{t}.{name}" for t in (0, 1) for name in network.state_dict()}
    assert state["towers.1.conv2.weight"].shape == (128, 48, 5, 5)
    assert [state[f"towers.{t}.fc8.weight"].shape[0] for t in (0, 1)] == [3, 2]
    for one in (join_state(state), towers.join().state_dict()):
        assert one.keys() == network.state_dict().keys()
        assert all(torch.equal(one[name], tensor) for name, tensor in network.state_dict().items())
    with torch.no_grad():
        before = network.fc8.bias.clone()
        towers.towers[0]["fc8"].bias.add_(1)  # a copy: the network is not touched
        assert torch.equal(network.fc8.bias, before)
        towers.towers[0]["fc8"].bias.sub_(1)


def test_the_same_draw_makes_both_forms():
    def made(devices):
        torch.manual_seed(4)
        return alexnet(2, image_size=64, devices=devices)

    with torch.random.fork_rng(devices=[]):
        one, two = made(None), made(("cpu", "cpu"))
    assert isinstance(one, AlexNet)
    for name, tensor in join_state(two.state_dict()).items():
        assert torch.equal(tensor, one.state_dict()[name]), name


class Wire(TorchFunctionMode):
    """Carries tensors between "cpu" and "meta", two devices that nothing else mixes, and writes down what went over."""

    def __init__(self):
        super().__init__()
        self.sent = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        moved = func is torch.Tensor.to and isinstance(args[1], str)
        if moved and torch.device(args[1]) != args[0].device:
            self.sent.append((args[0].device.type, tuple(args[0].shape)))
            return torch.zeros(args[0].shape, device=args[1])
        return func(*args, **(kwargs or {}))


def test_each_tower_lives_on_its_device_and_only_conv3_and_the_full_layers_exchange():
    network = AlexNet(num_classes=4, image_size=96).eval()
    towers = TwoTowers(network, ("cpu", "meta"))
    for tower, device in zip(towers.towers, ("cpu", "meta"), strict=True):
        assert {p.device.type for p in tower.parameters()} == {device}
    halves = [sum(p.numel() for p in tower.parameters()) for tower in towers.towers]
    assert halves[0] == halves[1] == sum(p.numel() for p in network.parameters()) / 2
    with Wire() as wire:
        logits = towers.eval()(torch.zeros(2, 3, 96, 96))
    both = [("conv3", (2, 128, 5, 5)), ("fc6", (2, 128, 2, 2)), ("fc7", (2, 2048)), ("fc8", (2, 2048))]
    exchanged = [(device, shape) for _, shape in both for device in ("meta", "cpu")]
    assert wire.sent == [("cpu", (2, 3, 96, 96)), *exchanged, ("meta", (2, 2))]  # the picture, and half of the logits
    assert logits.shape == (2, 4)
    assert logits.device.type == "cpu"
