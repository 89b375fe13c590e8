"""Trial steps: small networks are tried in several forms before training, in turn, and the fastest is taken.

The machine is noisy and its noise only ever adds, so the steps of all forms alternate and the fastest step of each
counts.  What came of it is remembered: an equal run must not compute in another form because of noise.
"""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from striate.base.random import StepRandomness, step_randomness
from striate.training.forms import Form
from striate.training.optimisers import SGD

SECONDS = 1.5  # of trial steps, after one of each form to warm up
LEAST, MOST = 3, 100  # steps of each form
WORTH = 0.9  # a form that is not the usual one takes at most this share of the usual one's time

Criterion = Callable[[Tensor, Tensor], Tensor]
Batch = tuple[Tensor, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be trained, as far as its speed is concerned.

    Args:
        network: left as it is; copies of it are tried.
        batch: inputs and targets of one update.
        loss: (outputs, targets) -> mean loss.
        macs: multiply-accumulates of one sample's forward pass.
        samples: that all of training takes through, counted each time.
    """

    network: nn.Module
    batch: Batch
    loss: Criterion
    macs: int
    samples: int

    def steps(self, form: Form, device: str) -> Iterator[None]:
        """Updates of a copy of the network, at a rate of 0, so that no number can grow."""
        network = form.place(copy.deepcopy(self.network), device).train()
        x, y = (part.to(device) for part in self.batch)
        optimizer = SGD(network.parameters(), lr=0.0, momentum=0.9, fused=True)
        while True:
            with step_randomness(StepRandomness(seed=0, step=0)), form.autocast(device):
                loss = self.loss(network(x), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            yield


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of trying one form.

    Args:
        form: what was tried.
        seconds: its fastest step; None where it failed.
        fault: why it failed.
    """

    form: Form
    seconds: float | None
    fault: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @staticmethod
    def from_dict(told: dict[str, Any]) -> "Trial":
        """The same from plain values; KeyError, TypeError or ValueError from others."""
        form, seconds = told["form"], told["seconds"]
        return Trial(
            Form(str(form["precision"]), str(form["memory_format"])),
            None if seconds is None else float(seconds),
            str(told["fault"]),
        )

    def __str__(self) -> str:
        took = f"{1e3 * self.seconds:.3g} ms" if self.seconds is not None else f"failed ({self.fault})"
        return f"{self.form} {took}"


def try_forms(forms: tuple[Form, ...], work: Work, device: str, *, seconds: float = SECONDS) -> tuple[Trial, ...]:
    """Try every form, step by step in turn.

    Args:
        forms: to try.
        work: with its network and batch.
        device: where.
        seconds: after which no further round of steps begins.
    """
    with generators_kept(device):
        running = {form: work.steps(form, device) for form in forms}
        results = {form: _timed(steps) for form, steps in running.items()}  # warms up, and finds what cannot run
        best: dict[Form, float] = {}
        began = time.perf_counter()
        for turn in range(MOST):
            if turn >= LEAST and time.perf_counter() - began > seconds:
                break
            for form in forms:
                if isinstance(results[form], float):
                    results[form] = took = _timed(running[form])
                    best[form] = min(best.get(form, float("inf")), took) if isinstance(took, float) else float("inf")
    return tuple(
        Trial(form, best[form]) if isinstance(result, float) else Trial(form, None, result)
        for form, result in results.items()
    )


def generators_kept(device: str) -> AbstractContextManager[None]:
    """Give torch's generators back as they were: its own dropout draws from them."""
    return torch.random.fork_rng([torch.cuda.current_device()] if device == "cuda" else [])


def _timed(steps: Iterator[None]) -> float | str:
    """Seconds of one step, or what went wrong: once the error is gone, so are the tensors that its frames held."""
    began = time.perf_counter()
    try:
        next(steps)
    except Exception as error:
        fault = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
    else:
        return time.perf_counter() - began
    return fault


def runs(form: Form, work: Work, device: str, rows: int = 2) -> str:
    """What goes wrong with one step of a few rows in this form; "" if nothing."""
    x, y = work.batch
    few = replace(work, batch=(x[:rows], y[:rows]))
    with generators_kept(device):
        result = _timed(few.steps(form, device))
    return result if isinstance(result, str) else ""


def fastest(trials: tuple[Trial, ...]) -> Form:
    """The form to take: the first, which is the usual one, unless another is clearly faster."""
    ran = {trial.form: trial.seconds for trial in trials if trial.seconds is not None}
    if not ran:
        return trials[0].form  # training will say what is wrong
    quickest, usual = min(ran, key=ran.__getitem__), next(iter(ran))
    return quickest if ran[quickest] < WORTH * ran[usual] else usual
