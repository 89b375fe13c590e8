"""Run a network over batches and keep its logits."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def collect(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Logits (N, classes) and labels (N,) on the CPU, in the order of the batches; at least one batch.

    The network is put into evaluation mode and given back in the mode it came in.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            pairs = [(model(x).float().cpu(), y.cpu()) for x, y in batches]
    finally:
        model.train(was_training)
    return torch.cat([logits for logits, _ in pairs]), torch.cat([labels for _, labels in pairs])
