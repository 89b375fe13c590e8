import pytest
import torch
from safetensors.torch import save
from torch import nn

from striate.analysis.disk import disk_bytes


class Kinds(nn.Module):
    """Numbers of every width, under names that no alphabet of bytes is enough for."""

    def __init__(self):
        super().__init__()
        kinds = (torch.uint8, torch.float16, torch.int64, torch.bool, torch.float64, torch.bfloat16, torch.int32)
        for number, kind in enumerate(kinds):
            self.register_buffer(f"größe_{number}", torch.ones(10**number % 997, dtype=kind))
        self.weight = nn.Parameter(torch.ones(3, 5))
        self.register_buffer("not_saved", torch.ones(1000), persistent=False)


NETWORKS = [nn.Linear(3, 2), nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), Kinds(), nn.ReLU()]


@pytest.mark.parametrize("model", NETWORKS, ids=lambda model: type(model).__name__)
def test_the_file_is_as_large_as_the_one_that_safetensors_writes(model):
    assert disk_bytes(model) == len(save(dict(model.state_dict()), metadata={"format": "pt"}))
