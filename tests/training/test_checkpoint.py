import json
import os
import pickle

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


def test_a_hundred_million_steps_are_newer_than_one_less(tmp_path):
    for step in (99_999_998, 99_999_999, 100_000_000, 100_000_001):
        save(tmp_path, step)
        assert newest(tmp_path)[0].step == step
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_saved_again_at_the_same_step_the_later_counts_and_one_file_stays(tmp_path):
    save(tmp_path, 4, 5)
    for note in ("second", "third", "fourth"):
        again = Checkpoint(step=5, tensors=make(5).tensors, record={"note": note})
        path = save_checkpoint(tmp_path, again, best_step=5)
        assert newest(tmp_path)[0].record["note"] == module.best(tmp_path, 5).record["note"] == note
        assert json.loads((tmp_path / "best.json").read_text())["file"] == path.name
        assert len(list(tmp_path.glob("*.safetensors"))) == 2


@pytest.mark.parametrize("damage", [b"", b"text", None])
def test_a_damaged_file_stays_as_it_is_whatever_is_saved_later(tmp_path, damage):
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    path.unlink()
    path.write_bytes(damage) if damage is not None else path.mkdir()
    for _ in range(3):  # the run comes to the same step again
        save(tmp_path, 2)
        assert newest(tmp_path)[0].step == 2
        assert not newest(tmp_path)[1]
    for step in range(3, 8):
        save(tmp_path, step)
    assert path.is_dir() if damage is None else path.read_bytes() == damage
    assert newest(tmp_path)[0].step == 7


def test_a_mark_leads_to_no_file_but_its_own(tmp_path):
    save(tmp_path, 1, 2)
    precious = tmp_path / "precious.safetensors"
    precious.write_bytes(b"mine")
    mark = tmp_path / "step-00000001.json"
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"file": "../precious.safetensors"}))
    save(tmp_path, 3, 4, 5)
    assert precious.read_bytes() == b"mine"


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
