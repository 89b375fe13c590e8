"""The training loop, forward to update: no hooks, no flags; the caller logs, saves and stops.

outputs = f(x; w)     L = loss(outputs, y)     g = dL/dw     w <- update(w, g, lr(step))

A batch may go through in pieces.  Its mean loss is then the pieces' means, each in proportion to what it counts,

    L = sum_k (c_k / sum_j c_j) L_k        c_k = weight(y_k): rows, or class weights, or labelled pixels

and the layers that draw know which rows of the batch they see: the gradient is that of the undivided batch.

Several processes share a batch in the same way: each brings its rows of it, the sum over j runs over the pieces of all,
and the gradients are added up on their way (`gradient_sum.py`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer

from striate.base.random import StepRandomness, step_randomness
from striate.training.average import Average
from striate.training.gradient_sum import GradientSum, gradient_sum
from striate.training.processes import ALONE, Processes
from striate.training.sync_batch_norm import each_by_itself
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


@dataclass(frozen=True, slots=True)
class Division:
    """How batches are divided among processes.

    Args:
        processes: that train together.
        count_at: rows of a whole batch, from the number of batches before it; None: they are all here.
    """

    processes: Processes = ALONE
    count_at: Callable[[int], int] | None = None


UNDIVIDED = Division()


@runtime_checkable
class Fit(Protocol):
    """What `fit` is called with, and gives: other engines stand in its place."""

    def __call__(  # noqa: D102 - said above
        self,
        state: TrainState,
        batches: Iterable[Batch],
        *,
        objective: Objective,
        lr_at: Callable[[int], float],
        rules: Rules = PLAIN,
        autocast: Autocast = nullcontext,
        division: Division = UNDIVIDED,
    ) -> Iterator[float]: ...


def fit(
    state: TrainState,
    batches: Iterable[Batch],
    *,
    objective: Objective,
    lr_at: Callable[[int], float],
    rules: Rules = PLAIN,
    autocast: Autocast = nullcontext,
    division: Division = UNDIVIDED,
) -> Iterator[float]:
    """Make one update a batch, yielding each loss: of the whole batch, whoever computed it.

    Args:
        state: changed in place; `step` counts the batches.
        batches: inputs and targets on the model's device; of each the rows that `division` leaves to this process.
        objective: what is minimised.
        lr_at: learning rate of an update, from the number of batches before it; a group's `lr_factor` multiplies it.
        rules: of every update.
        autocast: makes the context that forward pass and loss are computed in.
        division: of every batch among processes.

    Raises:
        NumericError: loss or gradient is not finite; raised before the update, the weights are intact.
        ResourceError: another process is gone.
    """
    update = Update(state.model, state.optimizer, rules, state.scaler)
    train_mode(state.model)
    with gradient_sum(division.processes, state.model.parameters()) as total:
        for batch in batches:
            if not state.model.training:  # the caller evaluated in between
                train_mode(state.model)
            lr = lr_at(state.step)
            update.begin(lr)
            parts = pieces(batch, objective, rules.accumulate, division, state.step)
            value = division.processes.sum(gradients(state, parts, objective, autocast, total)).item()
            updated = update.make(value, step=state.step, lr=lr)
            if updated and state.average is not None:
                state.average.update(state.step)
            state.step += 1
            yield value


def each_batch(
    state: TrainState,
    batches: Iterable[Batch],
    lr_at: Callable[[int], float],
    make: Callable[[Tensor, Tensor, float], float],
) -> Iterator[float]:
    """The loop of an engine that takes every batch whole: mode, rate, running mean and the count of updates are kept.

    Args:
        state: changed in place.
        batches: inputs and targets.
        lr_at: learning rate of an update, from the number of batches before it.
        make: (inputs, targets, rate) -> the loss, once the update is made.
    """
    train_mode(state.model)
    for x, y in batches:
        loss = make(x, y, lr_at(state.step))
        if state.average is not None:
            state.average.update(state.step)
        state.step += 1
        yield loss


def train_mode(model: nn.Module) -> None:
    """Training mode; a layer that is frozen whole stays as it is, batch normalisation with its statistics."""
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
        first_row: where they begin in the whole batch.
        share: of the whole batch's mean loss, in [0, 1].
        alone: whether other processes have the same rows.
    """

    x: Tensor
    y: Tensor
    first_row: int = 0
    share: float = 1.0
    alone: bool = False


def gradients(
    state: TrainState, parts: Sequence[Piece], objective: Objective, autocast: Autocast, total: GradientSum
) -> Tensor:
    """Add dL/dw of the batch's mean loss L to the parameters' gradients, times the scaler's scale; gives L.

    L is this process's part of it, and the gradients are those of all.
    """
    losses = []
    for number, piece in enumerate(parts, 1):
        with _randomness(state, piece), autocast():
            loss = _part_of_loss(objective, state.model(piece.x), piece)
        scaled = loss if state.scaler is None else state.scaler.scale(loss)
        with total.over() if number == len(parts) else nullcontext():
            scaled.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    return losses[0] if len(losses) == 1 else torch.stack(losses).sum()


@contextmanager
def _randomness(state: TrainState, piece: Piece) -> Iterator[None]:
    with (
        step_randomness(StepRandomness(state.seed, state.step, piece.first_row)),
        each_by_itself() if piece.alone else nullcontext(),
    ):
        yield


def _part_of_loss(objective: Objective, outputs: Tensor | Sequence[Tensor], piece: Piece) -> Tensor:
    if piece.share == 0:  # its mean does not exist; but other processes wait for its share in batch normalisation
        heads = [outputs] if isinstance(outputs, Tensor) else outputs
        return torch.stack([head.sum() for head in heads]).sum() * 0
    loss = objective.loss(outputs, piece.y)  # type: ignore[arg-type]  # of heads, where the objective takes them
    return loss if piece.share == 1 else loss * piece.share


def pieces(
    batch: Batch, objective: Objective, count: int, division: Division = UNDIVIDED, step: int = 0
) -> list[Piece]:
    """This process's rows of a batch in at most `count` pieces, as many as every other process makes.

    Pieces that count nothing are left out where there is one process.
    """
    x, y = batch
    processes = division.processes
    if count == 1 and processes.world == 1:
        return [Piece(x, y)]
    whole = division.count_at(step) if division.count_at else len(x)
    number = min(count, processes.fewest(whole))
    parts = list(zip(x.tensor_split(number), y.tensor_split(number), strict=True))
    counted = torch.stack([objective.weight(part) for _, part in parts]).double()
    *own, total = torch.cat([counted, processes.sum(counted.sum(0, keepdim=True))]).tolist()
    alone, row = not processes.divides(whole), processes.rows(whole).start
    if not total:
        return [Piece(x, y, row, alone=alone)]  # as undivided: the loss says what it makes of it
    made = []
    for (part, targets), weight in zip(parts, own, strict=True):
        if weight or processes.world > 1:
            made.append(Piece(part, targets, row, weight / total, alone))
        row += len(part)
    return made
