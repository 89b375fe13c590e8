"""What runs the steps, decided before the first one and said.

First the machine, before data are read: device, threads, allocator.  Then, with the network and a batch at hand, the
form in which it computes: memory format and precision (`forms.py`).

    GPU                                     channels-last, bfloat16, or float16 where the GPU lacks that
    CPU with instructions for bfloat16      channels-last, and bfloat16 from 20 million MACs a sample up
    any other CPU                           channels-last, float32
    smaller networks on a CPU               by trial steps, where training takes long enough to pay for them

What the trials come to depends on noise, and form decides the last bits of every sum, so they are remembered: a run
that equals an earlier one on the same machine computes as that did, and a resumed run keeps its plan.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.amp import GradScaler

from striate.base.allocator import give_back_memory, keep_memory
from striate.base.errors import ConfigError, ModelFileError
from striate.training.forms import Form, has_formats
from striate.training.outcomes import key_of, recall, remember
from striate.training.trials import Trial, Work, fastest, runs, try_forms

LARGE = 20_000_000  # MACs a sample: below a ResNet-20 of 32 pixels (41 million), above LeNet-5 (0.4 million)
LONG = 30.0  # seconds of training that are worth 1.5 s of trials
ASSUMED = 100e9  # FLOP/s of a CPU, for that estimate
PASSES = 3  # forward, gradient of the input, gradient of the weights: MACs each


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the recipe says of execution.

    Args:
        engine: "auto", "torch", "native" or "calculus".
        device: "auto", "cpu" or "cuda"; auto takes a GPU when there is one.
        threads: CPU threads; 0 is torch's own choice.
        precision: "auto", "float32", "bfloat16" or "float16".
        memory_format: "auto", "channels_last" or "contiguous".
        allocator: "auto", "keep" (memory that is let go of) or "system" (as the C library does by itself).
    """

    engine: str = "auto"
    device: str = "auto"
    threads: int = 0
    precision: str = "auto"
    memory_format: str = "auto"
    allocator: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is decided before data are read, and set.

    Args:
        device: "cpu" or "cuda".
        threads: CPU threads of torch; the sums of one thread and of two differ in the last bits.
        allocator: "keep" or "system".
    """

    device: str
    threads: int
    allocator: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The decision.

    Args:
        engine: "torch", "native" or "calculus".
        device: "cpu" or "cuda".
        threads: CPU threads of torch.
        precision: "float32", "bfloat16" or "float16".
        memory_format: "channels_last" or "contiguous".
        allocator: "keep" or "system".
        reason: why this form, for people.
        trials: the forms that were tried, if any.
        began: the plan with which the run began, where this is one of a run that goes on.
    """

    engine: str
    device: str
    threads: int
    precision: str
    memory_format: str
    allocator: str
    reason: str
    trials: tuple[Trial, ...] = ()
    began: "Plan | None" = None

    @property
    def form(self) -> Form:
        """How the network computes."""
        return Form(self.precision, self.memory_format)

    def place(self, model: nn.Module) -> nn.Module:
        """Put a network where the plan runs it, in the plan's memory format; in place."""
        return self.form.place(model, self.device)

    def autocast(self) -> AbstractContextManager[Any]:
        """What the forward pass and the loss run in."""
        return self.form.autocast(self.device)

    def scaler(self) -> GradScaler | None:
        """What scales the loss in float16; None in the others."""
        return self.form.scaler(self.device)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was tried, as a line for people, if anything was."""
        if not self.trials:
            return ()
        return (f"a step in each form that was tried: {'; '.join(map(str, self.trials))}",)

    def __str__(self) -> str:
        on = f"{self.threads} CPU thread{'s' * (self.threads != 1)}" if self.device == "cpu" else "GPU"
        memory = ", memory kept" if self.allocator == "keep" else ""
        return f"{self.engine} engine, {on}, {self.form}{memory} ({self.reason})"

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for environment.json."""
        began = self.began.as_dict() if self.began else None
        return asdict(self) | {"trials": [trial.as_dict() for trial in self.trials], "began": began}

    @staticmethod
    def from_dict(told: Mapping[str, Any]) -> "Plan":
        """The plan that `as_dict` wrote.

        Raises:
            ModelFileError: it is none.
        """
        try:
            trials = tuple(Trial.from_dict(trial) for trial in told["trials"])
            began = Plan.from_dict(told["began"]) if told.get("began") else None
            plan = Plan(**{**told, "trials": trials, "began": began})
            _check(plan)
        except (KeyError, TypeError, ValueError) as error:
            fix = "put the file back as the run wrote it, or start a new run with its recipe.toml"
            raise ModelFileError("environment.json", "plan", "as a run writes it", got=error, fix=fix) from error
        return plan


CHOICES: dict[str, tuple[str, ...]] = {
    "engine": ("torch", "native", "calculus"),
    "device": ("cpu", "cuda"),
    "precision": ("float32", "bfloat16", "float16"),
    "memory_format": ("channels_last", "contiguous"),
    "allocator": ("keep", "system"),
}


def _check(plan: Plan) -> None:
    for name, choices in CHOICES.items():
        if getattr(plan, name) not in choices:
            raise ValueError(f"{name} = {getattr(plan, name)!r}")
    if type(plan.threads) is not int or not 0 < plan.threads < 2**15 or not isinstance(plan.reason, str):
        raise ValueError(f"threads = {plan.threads!r}, reason = {plan.reason!r}")


def machine(asked: Asked) -> Machine:
    """Decide what needs no data, and set torch and the allocator accordingly.

    Raises:
        ConfigError: cuda, or an allocator, is asked for and absent.
    """
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("execution", "device", "there", got="cuda on a machine without it", fix="use --device auto")
    chosen = asked.device if asked.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if chosen == "cuda":
        torch.backends.cudnn.deterministic = True  # the same seed gives the same bits
    if asked.threads:
        torch.set_num_threads(asked.threads)
    return Machine(device=chosen, threads=torch.get_num_threads(), allocator=_allocator(asked.allocator))


def _allocator(asked: str) -> str:
    if asked == "system":
        give_back_memory()
        return "system"
    kept = keep_memory()
    if asked == "keep" and not kept:
        got = "keep with a C library that is not glibc"
        raise ConfigError("execution", "allocator", '"auto" or "system" here', got=got, fix="use auto")
    return "keep" if kept else "system"


def native_bfloat16() -> bool:
    """Whether the CPU has instructions for bfloat16 that torch uses: AVX512_BF16, which all with AMX have too.

    Without them bfloat16 is emulated, and 5 to 15 times slower than float32.
    """
    return bool(torch.cpu._is_avx512_bf16_supported() and torch.ops.mkldnn._is_mkldnn_bf16_supported())


def decide(asked: Asked, on: Machine, work: Work, *, remembered: Path) -> Plan:
    """Decide the form in which the network computes; its weights, and the caller's randomness, are left as they are.

    Args:
        asked: what the recipe fixes.
        on: the machine, as `machine` says.
        work: the network, a batch, and how much training there will be.
        remembered: a folder of outcomes of trials; made if there is need for one.
    """
    forms = _forms(asked, on.device, work)
    usual, reason = _rule(asked, forms, on.device, work)
    plan = _planned(on, usual, reason)
    if len(forms) == 1 or on.device == "cuda" or work.macs >= LARGE:
        return _that_runs(asked, plan, work)
    if _seconds(work) < LONG:
        return replace(plan, reason="usual: training is too short to try others")
    return _by_trial(plan, (usual, *(form for form in forms if form != usual)), work, remembered)


def by_engine(engine: str, on: Machine, reason: str) -> Plan:
    """The plan in which another engine than torch's trains, in float32."""
    plan = _planned(on, Form("float32", "contiguous"), reason)
    return replace(plan, engine=engine)


def _planned(on: Machine, form: Form, reason: str) -> Plan:
    return Plan(
        engine="torch",
        device=on.device,
        threads=on.threads,
        precision=form.precision,
        memory_format=form.memory_format,
        allocator=on.allocator,
        reason=reason,
    )


def _forms(asked: Asked, device: str, work: Work) -> tuple[Form, ...]:
    """All that may be taken."""
    formats = ("channels_last", "contiguous") if has_formats(work.network) else ("contiguous",)
    if device == "cuda":
        precisions: tuple[str, ...] = ("bfloat16" if torch.cuda.is_bf16_supported(False) else "float16",)
    else:
        precisions = ("float32", "bfloat16") if native_bfloat16() else ("float32",)
    return tuple(
        Form(precision, memory_format)
        for precision, memory_format in product(
            precisions if asked.precision == "auto" else (asked.precision,),
            formats if asked.memory_format == "auto" else (asked.memory_format,),
        )
    )


def _rule(asked: Asked, forms: tuple[Form, ...], device: str, work: Work) -> tuple[Form, str]:
    """The form that is right without trials."""
    if "auto" not in (asked.precision, asked.memory_format):
        return forms[0], "as asked"
    if device == "cuda":
        return forms[0], "usual on a GPU"
    if work.macs < LARGE:
        return forms[0], "usual on this CPU"
    short = [form for form in forms if form.precision == "bfloat16"]
    return (short or forms)[0], "usual for a network of this size on this CPU"


def _that_runs(asked: Asked, plan: Plan, work: Work) -> Plan:
    """The plan, or the one of float32 where nobody asked for bits and the network cannot do with fewer."""
    if asked.precision != "auto" or plan.precision == "float32":
        return plan
    fault = runs(plan.form, work, plan.device)
    if not fault or runs(replace(plan.form, precision="float32"), work, plan.device):
        return plan  # what fails in both forms is not the form's fault, and training says it better
    return replace(plan, precision="float32", reason=f"this network does not run in {plan.precision}: {fault}")


def _seconds(work: Work) -> float:
    """A guess at how long training takes."""
    return PASSES * 2 * work.macs * work.samples / ASSUMED


def _by_trial(plan: Plan, forms: tuple[Form, ...], work: Work, remembered: Path) -> Plan:
    x, y = work.batch
    key = key_of(work.network, list(x.shape), str(x.dtype), list(y.shape), [str(form) for form in forms])
    trials, reason = _recalled(remembered, key, forms), "by trial steps of an earlier run"
    if trials is None:
        trials, reason = try_forms(forms, work, plan.device), "by trial steps"
        if not remember(remembered, key, [trial.as_dict() for trial in trials]):
            reason += f", which could not be remembered in {remembered}: an equal run may come to another form"
    form = fastest(trials)
    return replace(plan, precision=form.precision, memory_format=form.memory_format, reason=reason, trials=trials)


def _recalled(folder: Path, key: str, forms: tuple[Form, ...]) -> tuple[Trial, ...] | None:
    try:
        trials = tuple(Trial.from_dict(trial) for trial in recall(folder, key))
    except (KeyError, TypeError, ValueError):
        return None
    return trials if tuple(trial.form for trial in trials) == forms else None


def resumed(told: Mapping[str, Any], asked: Asked) -> Plan:
    """The plan of a run that goes on: as it was when the run began, set anew in this process.

    On a machine without the run's GPU or allocator it goes on as this one can, and the reason says so.  Back on a
    machine that has them it is what it was: nothing of what was done without them is kept.

    Args:
        told: what `as_dict` gave when the run began, or when it went on.
        asked: what its recipe says of execution.

    Raises:
        ModelFileError: no plan was told.
        ConfigError: the recipe asks for a device that is absent, or for another engine or form than the run's.
    """
    last = Plan.from_dict(told)
    began = last.began or last
    for name in ("engine", "precision", "memory_format"):
        wanted, had = getattr(asked, name), getattr(began, name)
        if wanted not in ("auto", had):
            fix = f'put it back or set it to "auto"; with {wanted} begin a new run'
            what, must = f"execution.{name} of recipe.toml", f"{had}, as the run began"
            raise ConfigError("resume", what, must, got=wanted, fix=fix)
    allocator = "system" if began.allocator == "system" else "auto"
    device = "cpu" if began.engine != "torch" and asked.device == "auto" else asked.device  # it is made for this one
    here = machine(replace(asked, device=device, threads=asked.threads or began.threads, allocator=allocator))
    plan = replace(began, device=here.device, threads=here.threads, allocator=here.allocator, began=began)
    if here.device == began.device:
        return replace(plan, reason=f"as the run began: {began.reason}")
    plan = replace(plan, reason=f"the run began on {began.device}", trials=())
    return replace(plan, precision="float32") if here.device == "cpu" else plan
