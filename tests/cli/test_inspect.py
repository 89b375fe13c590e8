import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from striate.analysis.columns import EVERY
from striate.models.catalogue import MODELS
from striate.native.library import absence

DOCUMENTS = Path(__file__).resolve().parents[2] / "docs"


def test_a_built_in_network_is_told_with_its_source_and_published_figures(striate):
    code, out, err = striate("inspect", "lenet5-1998")
    assert (code, err) == (0, "")
    for text in (
        "source: LeCun, Bottou, Bengio and Haffner 1998",
        "this version: as published",
        "published figures: parameters 60,000, connections 340,908",
        "lenet5-1998, input 1x32x32",
        "parameters   60,000 (all trainable)",
        "connections  340,908",
    ):
        assert text in out


@pytest.mark.parametrize("name", ["perceptron", "googlenet", "textcnn", "signal1d", "c3d-small", "autoencoder"])
def test_networks_for_every_kind_of_input_are_told_within_the_width_of_a_terminal(striate, name):
    code, out, _ = striate("inspect", name)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 120


def test_json_is_one_object_and_nothing_else_on_stdout(striate):
    code, out, err = striate("inspect", "lenet5", "--json", "--batch-size", 8)
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert out.count("\n") == 1
    assert list(told) == ["title", "input_shape", "totals", "rows", "advice", "notes", "facts"]
    assert told["totals"]["parameters"] == 61_706
    assert told["totals"]["macs"] == 416_520
    assert told["totals"]["batch_size"] == 8
    assert told["facts"]["source"] == MODELS["lenet5"].source


def macs(striate, *arguments):
    code, out, err = striate("inspect", *arguments, "--json")
    assert code == 0, err
    return json.loads(out)["totals"]["macs"]


def test_a_network_is_built_for_the_input_that_is_asked_for(striate):
    """28x28 as usual for MNIST: 24 + 8 windows a side, 4x4 left for the first linear layer."""
    expected = 24 * 24 * 6 * 3 * 25 + 8 * 8 * 16 * 6 * 25 + 16 * 4 * 4 * 120 + 120 * 84 + 84 * 7
    assert macs(striate, "lenet5", "--input", "3x28x28", "--classes", 7) == expected


def test_the_words_of_a_text_stay_as_they_are_when_its_length_is_asked_for(striate):
    own, asked = (json.loads(striate("inspect", "textcnn", "--json", *more)[1]) for more in ((), ("--input", "30")))
    assert asked["input_shape"] == [30]
    assert asked["totals"]["parameters"] == own["totals"]["parameters"]


def test_pictures_need_not_be_square(striate):
    code, out, _ = striate("inspect", "resnet18", "--input", "3x64x96")
    assert code == 0
    assert "64x32x48" in out


@pytest.mark.parametrize(
    ("text", "shape", "expected"),
    [
        ("linear 10", "784", 7840),
        ("conv 6 3, relu", "1x64", 62 * 6 * 3),
        ("conv 6 3, relu", "3x40x60", 38 * 58 * 6 * 3 * 9),
        ("conv 6 3, relu", "2x4x5x6", 2 * 3 * 4 * 6 * 2 * 27),
    ],
)
def test_a_text_is_told_for_an_input_of_any_shape(striate, text, shape, expected):
    assert macs(striate, text, "--input", shape) == expected


def test_channels_reach_the_builder_of_a_picture_that_is_not_square(striate):
    code, _, err = striate("inspect", "lenet5", "--input", "3x32x40")
    assert code == 2
    assert "features.0  Conv2d  6x28x36" in err


NUMBERS = """
import sys, torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.scale = torch.linspace(0, 1, 3)[2]BUILT
        self.body = nn.Linear(4, num_classes)

    def forward(self, x):
        print("within")
        RUN
        return self.body(x)
"""


@pytest.mark.parametrize(("built", "run"), [(".item()", ""), ("", "assert self.scale.item() == 1")])
def test_a_file_that_needs_numbers_is_built_with_them(striate, tmp_path, built, run):
    (tmp_path / "net.py").write_text(NUMBERS.replace("BUILT", built).replace("RUN", run))
    code, out, err = striate("inspect", "net.py:Net", "--input", "4", "--json")
    assert code == 0
    assert "within" in err
    assert json.loads(out)["totals"]["parameters"] == 15


@pytest.mark.parametrize(("built", "run"), [("; sys.exit(0)", ""), ("", "sys.exit(0)")])
def test_a_file_that_exits_is_told_with_its_line(striate, tmp_path, built, run):
    (tmp_path / "net.py").write_text(NUMBERS.replace("BUILT", built).replace("RUN", run))
    code, out, err = striate("inspect", "net.py:Net", "--input", "4")
    assert (code, out) == (2, "")
    assert f"net.py, line {8 if built else 13}: " in err
    assert "got SystemExit: 0" in err


@pytest.mark.parametrize("name", ["lenet5.zip", "text.zip", "runs/lenet5"])
def test_a_run_or_bundle_that_is_none_is_a_fault_of_the_model(striate, tmp_path, name):
    (tmp_path / "text.zip").write_text("no archive")
    code, _, err = striate("inspect", name)
    assert code == 4
    assert name in err


def test_equations_and_every_row_are_told_when_asked_for(striate):
    _, out, _ = striate("inspect", "lenet5", "--equations")
    assert "MACs 117,600 = 28·28·6·(1·5·5)" in out
    _, out, _ = striate("inspect", "resnet18", "--all")
    assert "layer3.1.conv2" in out
    assert "FLOPs" in out.split("\n\n")[2].splitlines()[0]


@pytest.mark.parametrize("name", ["lenet5", "conv 6 5x5, relu, maxpool 2, flatten, linear 10"])
def test_the_native_engines_plan_is_told_when_asked_for(striate, name):
    code, out, _ = striate("inspect", name, "--input", "1x32x32", "--native")
    assert code == 0
    assert "0      conv + max 2x2 + relu  " in out
    assert "a training step:" in out
    assert "native" not in striate("inspect", "lenet5")[1]


def test_the_plan_of_a_network_that_no_memory_holds_is_told(striate):
    text = "linear 100000, relu, linear 10000000, relu, linear 10"  # 4 TB of weights
    code, out, err = striate("inspect", text, "--input", "100000", "--native", "--json")
    assert code == 0, err
    assert json.loads(out)["native"]["rows"][1]["parameters"] == 10_000_000 * 100_001


def test_a_network_that_would_have_to_be_run_and_is_too_large_says_the_way_out(striate, monkeypatch):
    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr("striate.cli.subject.described_in_a_row", exhausted)
    code, _, err = striate("inspect", "lenet5", "--native")
    assert (code, "leave --native out" in err) == (6, True)


@pytest.mark.parametrize("name", ["net.py:Net", "run"])
def test_own_networks_and_trained_ones_have_a_plan_too(striate, tmp_path, run, name):
    (tmp_path / "net.py").write_text(NUMBERS.replace("BUILT", "").replace("RUN", ""))
    code, out, err = striate("inspect", *((run,) if name == "run" else (name, "--input", "4")), "--native", "--json")
    assert code == 0, err
    told = json.loads(out)
    rows = told["native"]["rows"]
    assert sum(row["macs"] for row in rows) == told["totals"]["macs"]
    own = name != "run"
    assert told["native"]["reason"] in (absence(), "it comes from a file" if own else "")
    assert not (own and told["native"]["trains"])


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("resnet20", "layer1.0.relu must be fed by the layer before it alone"),
        ("conv 4 3x3 same, add(conv 4 3x3 same | ), flatten, linear 3", "got one within branches"),
        ("conv 4 3x3, gelu, flatten, linear 3", "got gelu"),
        ("autoencoder", "got conv_transpose"),
    ],
)
def test_why_the_native_engine_cannot_train_a_network_is_one_sentence(striate, name, why):
    code, out, _ = striate("inspect", name, "--input", "3x32x32", "--native")
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("native engine: ")]
    assert line.startswith("native engine: cannot train this network, so the torch engine does: ")
    assert why in line
    told = json.loads(striate("inspect", name, "--input", "3x32x32", "--native", "--json")[1])["native"]
    assert told["trains"] is False
    assert why in told["reason"]


def test_a_network_that_could_be_trained_but_is_left_to_torch_says_so(striate):
    told = {}
    for channels in (128, 129):
        text = f"conv {channels} 3x3, relu, flatten, linear 3"
        _, told[channels], _ = striate("inspect", text, "--input", "1x8x8", "--native")
    assert all("conv + relu" in out for out in told.values())
    assert "torch engine" not in told[128]
    assert told[129].splitlines()[-1].endswith("convolutions of 129 channels, which torch is made for")


def test_pictures_and_the_page_are_written(striate, tmp_path):
    options = ["--graph", "graph.svg", "--backward", "--drawing", "drawing.SVG", "--html", "page.html"]
    code, out, _ = striate("inspect", "lenet5", *options)
    assert code == 0
    assert "61,706" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drawing.SVG", "graph.svg", "page.html"]
    for name in ("graph.svg", "drawing.SVG"):
        ElementTree.fromstring((tmp_path / name).read_text())
    assert "dL/dw 6x1x5x5" in (tmp_path / "graph.svg").read_text()
    assert MODELS["lenet5"].source in (tmp_path / "page.html").read_text()
    striate("inspect", "lenet5", "--graph", "graph.svg")
    assert "dL/dw" not in (tmp_path / "graph.svg").read_text()


def test_only_files_that_hold_markup_are_replaced(striate, tmp_path):
    (tmp_path / "notes.svg").write_text("Dear diary")
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "old.svg").write_text("<svg/>")
    (tmp_path / "link.svg").symlink_to("old.svg")
    for name, said in (("notes.svg", "holds something else"), ("folder.svg", "got the folder folder.svg")):
        code, out, err = striate("inspect", "perceptron", "--graph", name)
        assert (code, out) == (2, "")
        assert said in err
    assert (tmp_path / "notes.svg").read_text() == "Dear diary"
    assert striate("inspect", "perceptron", "--graph", "link.svg", "--drawing", "old.svg")[0] == 2
    assert striate("inspect", "perceptron", "--graph", "link.svg")[0] == 0
    assert (tmp_path / "link.svg").is_symlink()
    assert "Linear" in (tmp_path / "old.svg").read_text()


REFUSED = [
    (["lenet5", "--graph", "graph.png"], "--graph must be a file that ends in .svg, got 'graph.png'"),
    (["lenet5", "--drawing", "drawing"], "--drawing must be a file that ends in .svg"),
    (["lenet5", "--html", "page.svg"], "--html must be a file that ends in .html"),
    (["lenet5", "--html", "nowhere/page.html"], "--html must be in a folder that exists"),
    (["lenet5", "--backward"], "--backward must be used with --graph"),
    (["lenet5", "--json", "--equations"], "--json must be used without --equations and --all"),
    (["lenet5", "--json", "--all"], "--json must be used without --equations and --all"),
    (["lenet5", "--input", "3x32x"], "--input must be whole numbers >= 1 with x between, got '3x32x'"),
    (["lenet5", "--input", "0x32x32"], "--input must be whole numbers"),
    (["lenet5", "--input", "1x16x16"], "image_size must be >= 20 pixels, got 16"),
    (["lenet5", "--classes", "0"], "num_classes must be >= 1, got 0"),
    (["lenet5", "--batch-size", "0"], "batch_size must be a whole number >= 1, got 0"),
    (["lenet6"], "Fix: try lenet5"),
    (["nonsense"], "Fix: choose one of these, or write a network as in: conv"),
    (["nofile.py"], "Fix: write FILE.py:NAME; paths are taken from"),
    (["lenet5", "--input", "32"], "lenet5: the input must be of 3 axes, such as 1x32x32, got 32"),
    (["lenet5", "--graph", ""], "--graph must be a file that ends in .svg, got no name"),
    (["lenet5", "--graph", "a.svg", "--drawing", "./a.svg"], "--drawing must be another file than --graph"),
    (["input 1x28x28, relu", "--input", "3x28x28"], "the input must be 3x28x28 here, got 1x28x28"),
    (["lenet5", "--input", "1x32x40"], "the last axis of the input must be 400 features, got 560"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_is_refused_with_what_to_do(striate, tmp_path, arguments, message):
    code, out, err = striate("inspect", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Fix:" in err
    assert not list(tmp_path.iterdir())


def test_an_error_of_shape_shows_the_rows_up_to_there(striate):
    _, _, err = striate("inspect", "lenet5", "--input", "1x32x40")
    assert "features.4  MaxPool2d  16x5x7" in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(striate, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    code, _, err = striate("inspect", "lenet5", "--graph", "locked/graph.svg")
    assert code == 2
    assert "a folder that can be written" in err


def test_a_run_and_its_bundle_are_told_with_their_own_classes(striate, run):
    for location in (run, run / "model"):
        code, out, err = striate("inspect", location, "--json")
        assert code == 0, err
        told = json.loads(out)
        assert told["input_shape"] == [3, 32, 32]
        assert told["rows"][-1]["output_shape"] == [2]
        assert told["facts"]["classes"] == "lying, standing"
        assert told["totals"]["disk_bytes"] == (run / "model" / "model.safetensors").stat().st_size
    code, _, err = striate("inspect", run, "--classes", 3)
    assert code == 2
    assert "left out for a trained network" in err


def test_a_folder_without_a_model_is_a_fault_of_the_model(striate, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = striate("inspect", "empty")
    assert code == 4
    assert "a finished run or a bundle" in err


def test_a_built_in_name_wins_over_a_folder_of_that_name(striate, tmp_path):
    (tmp_path / "lenet5").mkdir()
    assert striate("inspect", "lenet5")[0] == 0


def test_it_loads_no_plotting_no_tables_no_algebra_and_no_compiler():
    script = (
        "import sys\n"
        "sys.argv = ['striate', 'inspect', 'lenet5', '--equations']\n"
        "from striate.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as ended:\n"
        "    assert not ended.code\n"
        "heavy = ('matplotlib', 'pandas', 'sympy', 'torch._dynamo', 'sklearn')\n"
        "print('loaded:', [name for name in heavy if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "61,706" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded: []"


def blocks(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```$", (DOCUMENTS / "inspect.md").read_text(), re.M | re.S)


def test_the_document_shows_what_is_printed(striate):
    _, out, _ = striate("inspect", "lenet5", "--equations")
    assert len(blocks("text")) == 2
    for shown in blocks("text"):
        assert shown in out


def test_the_document_explains_every_column():
    page = (DOCUMENTS / "inspect.md").read_text().split("## The columns")[1].split("## Equations")[0]
    for column in EVERY:
        assert not column.head or f"`{column.head}`" in page, column.head


def test_the_pictures_of_the_document_are_what_the_program_draws(striate, tmp_path):
    striate("inspect", "lenet5", "--drawing", "lenet5.svg")
    assert (tmp_path / "lenet5.svg").read_text() == (DOCUMENTS / "pictures" / "inspect-lenet5.svg").read_text()
    (block,) = [text for text in blocks("python") if "class Block" in text]
    exec(block, {"__name__": "document"})  # writes into the folder that the test stands in
    assert (tmp_path / "block.svg").read_text() == (DOCUMENTS / "pictures" / "inspect-block.svg").read_text()
