"""AlexNet: five convolutions in two towers, and three fully connected layers that see both.

    conv1  96@11x11 /4 - ReLU - norm1 - pool1 3/2        each tower's 48 kernels see the picture
    conv2  256@5x5     - ReLU - norm2 - pool2 3/2        within the tower
    conv3  384@3x3     - ReLU                            sees both towers
    conv4  384@3x3     - ReLU                            within the tower
    conv5  256@3x3     - ReLU - pool5 3/2                within the tower
    fc6 4096 - ReLU - drop6 - fc7 4096 - ReLU - drop7 - fc8 classes      each sees all of the layer before

Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 2012.
60,965,224 parameters with 1000 classes, and 724,406,816 MACs at 3x227x227.

Local response normalisation: n = 5, k = 2, beta = 0.75 and alpha = 1e-4 times the sum, 5e-4 times the mean as torch
counts.  It stays within a tower: the paper's two GPUs met in layer 3 and in the fully connected layers, and nowhere
else.  The poolings overlap, 3 pixels wide at every second.  The paper drops the outputs of fc6 and fc7, so dropout
stands behind them.

The first weights are N(0, 0.01^2), for pixels of -128 to 127.  Ours are divided by their deviation, about 58 of those
grey levels, so conv1 starts 58 times as large: both pass the same on.  Without it the picture drowns in the biases of
one, and nothing is learnt.

The picture: the paper prints 224 pixels, and maps of 55x55 behind conv1, which 11x11 windows at every fourth pixel do
not give: they fill 227 pixels, and leave a rest of 224.  So conv1 pads by 2 where a rest is left, and by nothing where
there is none: both sizes give 55x55.

`alexnet(devices=…)` makes the network as it was trained: each tower on a device of its own.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.layers.dropout import Dropout
from striate.layers.initialise import initialise_normal
from striate.layers.local_response_norm import LocalResponseNorm
from striate.models.card import Card, Options

TOWERS = 2
SMALLEST = 64  # pixels: below it nothing is left behind the third pooling
BIAS_ONE = (
    "conv2",
    "conv4",
    "conv5",
    "fc6",
    "fc7",
)  # their ReLUs pass something on from the start
GREY_LEVELS = 58  # the deviation of ImageNet's pixels, 0.225 of 255
MEETINGS = ("conv3", "flatten", "fc7", "fc8")  # layers whose input comes from both towers
DROPS = ("drop6", "drop7")
Devices = tuple[torch.device | str, torch.device | str]
IMAGENET = Options(num_classes=1000, in_channels=3, image_size=224, dropout=0.5)


class WithinTowers(LocalResponseNorm):
    """The paper's local response normalisation, among the channels of each tower apart.

    Args:
        towers: in how many equal parts the channels fall.

    Shape: (B, C, H, W), kept.  Parameters: 0.
    """

    def __init__(self, towers: int) -> None:
        super().__init__(5, alpha=5e-4, beta=0.75, k=2.0)
        self.towers = towers

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Each tower as a picture of its own, without a copy in either memory format."""
        B, C, H, W = x.shape
        if x.is_contiguous():
            return super().forward(x.view(B * self.towers, C // self.towers, H, W)).view(B, C, H, W)
        pixels = x.movedim(1, -1).reshape(-1, C // self.towers)  # channels-last: the towers of a pixel lie side by side
        return super().forward(pixels).view(B, H, W, C).movedim(-1, 1)

    def extra_repr(self) -> str:
        """What `print(model)` shows between the brackets."""
        return f"{super().extra_repr()}, towers={self.towers}"


def _padding(image_size: int) -> int:
    """Of conv1, in pixels on each side."""
    return 2 if (image_size - 11) % 4 else 0


def _layers(held: int, options: Options) -> OrderedDict[str, nn.Module]:
    """The layers in their order, or as much of them as one of two devices holds.

    Args:
        held: towers in one place: 2 are the whole network, 1 is half of it.
        options: of the network; its classes are those that fc8 gives here.
    """
    side = (options.image_size + 2 * _padding(options.image_size) - 11) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1  # the convolutions between the poolings keep the size
    return OrderedDict(
        conv1=nn.Conv2d(options.in_channels, 48 * held, 11, stride=4, padding=_padding(options.image_size)),
        relu1=nn.ReLU(),
        norm1=WithinTowers(held),
        pool1=nn.MaxPool2d(3, stride=2),
        conv2=nn.Conv2d(48 * held, 128 * held, 5, padding=2, groups=held),
        relu2=nn.ReLU(),
        norm2=WithinTowers(held),
        pool2=nn.MaxPool2d(3, stride=2),
        conv3=nn.Conv2d(256, 192 * held, 3, padding=1),
        relu3=nn.ReLU(),
        conv4=nn.Conv2d(192 * held, 192 * held, 3, padding=1, groups=held),
        relu4=nn.ReLU(),
        conv5=nn.Conv2d(192 * held, 128 * held, 3, padding=1, groups=held),
        relu5=nn.ReLU(),
        pool5=nn.MaxPool2d(3, stride=2),
        flatten=nn.Flatten(),
        fc6=nn.Linear(256 * side * side, 2048 * held),
        relu6=nn.ReLU(),
        drop6=Dropout(options.p),
        fc7=nn.Linear(4096, 2048 * held),
        relu7=nn.ReLU(),
        drop7=Dropout(options.p),
        fc8=nn.Linear(4096, options.classes),
    )


class AlexNet(nn.Module):
    """AlexNet with both towers in one place, as convolutions of two groups.

    Args:
        num_classes: how many classes or numbers, >= 1.
        in_channels: 1 for grey, 3 for colour, or any other number.
        image_size: side of the square picture in pixels, >= 64; fc6 takes what the poolings leave.
        dropout: share of the outputs of fc6 and fc7 that training drops, in [0, 1).

    Shape: (B, in_channels, image_size, image_size) -> (B, num_classes), the logits.
    State: the layers by the names above, in that order.

    Raises:
        ConfigError: a picture that is too small.

    >>> AlexNet(num_classes=2, image_size=64)(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 2])
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, image_size: int = 224, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if image_size < SMALLEST:
            raise ConfigError("alexnet", "image_size", f">= {SMALLEST} pixels", got=image_size, fix="ask for 224")
        self.options = Options(num_classes=num_classes, in_channels=in_channels, image_size=image_size, dropout=dropout)
        for name, layer in _layers(TOWERS, self.options).items():
            self.add_module(name, layer)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        """The logits: one layer behind the other."""
        for layer in self.children():
            x = layer(x)
        return x


class TwoTowers(nn.Module):
    """AlexNet as it was trained: a tower on each of two devices.

    A tower holds half the kernels of every convolution, half of fc6 and fc7, and half of the classes.  What it makes
    goes to the other device in front of conv3, fc6, fc7 and fc8, and nowhere else; the halves of the logits come
    together on the first device.  Outputs, gradients and dropped features are those of `AlexNet`, up to rounding.

    Args:
        network: whose weights are copied.
        devices: where the towers live, as torch names devices; the same one twice will do.

    Shape: (B, in_channels, image_size, image_size) -> (B, num_classes), the logits, on the first device.
    State: `towers.0` and `towers.1`, each with the names of `AlexNet`.
    """

    def __init__(self, network: AlexNet, devices: Devices) -> None:
        super().__init__()
        self.options, self.devices = network.options, devices
        classes = self.options.classes
        with torch.device("meta"):
            halves = [_layers(1, replace(self.options, num_classes=n)) for n in (classes - classes // 2, classes // 2)]
        self.order = tuple(halves[0])
        self.drops = nn.ModuleDict({name: halves[0][name] for name in DROPS})
        for layers in halves:
            for name in DROPS:
                del layers[name]
        self.towers = nn.ModuleList(nn.ModuleDict(layers) for layers in halves)
        self.load_state_dict(split_state(network.state_dict(), devices), assign=True)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B classes"]:
        """The logits: both towers through every layer."""
        parts = [x.to(device) for device in self.devices]
        for name in self.order:
            if name in MEETINGS:
                parts = [torch.cat([part.to(device) for part in parts], dim=1) for device in self.devices]
            if name in DROPS:
                parts = self._drop(self.drops[name], parts)
            else:
                parts = [tower.get_submodule(name)(part) for tower, part in zip(self.towers, parts, strict=True)]
        return torch.cat([part.to(self.devices[0]) for part in parts], dim=1)

    def join(self) -> AlexNet:
        """The undivided network, on the CPU, with a copy of these weights."""
        o = self.options
        with torch.device("meta"):
            network = AlexNet(o.classes, o.in_channels, o.image_size, o.p)
        network.load_state_dict(join_state(self.state_dict()), assign=True)
        return network.train(self.training)

    def _drop(self, layer: nn.Module, parts: list[Tensor]) -> list[Tensor]:
        """Each tower draws the mask of the whole layer and keeps its half: the masks are those of `AlexNet`."""
        kept = []
        for number, part in enumerate(parts):
            units = part.shape[1]
            whole = nn.functional.pad(part, (number * units, (TOWERS - 1 - number) * units))
            kept.append(layer(whole)[:, number * units : (number + 1) * units])
        return kept


def split_state(state: Mapping[str, Tensor], devices: Devices) -> dict[str, Tensor]:
    """The state of `TwoTowers` from that of `AlexNet`: the first half of every layer's outputs, and the second."""
    return {
        f"towers.{number}.{name}": half.detach().to(device, copy=True)
        for name, tensor in state.items()
        for number, (half, device) in enumerate(zip(tensor.chunk(TOWERS), devices, strict=True))
    }


def join_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `split_state`, on the CPU."""
    names = [name.removeprefix("towers.0.") for name in state if name.startswith("towers.0.")]
    return {
        name: torch.cat([state[f"towers.{number}.{name}"].detach().cpu() for number in range(TOWERS)]) for name in names
    }


def alexnet(
    num_classes: int = 1000,
    in_channels: int = 3,
    image_size: int = 224,
    dropout: float = 0.5,
    devices: Devices | None = None,
) -> AlexNet | TwoTowers:
    """AlexNet in one place, or with a tower on each of two devices; the same draw of weights in both forms.

    Args:
        num_classes: as `AlexNet`, and the next three.
        in_channels: likewise.
        image_size: likewise.
        dropout: likewise.
        devices: such as ("cuda:0", "cuda:1").

    >>> alexnet(2, image_size=64, devices=("cpu", "cpu"))(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 2])
    """
    network = AlexNet(num_classes, in_channels, image_size, dropout)
    return network if devices is None else TwoTowers(network, devices)


def start(model: nn.Module, seed: int) -> None:
    """The paper's first weights: N(0, 0.01^2), biases 1 in front of the ReLUs of `BIAS_ONE` and 0 elsewhere."""
    initialise_normal(model, seed, std=0.01)
    with torch.no_grad():
        model.get_parameter("conv1.weight").mul_(GREY_LEVELS)
        for name in BIAS_ONE:
            model.get_parameter(f"{name}.bias").fill_(1)


ALEXNET = Card(
    builder=lambda o: AlexNet(o.classes, o.in_channels, o.image_size, o.p),
    usual=IMAGENET,
    source="Krizhevsky, Sutskever and Hinton 2012, ImageNet classification with deep convolutional neural networks",
    faithful="as published, both towers in one place; conv1 pads where its windows leave a rest, as they do of 224, "
    "and starts larger since pixels come normalised",
    published={"parameters": 60_965_224},
    start=start,
    lr_factor=0.02,  # its biases of one let wide layers swing
)
