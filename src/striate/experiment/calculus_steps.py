"""The explicit network in a run: gradients by the formulas of `calculus/`, derived by hand, in place of autograd's."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from striate.base.errors import ConfigError, StriateError
from striate.base.network import Network as Description
from striate.base.random import StepRandomness
from striate.calculus.cross_entropy import cross_entropy, cross_entropy_pullback
from striate.calculus.network import Trace, backward, forward
from striate.experiment.native_steps import described, named, torchs_alone
from striate.experiment.network import Network
from striate.experiment.recipe import Recipe
from striate.experiment.recipe_sense import loss_of
from striate.training.engine import UNDIVIDED, Autocast, Batch, Division, Objective, TrainState, each_batch
from striate.training.losses import class_weights
from striate.training.plan import Machine, Plan, by_engine
from striate.training.processes import Processes
from striate.training.update import PLAIN, Rules, Update


def calculus_plan(recipe: Recipe, built: Network, on: Machine, processes: Processes) -> Plan:
    """The plan in which the explicit network makes the gradients.

    Raises:
        ConfigError: it cannot train what is asked for.
    """
    if why := _obstacle(recipe, built, on, processes):
        fix = "leave execution.engine out: torch runs everything"
        raise ConfigError("execution", "engine", "one that can train this", got=f"calculus, but {why}", fix=fix)
    return by_engine("calculus", on, "as asked; every gradient by its formula")


def _obstacle(recipe: Recipe, built: Network, on: Machine, processes: Processes) -> str:
    """Why the explicit network cannot train this; "" where it can."""
    execution = recipe.execution
    asked = {
        "task": (recipe.task, "classify"),
        "loss.name": (loss_of(recipe), "cross_entropy"),
        "device": (on.device, "cpu"),
        "processes": (processes.world, 1),
        "execution.precision": (execution.precision.replace("auto", "float32"), "float32"),
        "execution.memory_format": (execution.memory_format.replace("auto", "contiguous"), "contiguous"),
    }
    if why := torchs_alone(recipe, built, asked):
        return why
    try:
        described(built)
    except StriateError as error:
        return str(error).splitlines()[0].rstrip(".")
    return ""


@dataclass(frozen=True, slots=True)
class CalculusSteps:
    """`striate.training.engine.fit` by the explicit network; the update is that of every engine.

    Args:
        description: of the network.
        label_smoothing: share of the target spread over all classes.
        weights: what a sample of each class counts.
    """

    description: Description
    label_smoothing: float
    weights: Tensor | None

    def __call__(
        self,
        state: TrainState,
        batches: Iterable[Batch],
        *,
        objective: Objective,  # noqa: ARG002 - the loss is its own
        lr_at: Callable[[int], float],
        rules: Rules = PLAIN,
        autocast: Autocast | None = None,  # noqa: ARG002 - all is float32
        division: Division = UNDIVIDED,  # noqa: ARG002 - there is one process
    ) -> Iterator[float]:
        """Make one update a batch, yielding each loss; arguments and errors are those of `fit`."""
        update = Update(state.model, state.optimizer, rules, None)

        def make(x: Tensor, y: Tensor, lr: float) -> float:
            update.begin(lr)
            loss = self._gradients(state, x, y)
            update.make(loss, step=state.step, lr=lr)
            return loss

        yield from each_batch(state, batches, lr_at, make)

    @torch.no_grad()
    def _gradients(self, state: TrainState, x: Tensor, y: Tensor) -> float:
        """The loss; each parameter gets its gradient, each buffer its next value."""
        own = named(state.model, self.description)
        shapes, moving = self.description.parameter_shapes(), self.description.buffer_shapes()
        parameters = {name: own[name].detach().view(shape) for name, shape in shapes.items()}
        buffers = {name: own[name] for name in moving}
        now = StepRandomness(state.seed, state.step)
        trace = forward(self.description, parameters, x, training=now, buffers=buffers)
        value, dy = self._loss(trace, y)
        gradients, _ = backward(trace, dy)
        for name, gradient in gradients.items():
            own[name].grad = gradient.reshape(own[name].shape)
        for name, buffer in buffers.items():
            buffer.copy_(trace.buffers[name])
        _count(state.model)
        return value

    def _loss(self, trace: Trace, y: Tensor) -> tuple[float, Tensor]:
        """The mean cross-entropy, and its derivative by the logits."""
        z, weight, smoothing = trace.output, self.weights, self.label_smoothing
        value = cross_entropy(z, y, weight=weight, label_smoothing=smoothing)
        dy = cross_entropy_pullback(torch.ones_like(value), z, y, weight=weight, label_smoothing=smoothing)
        return value.item(), dy


def _count(model: nn.Module) -> None:
    """Batch normalisation counts its batches."""
    for name, buffer in model.named_buffers():
        if name.endswith("num_batches_tracked"):
            buffer.add_(1)


def calculus_steps(recipe: Recipe, built: Network, counts: list[int]) -> CalculusSteps:
    """The loop of a plan that has this engine."""
    asked = recipe.loss
    return CalculusSteps(described(built), asked.label_smoothing or 0.0, class_weights(asked.class_weights, counts))
