"""Memory that runs out: the batch size to try, and the checkpoint as it was."""

import pytest
import torch
from tests.faults.runs import same, train

from striate.base.errors import ResourceError
from striate.experiment import wiring
from striate.experiment.train import go_on, start
from striate.training.checkpoint import newest


def failing(real, error, at):
    """The engine, running out of memory in one update."""

    def fit(state, batches, **options):
        def until():
            for batch in batches:
                if state.step == at:
                    raise error
                yield batch

        return real(state, until(), **options)

    return fit


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_out_of_memory_in_step_3_names_the_batch_size_to_try(recipe, tmp_path, monkeypatch, error):
    run = tmp_path / "run"
    train(start(recipe, run=tmp_path / "unbroken"))
    monkeypatch.setattr(wiring, "fit", failing(wiring.fit, error, 4))
    with pytest.raises(ResourceError, match="out of memory at batch size 16, in epoch 2 at step 4") as told:
        train(start(recipe, run=run))
    assert told.value.exit_code == 6
    assert "--batch-size 8" in str(told.value)
    assert newest(run / "checkpoints")[0].step == 3
    monkeypatch.undo()
    train(go_on(run))
    assert same(run, tmp_path / "unbroken")


def test_another_error_stays_what_it_is(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(wiring, "fit", failing(wiring.fit, RuntimeError("shapes differ"), 1))
    with pytest.raises(RuntimeError, match="shapes differ"):
        train(start(recipe, run=tmp_path / "run"))
