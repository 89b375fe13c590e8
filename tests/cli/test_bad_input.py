"""What can be wrong, each with its exit code, a sentence and the way out; nothing of the user's is changed."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image


def check(result, code, *parts):
    found, out, err = result
    assert found == code, err
    assert out == ""
    assert "\n  Fix: " in err
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def test_no_such_data(striate):
    check(striate("train", "--data", "nowhere"), 3, "nowhere", "digits")


def test_a_class_folder_without_pictures(striate, photos, tmp_path):
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos" / "empty").mkdir()
    check(striate("train", "--data", "photos"), 3, "'empty'")


def test_a_truncated_jpeg(striate, photos, tmp_path):
    shutil.copytree(photos, tmp_path / "photos")
    broken = tmp_path / "photos" / "lying" / "00.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    check(striate("train", "--data", "photos"), 3, "lying/00.jpg: truncated", "split.skip_bad=true")
    assert not (tmp_path / "runs").exists()
    code, _, err = striate("train", "--data", "photos", "--epochs", 1, "split.skip_bad=true")
    assert code == 0
    assert "lying/00.jpg" in err
    assert "lying/00.jpg" in (tmp_path / "runs" / "photos-lenet5" / "report.html").read_text()


def test_one_class_only(striate, photos, tmp_path):
    shutil.copytree(photos / "lying", tmp_path / "photos" / "lying")
    check(striate("train", "--data", "photos"), 3, "at least 2", "lying")


def test_validation_classes_that_differ(striate, photos, tmp_path):
    for name in ("lying", "standing"):
        shutil.copytree(photos / name, tmp_path / "photos" / "train" / name)
    shutil.copytree(photos / "lying", tmp_path / "photos" / "val" / "leaning")
    check(striate("train", "--data", "photos"), 3, "leaning", "training")


def test_an_unknown_recipe_key(striate, tmp_path):
    (tmp_path / "r.toml").write_text("epoch = 3\n")
    check(striate("train", "r.toml"), 2, "got epoch", "did you mean epochs?")
    check(striate("train", "augment.shfit=1"), 2, "did you mean augment.shift?")


def test_a_learning_rate_of_minus_one(striate):
    check(striate("train", "--lr", "-1"), 2, "lr must be greater than 0")
    check(striate("train", "--lr", "fast"), 2, "lr must be a valid number or 'auto', got fast")
    check(striate("train", "--batch-size", "2.5"), 2, "batch_size must be a valid integer or 'auto', got 2.5")


def test_an_unknown_network(striate):
    check(striate("train", "--model", "lenet"), 2, "Fix: try lenet5")


def test_a_run_folder_that_exists(striate, run, photos, tmp_path):
    before = sorted(run.rglob("*"))
    check(striate("train", "--data", photos, "--run", run), 2, "which exists", "striate resume", "--overwrite")
    assert sorted(run.rglob("*")) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "novel.txt").write_text("chapter one")
    check(striate("train", "--data", photos, "--run", "mine", "--overwrite"), 2, "holds something else", "left alone")
    assert (tmp_path / "mine" / "novel.txt").read_text() == "chapter one"


def test_overwrite_replaces_a_run(striate, photos, tmp_path):
    for _ in range(2):
        assert striate("train", "--data", photos, "--run", "r", "--epochs", 1, "--overwrite")[0] == 0
    assert (tmp_path / "r" / "result.json").exists()


def flip(path):
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)


def test_a_checkpoint_with_one_bit_flipped(striate, run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    for path in (tmp_path / "run" / "checkpoints").glob("*.safetensors"):
        flip(path)
    check(striate("resume", "run"), 4, "a checksum that does not match", "damaged")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "README.md"])
def test_a_bundle_with_one_bit_flipped(striate, run, photos, tmp_path, name):
    shutil.copytree(run / "model", tmp_path / "model")
    flip(tmp_path / "model" / name)
    check(striate("predict", "model", photos / "lying" / "01.png"), 4, name, "checksum")


def test_no_model_there(striate, photos, tmp_path):
    check(striate("predict", tmp_path, photos), 4, "no model there")
    check(striate("resume", "nowhere"), 4, "nowhere")
    check(striate("evaluate", "nowhere"), 4, "nowhere")


def test_no_picture_there(striate, run, tmp_path):
    check(striate("predict", run, "nothing.png"), 3, "nothing.png")
    (tmp_path / "empty").mkdir()
    check(striate("predict", run, "empty"), 3, "none found")


def test_a_loss_that_is_no_number_stops_before_the_update(striate, photos):
    check(striate("train", "--data", photos, "--lr", "1e30", "--epochs", 5), 5, "finite", "lower lr")


def test_a_place_that_cannot_be_written(striate, photos, tmp_path):
    (tmp_path / "file").write_text("")
    check(striate("train", "--data", photos, "--run", "file/run"), 6, "cannot write")


def test_arguments_that_are_none(striate, run):
    check(striate("train", "photos"), 2, "--data photos")
    check(striate("predict", run, run, "--top", 0), 2, "top must be >= 1")
    check(striate("evaluate", run, "--split", "best"), 2, "train, validation, test")
    assert striate("train", "--epoch", "3")[0] == 2
    assert striate("paint")[0] == 2


def test_wrong_channels_are_brought_to_the_networks(striate, run, tmp_path):
    Image.fromarray(np.zeros((50, 30), np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(np.zeros((50, 30, 4), np.uint8)).save(tmp_path / "alpha.png")
    assert striate("predict", run, "grey.png", "alpha.png")[0] == 0


def test_a_fault_of_ours_is_told_as_one_without_a_traceback(striate, run, monkeypatch):
    from striate.experiment import judge

    def broken(*_, **__):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(judge, "judge", broken)
    check(striate("evaluate", run), 1, "InternalError: ZeroDivisionError: oh", "--debug")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory: you tried")])
def test_out_of_memory_says_what_to_try(striate, run, monkeypatch, error):
    from striate.experiment import judge

    def greedy(*_, **__):
        raise error

    monkeypatch.setattr(judge, "judge", greedy)
    check(striate("evaluate", run), 6, "out of memory", "smaller batch_size")


def test_too_few_pictures_to_judge_with(striate, photos, tmp_path):
    for name in ("lying", "standing"):
        (tmp_path / "few" / name).mkdir(parents=True)
        for number in ("01", "03"):
            shutil.copy(photos / name / f"{number}.png", tmp_path / "few" / name)
    check(striate("train", "--data", "few"), 3, "validation pictures must be at least one", "3 pictures")
    assert not (tmp_path / "runs").exists()


def test_weights_that_are_no_numbers_are_never_saved(striate, photos, tmp_path):
    arguments = ("train", "--data", photos, "--epochs", 1, "batch_size=100000", "--lr", "1e38", "--run", "r")
    check(striate(*arguments), 5, "validation loss", "lower lr", "no model was made")
    assert not (tmp_path / "r" / "model").exists()


def test_a_table_never_replaces_something_that_is_none(striate, run, photos, tmp_path):
    picture = tmp_path / "a.png"
    picture.write_bytes((photos / "lying" / "01.png").read_bytes())
    before = picture.read_bytes()
    check(striate("predict", run, picture, "--csv", "a.png"), 2, "a file that ends in .csv")
    check(striate("predict", run, picture, "--csv", ""), 2, "a file that ends in .csv")
    check(striate("predict", run, picture, "--csv", "nowhere/a.csv"), 2, "in a folder that exists")
    assert picture.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("environment.json", '{"threads": "abc"}'),
        ("environment.json", '{"threads": -3}'),
        ("environment.json", '{"threads": 1e400}'),
        ("data.json", '{"location": 5}'),
        ("data.json", "{"),
    ],
)
def test_damaged_notes_of_a_run_do_not_stop_its_resuming(striate, run, tmp_path, name, content):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    (tmp_path / "run" / name).write_text(content)
    assert striate("resume", "run")[0] == 0


@pytest.mark.parametrize("content", ["{}", '{"test": {"interval": [1]}}', '{"epochs": 3, "test": []}'])
def test_a_damaged_result_is_made_again(striate, run, tmp_path, content):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "result.json").write_text(content)
    check(striate("resume", "run"), 4, "remove that file")


def test_the_runs_own_data_are_judged_by_their_test_split(striate, run, photos):
    import json

    own = json.loads(striate("evaluate", run, "--json")[1])
    assert json.loads(striate("evaluate", run, "--data", photos, "--json")[1]) == own
    check(striate("evaluate", run / "model", "--data", photos, "--split", "train"), 2, "that bring no split")


def test_an_encrypted_archive(striate, tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", b"1234")
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.npz").write_bytes(content)
    check(striate("train", "--data", "a.npz"), 3, "a.npz")


def test_an_optimizer_brings_its_own_rate_over_a_recipes(striate, run, tmp_path):
    assert striate("train", run / "recipe.toml", "optimizer=adamw", "epochs=1", "--run", "r")[0] == 0
    text = (tmp_path / "r" / "recipe.toml").read_text()
    assert "lr = 0.002" in text
    assert "momentum" not in text


@pytest.mark.parametrize("name", [os.fsdecode(b"caf\xe9"), "a\nb", "$5_{$", 'q"<b>&'])
def test_a_class_may_have_any_name_that_a_folder_may_have(striate, photos, tmp_path, name):
    data = shutil.copytree(photos, tmp_path / "data")
    (data / "lying").rename(data / name)
    code, _, err = striate("train", "--data", data, "--epochs", 1, "--run", "odd")
    assert code == 0, err
    code, out, err = striate("predict", "odd", data / name / "00.jpg", "--json", "--top", 2)
    assert (code, err) == (0, "")
    assert {top["class"] for top in json.loads(out)["predictions"][0]["top"]} == {name, "standing"}
    for command in (("predict", "odd", data / name), ("evaluate", "odd")):
        assert striate(*command)[0] == 0
