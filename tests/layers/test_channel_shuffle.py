import torch
from torch import nn

from striate.layers.channel_shuffle import ChannelShuffle


def test_it_is_torchs():
    x = torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ChannelShuffle(3)(x), nn.ChannelShuffle(3)(x))


def test_a_vector_is_dealt_as_a_picture_is():
    x = torch.arange(6.0)[None]
    assert torch.equal(ChannelShuffle(2)(x), nn.ChannelShuffle(2)(x[..., None])[..., 0])
