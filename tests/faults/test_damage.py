"""Damaged, mixed-up and hostile files: noticed, passed over aloud, kept as they are, and never run."""

import os
import pickle
import shutil
import zipfile

import pytest
from tests.faults.runs import finish, same, stop_after, told, train

from striate.base.errors import ConfigError, DataError, ModelFileError, Stopped
from striate.experiment.train import go_on, start
from striate.training.checkpoint import newest


@pytest.fixture(scope="module")
def unbroken(recipe, tmp_path_factory):
    run = tmp_path_factory.mktemp("unbroken") / "run"
    finish(start(recipe, run=run))
    return run


@pytest.fixture(scope="module")
def stopped_once(recipe, tmp_path_factory):
    run = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.raises(Stopped):
        stop_after(start(recipe, run=run), 4)
    return run


@pytest.fixture
def stopped(stopped_once, tmp_path):
    """A run that was stopped at step 5, with checkpoints of steps 3 and 5."""
    return shutil.copytree(stopped_once, tmp_path / "run")


def newest_file(run):
    return max((run / "checkpoints").glob("*.safetensors"))


DAMAGES = {
    "empty": lambda whole: whole[:0],
    "one byte": lambda whole: whole[:1],
    "half": lambda whole: whole[: len(whole) // 2],
    "all but one": lambda whole: whole[:-1],
    "text": lambda whole: b"no checkpoint, of %d bytes" % len(whole),
    "zeros": lambda whole: bytes(len(whole)),
    "one bit": lambda whole: whole[:-9] + bytes([whole[-9] ^ 4]) + whole[-8:],
}


@pytest.mark.parametrize("damage", [*DAMAGES, "folder"])
def test_a_damaged_newest_is_said_passed_over_and_kept_as_it_is(stopped, unbroken, damage):
    path = newest_file(stopped)
    whole = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes(DAMAGES[damage](whole))
    events = go_on(stopped)
    notes = next(events).notes
    assert any(str(path) in note and "damaged; going on from step 3" in note for note in notes)
    train(events)
    assert same(stopped, unbroken)
    assert path.is_dir() if damage == "folder" else path.read_bytes() == DAMAGES[damage](whole)


def test_with_none_whole_the_command_ends_with_4_and_nothing_is_changed(stopped):
    for path in (stopped / "checkpoints").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    before = contents(stopped)
    code, err = told("resume", stopped)
    assert code == 4
    assert "the checkpoint is damaged" in err
    assert "Traceback" not in err
    assert contents(stopped) == before


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_the_mark_of_one_checkpoint_with_the_weights_of_another(stopped):
    first, second = sorted((stopped / "checkpoints").glob("*.safetensors"))
    shutil.copy(first, second)
    found, faults = newest(stopped / "checkpoints")
    assert found.step == 3
    assert any(word in str(faults[0]) for word in ("a checksum that does not match", "bytes"))
    mark = first.with_suffix(".json").read_text().replace(first.name, second.name)
    second.with_suffix(".json").write_text(mark)  # and a mark that agrees
    found, faults = newest(stopped / "checkpoints")
    assert found.step == 3
    assert "it is that of step 3" in str(faults[0])


class Code:
    """What a pickle can do to whoever loads it."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


def hostile(folder, marker):
    """Files with code in them, under the names that people would give them."""
    content = pickle.dumps(Code(marker))
    for name in ("a.pt", "a.pth", "a.pkl", "a.safetensors", "a.json"):
        (folder / name).write_bytes(content)
        yield folder / name
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:  # as torch.save makes them
        archive.writestr("a/data.pkl", content)
        archive.writestr("a/version", "3\n")
    yield folder / "a.zip"
    shutil.copy(folder / "a.zip", folder / "zipped.pt")
    yield folder / "zipped.pt"


def test_a_pickle_is_refused_by_every_way_in_and_never_run(stopped, recipe, bars, tmp_path):
    from striate.deploy.predictor import load
    from striate.experiment.judge import judge
    from striate.experiment.train import resume

    marker = tmp_path / "executed"
    (tmp_path / "hostile").mkdir()
    for path in hostile(tmp_path / "hostile", marker):
        for enter in (load, resume, lambda path: judge(path, data=str(bars))):
            with pytest.raises(ModelFileError) as refused:
                enter(path)
            assert refused.value.exit_code == 4
            assert "weights_only" not in str(refused.value)
        folder = tmp_path / f"bundle-{path.name}"
        folder.mkdir()
        for name in ("config.json", "model.safetensors", "README.md", "SHA256SUMS"):
            shutil.copy(path, folder / name)
        with pytest.raises(ModelFileError):
            load(folder)
        with pytest.raises((DataError, ConfigError)):
            finish(start(recipe.model_copy(update={"data": str(path)}), run=tmp_path / "never"))
    for path in (stopped / "checkpoints").iterdir():
        path.write_bytes(pickle.dumps(Code(marker)))
    with pytest.raises(ModelFileError):
        resume(stopped)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["mark", "environment.json", "data.json"])
def test_a_pickle_in_place_of_a_runs_own_json_is_not_run(stopped, tmp_path, name):
    marker = tmp_path / "executed"
    path = newest_file(stopped).with_suffix(".json") if name == "mark" else stopped / name
    path.write_bytes(pickle.dumps(Code(marker)))
    train(go_on(stopped))
    assert not marker.exists()


@pytest.mark.parametrize(
    ("old", "new"), [("batch_size = 16", "batch_size = 8"), ("seed = 0", "seed = 9"), ('"lenet5"', '"lenet5-1998"')]
)
def test_a_resumed_run_with_other_settings_lists_old_and_new_and_writes_nothing(stopped, old, new):
    file = stopped / "recipe.toml"
    assert old in file.read_text()
    kept = "" if "lenet" in old else "dropout = 0.2\n"
    file.write_text(file.read_text().replace(old, new).replace("dropout = 0.2\n", kept))
    before = contents(stopped)
    with pytest.raises(ConfigError) as refused:
        finish(go_on(stopped))
    then, now = (text.split(" = ")[-1].strip('"') for text in (old, new))
    assert f" {then} -> {now}" in str(refused.value)
    assert refused.value.exit_code == 2
    assert contents(stopped) == before


def test_a_resumed_run_with_other_classes_or_fewer_pictures_is_refused(recipe, photos, tmp_path):
    data = shutil.copytree(photos, tmp_path / "photos")
    run = tmp_path / "run"
    with pytest.raises(Stopped):
        stop_after(start(recipe.model_copy(update={"data": str(data)}), run=run), 1)
    before = contents(run)
    (data / "lying" / "03.png").rename(tmp_path / "03.png")
    with pytest.raises(DataError, match=r"other pictures or labels.*lying/03\.png"):
        finish(go_on(run))
    (tmp_path / "03.png").rename(data / "lying" / "03.png")
    (data / "lying").rename(data / "leaning")
    with pytest.raises(DataError, match=r"other classes \(lying, standing -> leaning, standing\)"):
        finish(go_on(run))
    (data / "leaning").rename(data / "lying")
    assert contents(run) == before
    train(go_on(run))
