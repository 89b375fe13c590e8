"""Figures: torchvision's alexnet, after Krizhevsky 2014, One weird trick, arXiv:1404.5997."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from striate.base.errors import ConfigError
from striate.models.alexnet2014 import AlexNet2014
from striate.models.catalogue import MODELS, build

SHAPES = {  # torchvision's state
    "features.0": (64, 3, 11, 11),
    "features.3": (192, 64, 5, 5),
    "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3),
    "features.10": (256, 256, 3, 3),
    "classifier.1": (4096, 9216),
    "classifier.4": (4096, 4096),
    "classifier.6": (1000, 4096),
}


def test_names_shapes_parameters_and_macs_are_torchvisions():
    with torch.device("meta"):
        model = AlexNet2014().eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 3, 224, 224))
    state = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert {name.removesuffix(".weight"): shape for name, shape in state.items() if "weight" in name} == SHAPES
    assert sum(p.numel() for p in model.parameters()) == MODELS["alexnet-2014"].published["parameters"] == 61_100_840
    assert counter.get_total_flops() == 2 * 714_188_480


@pytest.mark.parametrize(("image_size", "in_channels", "classes"), [(63, 1, 3), (100, 3, 2)])
def test_any_size_from_63_pixels_and_any_channels_and_classes_train(image_size, in_channels, classes):
    model = build("alexnet-2014", num_classes=classes, in_channels=in_channels, image_size=image_size)
    x = torch.randn(2, in_channels, image_size, image_size, generator=torch.Generator().manual_seed(0))
    logits = model(x)
    assert logits.shape == (2, classes)
    F.cross_entropy(logits, torch.tensor([0, classes - 1])).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_picture_below_63_pixels_is_refused():
    with pytest.raises(ConfigError, match="image_size must be >= 63 pixels, got 62"):
        build("alexnet-2014", image_size=62)
