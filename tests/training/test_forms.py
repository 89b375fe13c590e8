import pytest
import torch
from torch import nn

from striate.training.forms import Form, has_formats

CHANNELS_LAST = Form("float32", "channels_last")


@pytest.mark.parametrize(
    ("layer", "lies"),
    [(nn.Conv2d(3, 4, 3), torch.channels_last), (nn.Conv3d(3, 4, 3), torch.channels_last_3d)],
)
def test_weights_of_planes_and_volumes_lie_channels_last_and_back(layer, lies):
    values = layer.weight.detach().clone()
    CHANNELS_LAST.place(layer, "cpu")
    assert layer.weight.is_contiguous(memory_format=lies)
    assert not layer.weight.is_contiguous()
    Form("float32", "contiguous").place(layer, "cpu")
    assert layer.weight.is_contiguous()
    assert torch.equal(layer.weight, values)


def test_planes_and_volumes_in_one_network_and_buffers_too():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv3d(3, 4, 3), nn.Conv1d(3, 4, 3))
    network.register_buffer("kernel", torch.rand(2, 3, 4, 4))
    CHANNELS_LAST.place(network, "cpu")
    assert network.kernel.is_contiguous(memory_format=torch.channels_last)
    assert network[1].weight.is_contiguous(memory_format=torch.channels_last_3d)
    assert network[2].weight.is_contiguous()


def test_what_is_convolved_with_a_weight_that_lies_channels_last_comes_out_so():
    layer = CHANNELS_LAST.place(nn.Conv2d(3, 4, 3), "cpu")
    assert layer(torch.rand(2, 3, 8, 8)).is_contiguous(memory_format=torch.channels_last)


def test_an_optimiser_made_before_still_owns_the_weights():
    network = nn.Conv2d(3, 4, 3)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0, fused=True)
    CHANNELS_LAST.place(network, "cpu")
    before = network.weight.detach().clone()
    network(torch.rand(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    assert not torch.equal(network.weight, before)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)]
)
def test_the_precision_is_that_of_products_and_not_of_weights(precision, dtype):
    network, form = nn.Linear(3, 4), Form(precision, "contiguous")
    with form.autocast("cpu"):
        assert network(torch.rand(2, 3)).dtype == dtype
    assert network.weight.dtype == torch.float32
    assert (form.scaler("cpu") is not None) == (precision == "float16")


def test_tokens_and_signals_have_no_memory_format():
    assert not has_formats(nn.Sequential(nn.Embedding(5, 3), nn.Conv1d(3, 4, 3)))
    assert has_formats(nn.Conv3d(1, 1, 1))
