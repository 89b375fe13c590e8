"""From a recipe and its data to the parts that train: network, plan, optimiser, schedule, objective."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import nn

from striate.analysis.counting import macs_of
from striate.analysis.rules import trainable_parameters
from striate.data.cache_folder import cache_path
from striate.deploy.bundle import Architecture
from striate.experiment.calculus_steps import calculus_plan, calculus_steps
from striate.experiment.material import Material
from striate.experiment.native_steps import NativeSteps, native_plan, native_steps
from striate.experiment.network import Network, architecture_of, network_of
from striate.experiment.picture_material import PictureMaterial
from striate.experiment.recipe import Recipe
from striate.experiment.tasks.catalogue import TASKS
from striate.experiment.tasks.classify import Classify
from striate.experiment.tasks.task import Task
from striate.experiment.transfer import freeze
from striate.models.catalogue import title
from striate.native.pixels import Pixels
from striate.training.average import Average
from striate.training.engine import Fit, Objective, TrainState, fit
from striate.training.optimisers import OPTIMISERS, Settings
from striate.training.plan import LARGE, Asked, Machine, Plan, decide
from striate.training.processes import ALONE, Processes
from striate.training.schedules import SCHEDULES, Curve, Schedule, plateau_factor
from striate.training.stopping import should_stop
from striate.training.sync_batch_norm import synchronise
from striate.training.trials import Work
from striate.training.update import Rules

Evaluation = Callable[[nn.Module], Callable[[torch.Tensor], torch.Tensor]]


def by_itself(network: nn.Module) -> nn.Module:
    """The evaluation of a network that torch runs."""
    return network


@dataclass(frozen=True, slots=True)
class Wired:
    """Everything a run needs, built and placed.

    Args:
        recipe: what was asked for, with nothing left open.
        material: its data.
        task: what is to be learnt.
        built: the network and where it came from.
        architecture: how to build the network again.
        plan: what runs the steps.
        state: what every update changes, before the first one.
        objective: what is minimised.
        rules: of an update.
        schedule: learning rate of an update, where validation has no say in it.
        epochs: passes over the training split, at most.
        steps_per_epoch: updates in an epoch, the last partial batch included.
        processes: that train together.
        masks: names of the network's buffers that are made with infinities.
        steps: what makes the updates: torch's engine, the native one or the explicit network.
        evaluation: network -> what computes its outputs in evaluation, with its weights of now.
    """

    recipe: Recipe
    material: Material
    task: Task
    built: Network
    architecture: Architecture
    plan: Plan
    state: TrainState
    objective: Objective
    rules: Rules
    schedule: Schedule
    epochs: int
    steps_per_epoch: int
    processes: Processes = ALONE
    masks: frozenset[str] = frozenset()
    steps: Fit = fit
    evaluation: Evaluation = by_itself

    @property
    def title(self) -> str:
        """What the network is called where a name has to be short."""
        return title(self.recipe.model)

    @property
    def parameters(self) -> int:
        """Numbers of the network that are learnt."""
        return trainable_parameters(self.built.module)

    @property
    def batch_size(self) -> int:
        """Samples of an update."""
        return batch_size_of(self.recipe)

    @property
    def network(self) -> nn.Module:
        """What is validated and kept: without heads that only training needs, and the running mean if there is one."""
        average = self.state.average
        return self.built.module if average is None else self.built.kept(average.network)

    def lr_at(self, scores: Sequence[float]) -> Schedule:
        """Learning rate of an update in the epoch after those with these validation scores."""
        asked = self.recipe.schedule
        if asked.name != "plateau":
            return self.schedule
        factor = plateau_factor(scores, asked.patience or 0, asked.gamma or 1.0)
        return lambda step: factor * self.schedule(step)

    def ended(self, scores: Sequence[float]) -> bool:
        """Whether the epochs with these validation scores were the last."""
        asked = self.recipe.stopping
        early = asked.patience > 0 and should_stop(scores, asked.patience, asked.min_delta or 0.0)
        return early or len(scores) >= self.epochs


def batch_size_of(recipe: Recipe) -> int:
    """Samples of an update, of a recipe with nothing left open."""
    assert isinstance(recipe.batch_size, int)
    return recipe.batch_size


def asked_of(recipe: Recipe) -> Asked:
    """What the recipe says of execution."""
    asked = recipe.execution
    return Asked(
        engine=asked.engine,
        device=asked.device,
        threads=asked.threads,
        precision=asked.precision,
        memory_format=asked.memory_format,
        allocator=asked.allocator,
    )


def plan_of(recipe: Recipe, material: Material, on: Machine, processes: Processes = ALONE) -> Plan:
    """Decide what runs the steps.

    Raises:
        ConfigError: options that do not fit data, network or machine.
    """
    built = network_of(recipe, material.given())
    task = TASKS[recipe.task](recipe, material)
    task.check(built)
    if recipe.execution.engine == "calculus":
        return calculus_plan(recipe, built, on, processes)
    native = native_plan(recipe, built, on, processes)
    if isinstance(native, Plan):
        return native
    batch = next(iter(material.training(0, 0, batch_size=batch_size_of(recipe))))
    work = Work(
        network=built.trained(recipe.seed),
        batch=batch,
        loss=task.objective(built).loss,
        macs=macs_of(built.module, batch[0][:2].cpu()),
        samples=(recipe.epochs or 1) * material.count("train"),
    )
    plan = decide(asked_of(recipe), on, work, remembered=cache_path("plans"))
    small = plan.device == "cpu" and work.macs < LARGE and recipe.execution.engine == "auto"
    return replace(plan, reason=f"{plan.reason}; not the native engine: {native}") if small else plan


def wire(recipe: Recipe, material: Material, plan: Plan, processes: Processes = ALONE) -> Wired:
    """Build and place what trains.

    Raises:
        ConfigError: options that do not fit the data or the network.
    """
    assert recipe.epochs is not None
    built = network_of(recipe, material.given())
    task = TASKS[recipe.task](recipe, material)
    task.check(built)
    plan.place(built.module)
    model = synchronise(plan.place(built.trained(recipe.seed)), processes)
    steps_per_epoch = ceil(material.count("train") / batch_size_of(recipe))
    material, pixels = _in_bytes(material, plan)
    steps = _steps(recipe, built, task, plan, material.count("train"), pixels)
    return Wired(
        recipe=recipe,
        material=material,
        task=task,
        built=built,
        architecture=architecture_of(recipe, built),
        plan=plan,
        state=_state(recipe, model, plan),
        objective=task.objective(built),
        rules=_rules(recipe),
        schedule=_schedule(recipe, steps_per_epoch),
        epochs=recipe.epochs,
        steps_per_epoch=steps_per_epoch,
        processes=processes,
        masks=frozenset(name for name, buffer in model.named_buffers() if buffer.isinf().any()),
        steps=steps,
        evaluation=steps.outputs if isinstance(steps, NativeSteps) else by_itself,
    )


def _in_bytes(material: Material, plan: Plan) -> tuple[Material, Pixels | None]:
    """For an engine that normalises as it reads: pictures that need no more than that come as they lie."""
    found = material.in_bytes() if plan.engine == "native" and isinstance(material, PictureMaterial) else None
    return found or (material, None)


def _steps(recipe: Recipe, built: Network, task: Task, plan: Plan, samples: int, pixels: Pixels | None) -> Fit:
    """What makes the updates."""
    if plan.engine == "torch":
        return fit
    counts = task.counts() if isinstance(task, Classify) else []
    if plan.engine == "native":
        return native_steps(recipe, built, counts, samples, pixels)
    return calculus_steps(recipe, built, counts)


def _state(recipe: Recipe, model: nn.Module, plan: Plan) -> TrainState:
    """The network with its optimiser, what is frozen apart, and the running mean if one is asked for."""
    freeze(model, recipe.transfer.freeze)
    asked, decay = recipe.update, recipe.update.ema_decay
    usual = Settings(lr=1.0)
    settings = Settings(
        lr=_peak(recipe),
        weight_decay=recipe.weight_decay,
        momentum=recipe.momentum or 0.0,
        nesterov=bool(asked.nesterov),
        beta1=usual.beta1 if asked.beta1 is None else asked.beta1,
        beta2=usual.beta2 if asked.beta2 is None else asked.beta2,
        alpha=usual.alpha if asked.alpha is None else asked.alpha,
        lr_factors=recipe.transfer.lr_factors,
    )
    return TrainState(
        model=model,
        optimizer=OPTIMISERS[recipe.optimizer](model, settings),
        seed=recipe.seed,
        average=Average(model, decay) if decay else None,
        scaler=plan.scaler(),
    )


def _rules(recipe: Recipe) -> Rules:
    asked = recipe.update
    return Rules(
        accumulate=asked.accumulate,
        clip_norm=asked.clip_norm,
        clip_value=asked.clip_value,
        l1=recipe.regularise.l1,
        max_norm=recipe.regularise.max_norm,
    )


def _peak(recipe: Recipe) -> float:
    """The largest learning rate, of a recipe with nothing left open."""
    assert isinstance(recipe.lr, float)
    return recipe.lr


def _schedule(recipe: Recipe, steps_per_epoch: int) -> Schedule:
    asked, total = recipe.schedule, (recipe.epochs or 0) * steps_per_epoch
    warmup = min(total, round((asked.warmup_epochs or 0.0) * steps_per_epoch))
    every = max(1, round((asked.step_epochs or 1.0) * steps_per_epoch))
    curve = Curve(every=every, gamma=asked.gamma or 0.1, power=asked.power or 1.0)
    name = "constant" if asked.name == "plateau" else asked.name
    return SCHEDULES[name](_peak(recipe), warmup, total, curve)
