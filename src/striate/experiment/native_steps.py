"""The native engine in a run: whether it can make the updates, and the loop in which it does."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite, prod

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from striate.base.errors import ConfigError, StriateError
from striate.base.network import Network as Description
from striate.base.operations import Shape
from striate.base.random import StepRandomness
from striate.experiment.network import Network
from striate.experiment.recipe import Recipe
from striate.experiment.recipe_sense import loss_of
from striate.models.chain import described_in_a_row
from striate.native.engine import Engine, Goal, Loss, Memory
from striate.native.forward import Forward
from striate.native.library import Library, absence, library
from striate.native.pixels import Pixels
from striate.native.program import Rule
from striate.native.stages import fuse
from striate.training.engine import UNDIVIDED, Autocast, Batch, Division, Objective, TrainState, each_batch
from striate.training.losses import class_weights
from striate.training.plan import Machine, Plan, by_engine
from striate.training.processes import ALONE, Processes
from striate.training.update import PLAIN, Rules, not_finite

WIDE = 128  # channels up to which it is the faster one, in tiles or not: benchmarks/native.py --only wide
OPTIMISERS = ("sgd", "adam", "adamw")  # in the order of update.h
LOSSES: Mapping[str, Loss] = {"classify": "cross_entropy", "regress": "mse"}  # of each task that it has


def obstacle(recipe: Recipe, built: Network) -> str:
    """Why the native engine cannot train this; "" where it can."""
    if recipe.task not in LOSSES:
        return f"task = {recipe.task}"
    if recipe.optimizer not in OPTIMISERS:
        return f"optimizer = {recipe.optimizer}"
    asked = {
        "loss.name": (loss_of(recipe), LOSSES[recipe.task]),
        "regularise.max_norm": (recipe.regularise.max_norm, None),
    }
    if why := torchs_alone(recipe, built, asked):
        return why
    if library() is None:
        return absence()
    try:
        fuse(described(built))
    except StriateError as error:
        return str(error).splitlines()[0].partition(": ")[2].rstrip(".")
    return ""


def torchs_alone(recipe: Recipe, built: Network, more: Mapping[str, tuple[object, object]]) -> str:
    """What of a run none but the torch engine can do; "" where there is nothing.

    Args:
        recipe: what is asked for.
        built: the network.
        more: what the engine in question needs beside what every other than torch does: key -> (asked, needed).
    """
    asked = {
        **more,
        "loss.focal_gamma": (recipe.loss.focal_gamma or 0, 0),
        "update.accumulate": (recipe.update.accumulate, 1),
        "transfer.freeze": (recipe.transfer.freeze, ()),
    }
    for key, (value, needed) in asked.items():
        if value != needed:
            return f"{key} = {value}"
    if built.card.digest:
        return f"a network from a file, {recipe.model}"
    return f"a loss or heads of its own in {recipe.model}" if built.card.loss or built.card.heads else ""


def native_plan(recipe: Recipe, built: Network, on: Machine, processes: Processes = ALONE) -> Plan | str:
    """The plan with this engine, if the recipe asks for it, or leaves it open and it is the faster one; or why not.

    Raises:
        ConfigError: the recipe asks for it, and it cannot train what is asked for.
    """
    asked = recipe.execution
    if asked.engine == "torch":
        return "the recipe asks for torch"
    shapes = (p.shape for p in built.module.parameters())
    wide = left_to_torch(shapes) if asked.engine == "auto" else ""  # before a large network is run to see its layers
    why = _other_execution(recipe, on, processes) or wide or obstacle(recipe, built)
    if asked.engine == "native":
        if why:
            fix = "leave execution.engine out: torch runs everything"
            raise ConfigError("execution", "engine", "one that can train this", got=f"native, but {why}", fix=fix)
        return by_engine("native", on, f"as asked; {library()}")
    return why or by_engine("native", on, f"usual for a small network of layers in a row; {library()}")


def _other_execution(recipe: Recipe, on: Machine, processes: Processes) -> str:
    asked = recipe.execution
    if processes.world > 1:
        return f"{processes.world} processes"
    if on.device != "cpu":
        return f"the device {on.device}"
    if asked.precision not in ("auto", "float32"):
        return f"execution.precision = {asked.precision}"
    return "execution.memory_format = channels_last" if asked.memory_format == "channels_last" else ""


def left_to_torch(parameters: Iterable[Shape]) -> str:
    """Why `auto` leaves a network to torch, if it does: torch's kernels are made for convolutions of many channels."""
    widest = max((shape[0] for shape in parameters if len(shape) > 2), default=0)
    return f"convolutions of {widest} channels, which torch is made for" if widest > WIDE else ""


def followed(plan: Plan, processes: Processes) -> Plan:
    """The plan of a run that goes on, as this machine and these processes can follow it.

    Args:
        plan: what `striate.training.plan.resumed` gave.
        processes: that train together.
    """
    if plan.engine == "torch":
        return plan
    if why := _hindrance(plan, processes):
        return replace(plan, engine="torch", reason=f"the run began on the {plan.engine} engine; {why}")
    return replace(plan, reason=f"as the run began; {library()}") if plan.engine == "native" else plan


def _hindrance(plan: Plan, processes: Processes) -> str:
    """What keeps another engine than torch from going on; "" where nothing does."""
    if processes.world > 1:
        return f"{processes.world} processes"
    if plan.device != "cpu":
        return f"the device {plan.device}"
    return absence() if plan.engine == "native" and library() is None else ""


def described(built: Network) -> Description:
    """A network whose layers follow one another.

    Raises:
        ConfigError: it is no such network.
    """
    return described_in_a_row(built.module, built.card.sample(built.asked))


@dataclass(slots=True)
class NativeSteps:
    """`striate.training.engine.fit` by the native engine, for one recipe.

    Args:
        recipe: what is trained.
        goal: the loss.
        description: of the network.
        library: with the kernels.
        samples: that there are; a batch has no more.
        pixels: how batches of bytes become the network's input; None: batches are its input.
    """

    recipe: Recipe
    goal: Goal
    description: Description
    library: Library = field(repr=False)
    samples: int
    pixels: Pixels | None = None

    def __call__(
        self,
        state: TrainState,
        batches: Iterable[Batch],
        *,
        objective: Objective,  # noqa: ARG002 - the goal is its own
        lr_at: Callable[[int], float],
        rules: Rules = PLAIN,
        autocast: Autocast | None = None,  # noqa: ARG002 - all is float32
        division: Division = UNDIVIDED,  # noqa: ARG002 - there is one process
    ) -> Iterator[float]:
        """Make one update a batch, yielding each loss; arguments and errors are those of `fit`."""
        yield from each_batch(state, batches, lr_at, Updates(state, self, rules).make)

    def outputs(self, network: nn.Module) -> Callable[[Tensor], Tensor]:
        """What evaluates a network of this description, with its weights as they are now."""
        tensors = {name: tensor.detach() for name, tensor in named(network, self.description).items()}
        threads = torch.get_num_threads()
        return Forward(self.library, self.description, tensors, pixels=None, threads=threads).logits


class Updates:
    """An engine on the tensors of a network and its optimiser, and what it is told of each update."""

    def __init__(self, state: TrainState, steps: NativeSteps, rules: Rules) -> None:
        self.state, self.goal = state, steps.goal
        self.optimizer = state.optimizer
        self.kind = OPTIMISERS.index(steps.recipe.optimizer)
        self.counters = [b for name, b in state.model.named_buffers() if name.endswith("num_batches_tracked")]
        memory = {id(p): entry for p, entry in _memory(self.optimizer, rules.l1, adam=self.kind > 0)}
        self.times = [self.optimizer.state[p]["step"] for p in self._parameters()] if self.kind else []
        names = named(state.model, steps.description)
        own = {name: memory[id(tensor)] for name, tensor in names.items() if id(tensor) in memory}
        tensors = {name: tensor.detach() for name, tensor in names.items()}
        size, threads = min(_batch_size(steps.recipe), steps.samples), torch.get_num_threads()
        self.engine = Engine(
            steps.library, steps.description, tensors, memory=own, pixels=steps.pixels, largest=size, threads=threads
        )
        clip_norm, clip_value = rules.clip_norm or 0, rules.clip_value or 0
        self.rule = Rule(optimizer=self.kind, clip_norm=clip_norm, clip_value=clip_value)

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def make(self, x: Tensor, y: Tensor, lr: float) -> float:
        """One update, and its loss.

        Raises:
            NumericError: loss or gradient is not finite; neither weights nor memory have changed.
        """
        now = StepRandomness(self.state.seed, self.state.step)
        result = self.engine.step(x, y, self.goal, self._rule(lr), now)
        if result.updated and self.times:
            torch._foreach_add_(self.times, 1)
        if self.counters:
            torch._foreach_add_(self.counters, 1)
        if not (isfinite(result.loss) and isfinite(result.norm)):
            raise not_finite(result.loss, result.norm, step=self.state.step, lr=lr)
        return float(result.loss)

    def _rule(self, lr: float) -> Rule:
        group, rule = self.optimizer.param_groups[0], self.rule
        rule.lr = lr
        if self.kind == 0:
            rule.momentum, rule.nesterov = group["momentum"], int(group["nesterov"])
            return rule
        (rule.beta1, rule.beta2), rule.eps = group["betas"], group["eps"]
        times = int(self.times[0]) + 1
        rule.correction1, rule.correction2 = 1 - group["betas"][0] ** times, 1 - group["betas"][1] ** times
        return rule


def _batch_size(recipe: Recipe) -> int:
    assert isinstance(recipe.batch_size, int)
    return recipe.batch_size


def _memory(optimizer: Optimizer, l1: float, *, adam: bool) -> Iterator[tuple[nn.Parameter, Memory]]:
    """The optimiser's own tensors, by its names for them; made where they are not there yet."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            state = optimizer.state[p]
            names: tuple[str, ...] = ("exp_avg", "exp_avg_sq") if adam else ()
            if not adam and group["momentum"]:
                names = ("momentum_buffer",)
            for name in names:
                if state.get(name) is None:
                    state[name] = torch.zeros_like(p, memory_format=torch.contiguous_format)
            if adam and "step" not in state:
                state["step"] = torch.zeros(())
            first, second = (*(state[name] for name in names), None, None)[:2]
            yield (
                p,
                Memory(
                    first=first,
                    second=second,
                    lr_factor=group.get("lr_factor", 1.0),
                    decay=group["weight_decay"],
                    l1=l1 if p.ndim > 1 else 0.0,
                ),
            )


def named(model: nn.Module, description: Description) -> Mapping[str, Tensor]:
    """The network's tensors by the description's names."""
    parameters = zip(description.parameter_shapes(), model.parameters(), strict=True)
    floats = (b for b in model.buffers() if b.is_floating_point())
    buffers = zip(description.buffer_shapes(), floats, strict=True)
    named: dict[str, Tensor] = {**dict(parameters), **dict(buffers)}
    assert all(prod(description.parameter_shapes().get(name, t.shape)) == t.numel() for name, t in named.items())
    return named


def native_steps(recipe: Recipe, built: Network, counts: list[int], samples: int, pixels: Pixels | None) -> NativeSteps:
    """The loop of a plan that has this engine.

    Args:
        recipe: what is trained, with nothing left open.
        built: the network.
        counts: training samples of every class, where there are classes.
        samples: for training, in all.
        pixels: how batches of bytes become the network's input; None: batches are its input.

    Raises:
        ConfigError: the library is not there, or the network is another.
    """
    found = library()
    if found is None:
        fix = "build it, or begin a new run with --engine torch"
        raise ConfigError("execution", "engine", "there", got=f"native, but {absence()}", fix=fix)
    asked, weights = recipe.loss, class_weights(recipe.loss.class_weights, counts)
    goal = Goal(loss=LOSSES[recipe.task], label_smoothing=asked.label_smoothing or 0.0, weights=weights)
    return NativeSteps(recipe, goal, described(built), found, samples, pixels)
