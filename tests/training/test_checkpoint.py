import contextlib
import os
import pickle
import signal
from multiprocessing import get_context

import pytest
import torch

from striate.base.errors import ModelFileError
from striate.training import checkpoint as module
from striate.training.checkpoint import Checkpoint, newest, read_checkpoint, save_checkpoint


def make(step, size=64):
    return Checkpoint(
        step=step, tensors={"w": torch.full((size,), float(step))}, record={"note": f"step {step}", "x": 0.1}
    )


def save(folder, *steps, best_step=None):
    return [save_checkpoint(folder, make(step), best_step=best_step) for step in steps][-1]


def test_what_is_saved_comes_back(tmp_path):
    found = read_checkpoint(save(tmp_path, 7))
    assert (found.step, found.record) == (7, {"note": "step 7", "x": 0.1})
    assert torch.equal(found.tensors["w"], torch.full((64,), 7.0))


def test_the_newest_two_and_the_best_stay(tmp_path):
    save(tmp_path, 1)
    for step in range(2, 8):
        save(tmp_path, step, best_step=2)
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == [
        f"step-0000000{n}.safetensors" for n in (2, 6, 7)
    ]
    assert "step-00000002" in (tmp_path / "best.json").read_text()


def test_every_flipped_bit_is_noticed(tmp_path):
    path = save(tmp_path, 3)
    whole = path.read_bytes()
    for place in range(0, len(whole), 17):
        broken = bytearray(whole)
        broken[place] ^= 1 << place % 8
        path.write_bytes(broken)
        with pytest.raises(ModelFileError, match="checksum that does not match"):
            read_checkpoint(path)
    path.write_bytes(whole)
    assert read_checkpoint(path).step == 3


@pytest.mark.parametrize("damage", ["empty", "one byte", "half", "all but one", "text", "zeros", "folder", "missing"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path, damage):
    save(tmp_path, 4)
    path = save(tmp_path, 9)
    whole = path.read_bytes()
    path.unlink()
    match damage:
        case "folder":
            path.mkdir()
        case "missing":
            pass
        case _:
            cut = {"empty": 0, "one byte": 1, "half": len(whole) // 2, "all but one": len(whole) - 1}.get(damage)
            path.write_bytes(whole[:cut] if cut is not None else {"text": b"text", "zeros": bytes(len(whole))}[damage])
    found, faults = newest(tmp_path)
    assert found.step == 4
    assert [fault.what for fault in faults] == [str(path)]
    with pytest.raises(ModelFileError, match="the checkpoint is damaged"):
        read_checkpoint(path)


def test_no_whole_checkpoint_is_an_error_that_says_so(tmp_path):
    with pytest.raises(ModelFileError, match="at least one checkpoint, got none"):
        newest(tmp_path)
    save(tmp_path, 1).write_bytes(b"")
    with pytest.raises(ModelFileError, match="0 of"):
        newest(tmp_path)


class Code:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_a_pickle_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path, 1)
    path.write_bytes(pickle.dumps(Code()))
    with pytest.raises(ModelFileError, match="damaged"):
        read_checkpoint(path)
    assert not (tmp_path / "executed").exists()


def _save_on_and_on(folder, size):
    for step in range(1, 10**6):
        save_checkpoint(folder, make(step, size), best_step=step - step % 3 or None)


@pytest.mark.parametrize("moment", range(12))
def test_killed_while_saving_it_keeps_a_whole_checkpoint_and_the_best(tmp_path, moment):
    process = get_context("fork").Process(target=_save_on_and_on, args=(tmp_path, 20_000))
    process.start()
    process.join(0.05 + 0.0137 * moment)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    found, _ = newest(tmp_path)
    assert torch.equal(found.tensors["w"], torch.full((20_000,), float(found.step)))
    best = found.step - found.step % 3
    if best:
        assert module.best(tmp_path, best).step == best


@pytest.mark.parametrize("cut", range(1, 8))
def test_killed_between_any_two_steps_of_the_rotation_it_keeps_one(tmp_path, cut, monkeypatch):
    save(tmp_path, 1, 2, best_step=1)
    calls = []

    def dying(real):
        def step(*arguments, **options):
            calls.append(real)
            if len(calls) == cut:
                raise KeyboardInterrupt
            return real(*arguments, **options)

        return step

    monkeypatch.setattr(module, "write", dying(module.write))
    monkeypatch.setattr(module, "write_json", dying(module.write_json))
    monkeypatch.setattr(module.Path, "unlink", dying(module.Path.unlink))
    with contextlib.suppress(KeyboardInterrupt):
        save(tmp_path, 3, best_step=3)
    monkeypatch.undo()
    found, _ = newest(tmp_path)
    assert found.step in (2, 3)
    best = {2: 1, 3: 3}[found.step]
    assert module.best(tmp_path, best).step == best


def test_after_falling_back_new_checkpoints_stay_beside_damaged_newer_ones(tmp_path):
    save(tmp_path, 84, best_step=84)
    for step in (99, 100):
        save(tmp_path, step, best_step=84).write_bytes(b"")
    assert newest(tmp_path)[0].step == 84
    for step in (85, 86, 87):
        save(tmp_path, step, best_step=84)
        assert newest(tmp_path)[0].step == step
    save(tmp_path, 88, best_step=88)
    assert newest(tmp_path)[0].step == 88
