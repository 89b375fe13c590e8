"""The training loop, forward to update: no hooks, no flags; the caller logs, saves and stops.

logits = f(x; w)     L = loss(logits, y)     g = dL/dw     w <- update(w, g, lr(step))
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from striate.base.errors import NumericError
from striate.base.random import StepRandomness, step_randomness

Batch = tuple[Tensor, Tensor]


@dataclass(kw_only=True, slots=True)
class TrainState:
    """What every update changes, and so what a checkpoint must hold.

    Args:
        model: the network, on its device.
        optimizer: over the network's parameters.
        seed: of the run; layers that draw use it with the step.
        step: updates made so far.
    """

    model: nn.Module
    optimizer: Optimizer
    seed: int
    step: int = 0


def fit(
    state: TrainState,
    batches: Iterable[Batch],
    *,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    lr_at: Callable[[int], float],
) -> Iterator[float]:
    """Make one update a batch, yielding each loss.

    Args:
        state: changed in place; `step` counts the updates.
        batches: inputs and targets on the model's device.
        loss_fn: (logits, targets) -> mean loss of the batch.
        lr_at: learning rate of an update, from the number of updates before it.

    Raises:
        NumericError: loss or gradient is not finite; raised before the update, the weights are intact.
    """
    parameters = [p for p in state.model.parameters() if p.requires_grad]
    for x, y in batches:
        if not state.model.training:  # the caller evaluated in between
            state.model.train()
        lr = lr_at(state.step)
        for group in state.optimizer.param_groups:
            group["lr"] = lr
        with step_randomness(StepRandomness(seed=state.seed, step=state.step)):
            loss = loss_fn(state.model(x), y)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        value = loss.item()
        _refuse_non_finite(value, parameters, state.step, lr)
        state.optimizer.step()
        state.step += 1
        yield value


def _refuse_non_finite(loss: float, parameters: list[nn.Parameter], step: int, lr: float) -> None:
    """A spoiled weight cannot be taken back, so look before the update."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients).item()
    for name, value in (("loss", loss), ("gradient norm", norm)):
        if not abs(value) < float("inf"):
            raise NumericError(
                "training",
                f"{name} at step {step} (lr {lr:g})",
                "finite",
                got=value,
                fix="lower lr, or lengthen schedule.warmup_epochs; the last checkpoint has only finite numbers",
            )
