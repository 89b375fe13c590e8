"""Networks in the notation and from files, from the command line."""

import json
import textwrap

import pytest

TEXT = "conv 4 5x5 stride 2, relu, maxpool 4, flatten, linear 2"
FILE = """
    from torch import nn

    print("a file may print")

    def small(num_classes):
        return nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(3 * 64, num_classes))
"""


FAILING = """from torch import nn


class Failing(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.body = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(3 * 64, num_classes))

    def forward(self, x):
        if self.training:
            raise KeyError("no such key")
        return self.body(x)
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "my net.py").write_text(textwrap.dedent(FILE))
    return "my net.py:small"


def test_train_and_predict_by_a_text(striate, photos):
    code, out, err = striate("train", "--data", photos, "--model", TEXT, "--epochs", 2)
    assert code == 0, err
    assert "network (" in err
    assert "predict runs/photos-network" in out
    code, out, err = striate("predict", "runs/photos-network", photos / "lying" / "03.png", "--json")
    assert code == 0, err
    assert json.loads(out)["predictions"][0]["class"] in ("lying", "standing")


def test_the_models_own_key_takes_a_text_too(striate, photos):
    code, out, err = striate("train", f"model={TEXT}", f"data={photos}", "epochs=1", "--json")
    assert code == 0, err
    assert json.loads(out)["run"] == "runs/photos-network"


def test_train_predict_and_evaluate_by_a_file(striate, photos, own):
    code, out, err = striate("train", "--data", photos, "--model", own, "--epochs", 2, "--json")
    assert code == 0, err
    assert json.loads(out)["run"] == "runs/photos-small"  # what the file prints is not there
    picture = photos / "lying" / "03.png"
    code, out, err = striate("predict", "runs/photos-small", picture)
    assert (code, out) == (2, "")
    assert "--model 'my net.py:small'" in err
    code, out, err = striate("predict", "runs/photos-small", picture, "--model", own, "--json")
    assert code == 0, err
    assert json.loads(out)["predictions"][0]["class"] in ("lying", "standing")
    code, out, err = striate("evaluate", "runs/photos-small", "--model", own, "--json")
    assert code == 0, err
    assert 0 <= json.loads(out)["accuracy"] <= 1
    code, out, err = striate("resume", "runs/photos-small")
    assert (code, "already finished" in err) == (0, True)


def test_the_next_commands_name_the_file_and_work_as_printed(striate, photos, own):
    import shlex

    code, out, err = striate("train", "--data", photos, "--model", own, "--epochs", 1)
    assert code == 0, err
    (line,) = [line for line in out.splitlines() if " evaluate " in line]
    words = shlex.split(line)
    code, _, err = striate(*words[words.index("evaluate") :])
    assert code == 0, err


def test_another_file_is_refused_with_the_code_of_model_files(striate, photos, own, tmp_path):
    assert striate("train", "--data", photos, "--model", own, "--epochs", 1)[0] == 0
    (tmp_path / "my net.py").write_text(textwrap.dedent(FILE) + "# later\n")
    code, out, err = striate("evaluate", "runs/photos-small", "--model", own)
    assert (code, out) == (4, "")
    assert "must be the file that the model was trained with" in err


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("conv 6 5x5, rleu", "NotationError: line 1, column 13: an operation must be one that is known, got 'rleu'.\n"),
        ("conv 6 5x5, linear 2", "NotationError: line 1, column 13, linear 2 on 6x28x28: the input must be a vector"),
        ("lenet6", "ConfigError: model: name must be one of "),
        ("absent.py:Net", "absent.py must be a file that can be read"),
        ("my net.py:smalls", "did you mean small?"),
    ],
)
def test_a_model_that_is_none_is_told_with_the_way_out(striate, photos, own, model, said):
    code, out, err = striate("train", "--data", photos, "--model", model)
    assert (code, out) == (2, "")
    assert said in err
    assert "\n  Fix: " in err
    assert "Traceback" not in err


def test_what_fails_in_the_users_own_lines_while_it_trains_names_the_line(striate, photos, tmp_path):
    (tmp_path / "net.py").write_text(FAILING)
    code, _, err = striate("train", "--data", photos, "--model", "net.py:Failing", "--epochs", 1)
    assert code == 2
    assert "net.py, line 11: the network must be free of faults, got KeyError: 'no such key'." in err
    assert "InternalError" not in err
