"""The training loop, forward to update: no hooks, no flags; the caller logs, saves and stops.

outputs = f(x; w)     L = loss(outputs, y)     g = dL/dw     w <- update(w, g, lr(step))

A batch may go through in pieces.  Its mean loss is then the pieces' means, each in proportion to what it counts,

    L = sum_k (c_k / sum_j c_j) L_k        c_k = weight(y_k): rows, or class weights, or labelled pixels

and the layers that draw know which rows of the batch they see: the gradient is that of the undivided batch.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from striate.base.random import StepRandomness, step_randomness
from striate.training.average import Average
from striate.training.update import PLAIN, Rules, Update

Batch = tuple[Tensor, Tensor]
Criterion = Callable[[Tensor, Tensor], Tensor]
Autocast = Callable[[], AbstractContextManager[object]]


def rows(targets: Tensor) -> Tensor:
    """What a batch counts where every sample counts alike: their number."""
    return torch.tensor(float(len(targets)), device=targets.device)


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised.

    Args:
        loss: (outputs, targets) -> mean over what counts.
        weight: targets -> what they count in that mean, a number >= 0 in a tensor without axes.
    """

    loss: Criterion
    weight: Callable[[Tensor], Tensor] = rows


@dataclass(kw_only=True, slots=True)
class TrainState:
    """What every update changes, and so what a checkpoint must hold.

    Args:
        model: the network, on its device.
        optimizer: over the network's parameters.
        seed: of the run; layers that draw use it with the step.
        step: batches trained on so far.
        average: of the weights over the updates.
        scaler: of the loss where gradients are float16.
    """

    model: nn.Module
    optimizer: Optimizer
    seed: int
    step: int = 0
    average: Average | None = None
    scaler: GradScaler | None = None


def fit(
    state: TrainState,
    batches: Iterable[Batch],
    *,
    objective: Objective,
    lr_at: Callable[[int], float],
    rules: Rules = PLAIN,
    autocast: Autocast = nullcontext,
) -> Iterator[float]:
    """Make one update a batch, yielding each loss.

    Args:
        state: changed in place; `step` counts the batches.
        batches: inputs and targets on the model's device.
        objective: what is minimised.
        lr_at: learning rate of an update, from the number of batches before it; a group's `lr_factor` multiplies it.
        rules: of every update.
        autocast: makes the context that forward pass and loss are computed in.

    Raises:
        NumericError: loss or gradient is not finite; raised before the update, the weights are intact.
    """
    update = Update(state.model, state.optimizer, rules, state.scaler)
    train_mode(state.model)
    for batch in batches:
        if not state.model.training:  # the caller evaluated in between
            train_mode(state.model)
        lr = lr_at(state.step)
        update.begin(lr)
        loss = gradients(state, batch, objective, rules.accumulate, autocast)
        value = loss.item()
        updated = update.make(value, step=state.step, lr=lr)
        if updated and state.average is not None:
            state.average.update(state.step)
        state.step += 1
        yield value


def train_mode(model: nn.Module) -> None:
    """Training mode, but a layer that is frozen whole stays as it is: batch normalisation would change its statistics."""
    model.train()
    for module in model.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()


class Piece(NamedTuple):
    """Consecutive rows of a batch.

    Args:
        x: inputs.
        y: targets.
        first_row: where they begin in the batch.
        share: of the batch's mean loss, in (0, 1].
    """

    x: Tensor
    y: Tensor
    first_row: int
    share: float


def gradients(state: TrainState, batch: Batch, objective: Objective, accumulate: int, autocast: Autocast) -> Tensor:
    """Add dL/dw of the batch's mean loss L to the parameters' gradients, times the scaler's scale; gives L."""
    losses = []
    for x, y, first_row, share in pieces(batch, objective, accumulate):
        with step_randomness(StepRandomness(state.seed, state.step, first_row)), autocast():
            loss = objective.loss(state.model(x), y)
        if share != 1:
            loss = loss * share
        scaled = loss if state.scaler is None else state.scaler.scale(loss)
        scaled.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    return losses[0] if len(losses) == 1 else torch.stack(losses).sum()


def pieces(batch: Batch, objective: Objective, count: int) -> list[Piece]:
    """The batch in at most `count` pieces; those that count nothing are left out: their mean does not exist."""
    x, y = batch
    if count == 1:
        return [Piece(x, y, 0, 1.0)]
    parts = list(zip(x.chunk(count), y.chunk(count), strict=True))
    counted = torch.stack([objective.weight(part) for _, part in parts]).double().tolist()
    whole, size = sum(counted), len(parts[0][0])
    if not whole:
        return [Piece(x, y, 0, 1.0)]  # as undivided: the loss says what it makes of it
    return [
        Piece(*part, number * size, own / whole)
        for number, (part, own) in enumerate(zip(parts, counted, strict=True))
        if own
    ]
