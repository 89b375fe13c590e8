import torch
from safetensors.torch import load, save

from striate.base.tensors import apart


def test_weights_that_share_memory_are_saved_and_come_back():
    whole = torch.arange(6.0).view(2, 3)
    held = {"one": whole, "tied": whole, "row": whole[1], "turned": whole.T, "other": torch.ones(2, requires_grad=True)}
    back = load(save(apart(held)))  # safetensors refuses `held` itself
    assert back.keys() == held.keys()
    assert all(torch.equal(back[name], tensor) for name, tensor in held.items())


def test_what_shares_nothing_is_not_copied():
    one, other = torch.ones(3), torch.zeros(3)
    separate = apart({"one": one, "other": other})
    assert [tensor.data_ptr() for tensor in separate.values()] == [one.data_ptr(), other.data_ptr()]
