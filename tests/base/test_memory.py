import sys

import pytest
import torch

from striate.base.memory import free_memory, held_memory, is_out_of_memory, peak_memory


def test_torchs_own_error_is_told_from_others():
    with pytest.raises(RuntimeError) as lack:
        torch.empty(1 << 50)
    with pytest.raises(RuntimeError) as other:
        torch.mm(torch.zeros(1, 2), torch.zeros(1, 2))
    assert is_out_of_memory(lack.value)
    assert not is_out_of_memory(other.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for a convolution"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing tells")
def test_what_a_tensor_takes_is_seen():
    before = held_memory()
    taken = torch.ones(25_000_000)
    assert held_memory() - before > 0.9 * taken.nbytes
    assert peak_memory() >= 0.99 * held_memory()
    assert free_memory() > 0
