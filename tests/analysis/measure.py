"""What a tensor really depends on: the support of its gradient, measured by autograd."""

import torch
import torch.nn.functional as F
from torch import nn


def linearised(model):
    """The model in float64 with small positive weights, so that no gradient cancels, dies or vanishes."""
    model = model.double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            fan = max(parameter[0].numel(), 1) if parameter.ndim > 1 else 1
            parameter.copy_((torch.rand(parameter.shape, generator=generator, dtype=torch.float64) + 0.5) / fan)
    return model


def average_for_max(monkeypatch):
    """Let every pooling pass its error to its whole window: the winner alone would show one path of many."""

    def averaging(axes):
        pool = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[axes]

        def mean(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
            assert dilation in (1, (1, 1)), "an average has no dilation"
            assert not return_indices
            return pool(x, kernel_size, stride, padding, ceil_mode)

        return mean

    for axes in (1, 2, 3):
        monkeypatch.setattr(F, f"max_pool{axes}d", averaging(axes))
        adaptive = getattr(F, f"adaptive_avg_pool{axes}d")
        monkeypatch.setattr(F, f"adaptive_max_pool{axes}d", lambda x, size, _=False, pool=adaptive: pool(x, size))


def support(y, x, place):
    """For each axis of places of x, the first and the last pixel that any channel of y depends on at a place."""
    (gradient,) = torch.autograd.grad(y[0, :, *place].sum(), x, retain_graph=True)
    touched = gradient.abs().sum((0, 1)) > 0
    ends = []
    for axis in range(touched.ndim):
        others = [a for a in range(touched.ndim) if a != axis]
        places = (touched.sum(others) if others else touched).nonzero().flatten()
        ends.append((places[0].item(), places[-1].item()) if len(places) else None)
    return ends


class Recording(nn.Module):
    """A model that keeps the output of every module call, by path, in order."""

    def __init__(self, model):
        super().__init__()
        self.model, self.outputs = model, []
        for path, module in model.named_modules():
            module.register_forward_hook(lambda _m, _a, y, path=path: self.outputs.append((path, y)))

    def forward(self, x):
        return self.model(x)
