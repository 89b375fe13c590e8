"""What `striate train` runs, without its data: the plan that it decides, its engine, its optimiser."""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from striate.training.engine import Batch, Objective, TrainState, fit
from striate.training.optimisers import Settings, sgd
from striate.training.plan import Asked, Plan, decide, machine
from striate.training.trials import Work

Loss = Callable[..., Tensor]


@dataclass(frozen=True, slots=True)
class Trainer:
    """A network that is ready to train.

    Args:
        plan: what was decided.
        state: the network and its optimiser.
        updates: batches -> the loss of every update, made one by one.
    """

    plan: Plan
    state: TrainState
    updates: Callable[[Iterable[Batch]], Iterator[float]]


def trainer(network: nn.Module, batch: Batch, loss: Loss, settings: Settings, *, macs: int, samples: int) -> Trainer:
    """Decide the plan and put the network where it says; nothing of an earlier decision is looked up.

    Args:
        network: what is trained.
        batch: one that it will see.
        loss: (outputs, targets) -> mean loss.
        settings: of gradient descent with momentum.
        macs: of a sample.
        samples: that a run of such training takes through.
    """
    asked = Asked(device="cpu")
    work = Work(network=network, batch=batch, loss=loss, macs=macs, samples=samples)
    with tempfile.TemporaryDirectory() as folder:
        plan = decide(asked, machine(asked), work, remembered=Path(folder))
    model = plan.place(network)
    state = TrainState(model=model, optimizer=sgd(model, settings), seed=0, scaler=plan.scaler())
    rate = settings.lr
    updates = partial(fit, state, objective=Objective(loss), lr_at=lambda _: rate, autocast=plan.autocast)
    return Trainer(plan, state, updates)
