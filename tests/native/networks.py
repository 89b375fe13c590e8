"""Networks and samples for the native engine."""

import torch

from striate.base.random import StepRandomness
from striate.layers.dropout import number_layers
from striate.models.described import described
from striate.models.notation import parse
from striate.native.engine import Engine
from striate.native.library import library

NOW = StepRandomness(7, 3)
NETWORKS = {
    "lenet": (
        "conv 6 5x5 pad 2, relu, maxpool 2, conv 16 5x5, maxpool 2, relu, flatten, linear 20, relu, linear 10",
        (1, 28, 28),
    ),
    "strides": (
        "conv 5 3x3 stride 2 pad 1, tanh, conv 7 3x3 dilation 2, leaky_relu, meanpool 2, flatten, linear 4",
        (3, 20, 17),
    ),
    "batch norm": (
        "conv 8 3x3 same, batch_norm, relu, conv 12 3x3 groups 4, batch_norm, elu, maxpool 3 stride 2 pad 1, "
        "adaptivemeanpool 1, flatten, dropout 0.3, linear 10",
        (3, 16, 16),
    ),
    "vectors": ("flatten, linear 30, sigmoid, batch_norm, dropout 0.5, linear 10", (1, 8, 8)),
    "a signal": ("conv 9 7 stride 3, relu, maxpool 4, conv 5 3, scaled_tanh, flatten, linear 4", (2, 100)),
    "a long signal": ("conv 20 5, relu, conv 3 3 stride 2, flatten, linear 4", (2, 100)),  # a row is more than a band
    "odd": ("conv 7 2x3, maxpool 2, relu, conv 3 4x2 stride 3x1 pad 0:1x2:0, flatten, linear 3", (2, 13, 15)),
    "means": ("meanpool 3 stride 2 pad 1, conv 4 1x1, relu, adaptivemeanpool 2, flatten, linear 5", (3, 11, 10)),
    "norms before poolings": (
        "conv 5 3x3, batch_norm, relu, maxpool 2, conv 4 2x3, tanh, batch_norm, maxpool 2, elu, conv 3 2x2, maxpool 2, "
        "batch_norm, relu, flatten, linear 4",
        (2, 23, 26),
    ),
    "norms of tiles": (
        "conv 8 3x3 same, batch_norm, leaky_relu, conv 16 3x3, batch_norm, maxpool 2, relu, conv 12 5x5 pad 1, "
        "batch_norm, flatten, linear 4",
        (8, 17, 15),
    ),
    "norm of a flattened map": ("conv 4 3x3, flatten, batch_norm, relu, linear 4", (2, 6, 7)),
    "norm first, pooled": ("batch_norm, maxpool 2, sigmoid, flatten, linear 3", (2, 9, 8)),
    "norm first": ("batch_norm, relu, conv 4 3x3, batch_norm, flatten, linear 3", (2, 9, 8)),
    "tiles of 4": (
        "conv 13 3x3 pad 1, maxpool 2, relu, conv 16 3x3, tanh, conv 10 3x3 pad 2, flatten, linear 4",
        (8, 15, 25),
    ),
    "tiles of 2": (
        "conv 14 5x5 pad 2, elu, conv 20 5x5 pad 4, maxpool 2, relu, conv 10 5x5 pad 1, flatten, linear 4",
        (10, 12, 19),
    ),
    "dropped maps": ("conv 4 3x3, relu, dropout 0.4, conv 3 3x3, relu, flatten, linear 5", (1, 9, 9)),
}


def made(text, shape, dtype=torch.float32):
    """A network, its description, and its tensors by the description's names."""
    network = parse(text, shape)
    torch.manual_seed(0)
    module = described(network).to(dtype)
    number_layers(module)
    return network, module, dict(module.named_parameters()) | dict(module.named_buffers())


def samples(network, count, seed=0):
    draw = torch.Generator().manual_seed(seed)
    (classes,) = network.output_shape
    return torch.randn(count, *network.input_shape, generator=draw), torch.randint(classes, (count,), generator=draw)


def engine(network, tensors, *, largest, threads=1, memory=None, pixels=None):
    detached = {name: tensor.detach() for name, tensor in tensors.items()}
    return Engine(library(), network, detached, memory=memory or {}, pixels=pixels, largest=largest, threads=threads)
