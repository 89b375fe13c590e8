import re
from types import SimpleNamespace

import pytest
import torch
from tests.analysis.networks import Functional, ResNet, on_meta, signal, vgg
from torch import nn

from striate.analysis.columns import EVERY
from striate.analysis.inspect import inspect
from striate.analysis.table import WIDTH, full_table, table
from striate.models.catalogue import build


@pytest.fixture(scope="module")
def lenet5():
    return inspect(build("lenet5"), (1, 32, 32), title="lenet5")


def cells(text):
    """The table's rows by name, each a dict from head to cell; columns are told by the places of their heads."""
    head, *rows = text.split("\n\n")[1].splitlines()
    places = [match.span() for match in re.finditer(r"\S+(?: \S+)*", head)]
    found = {}
    for row in rows:
        words = [(match.span(), match[0]) for match in re.finditer(r"\S+(?: \S+)*", row)]
        cell = {head[a:b]: text for a, b in places for (c, d), text in words if c == a or d == b}
        found[cell["name"]] = cell
    return found


def test_lenet5_is_as_every_textbook_counts_it(lenet5):
    """LeCun et al. 1998 with full connections and ReLU: 156 + 2,416 + 48,120 + 10,164 + 850 parameters."""
    rows = cells(table(lenet5))
    assert rows["features.0"] == {
        "name": "features.0",
        "kind": "Conv2d",
        "output": "6x28x28",
        "parameters": "156",
        "MACs": "117,600",
        "field": "5",
        "jump": "1",
        "start": "0",
    }
    assert [rows[name]["parameters"] for name in ("features.3", "classifier.1", "classifier.4", "classifier.7")] == [
        "2,416",
        "48,120",
        "10,164",
        "850",
    ]
    assert rows["classifier.1"]["status"] == "whole input"
    assert rows["classifier.1"]["jump"] == "-"


def test_the_totals_stand_below_with_their_conventions(lenet5):
    text = str(lenet5)
    for line in (
        "parameters   61,706 (all trainable)",
        "MACs         416,520 a sample",
        "FLOPs        833,040 a sample, 2 a MAC",
        "without bias; FLOPs = 2 MACs",
    ):
        assert line in text
    assert repr(lenet5) == text == table(lenet5)


@pytest.mark.parametrize("build_", [lambda: ResNet((3, 4, 6, 3)), lambda: vgg((2, 2, 3), 224)], ids=["resnet", "vgg"])
def test_it_fits_a_terminal(build_):
    text = str(inspect(on_meta(build_), (3, 224, 224)))
    assert max(map(len, text.splitlines())) <= WIDTH


def heads(text):
    return text.split("\n\n")[1].splitlines()[0].split()


@pytest.mark.parametrize("width", [110, 80, 64, 50])
def test_on_a_narrow_terminal_columns_give_way_and_are_named(lenet5, width):
    text = table(lenet5, width)
    assert max(map(len, text.splitlines())) <= width
    head = heads(text)
    gone = [name for name in heads(table(lenet5)) if name not in head]
    said = re.search(r"Left out, since a line has (\d+) characters: ([^.]*)\.", " ".join(text.split()))
    assert (said[2].split(", ") if said else []) == gone
    assert {"name", "parameters", "field"} <= set(head)


def test_in_a_file_long_names_leave_out_the_start_alone():
    model = nn.Sequential()
    model.add_module("a_name_as_long_as_a_line" * 5, nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()))
    assert heads(table(inspect(model, (1, 8, 8)))) == "name kind output parameters MACs field jump".split()


def test_only_a_terminal_has_a_width(lenet5, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert str(lenet5) == table(lenet5)
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: True))
    assert str(lenet5) == table(lenet5, 60) != table(lenet5)


def test_columns_stand_straight():
    text = table(inspect(on_meta(ResNet, (1, 2, 1, 1)), (3, 64, 64)))
    head, *rows = text.split("\n\n")[1].splitlines()
    end = head.index("parameters") + len("parameters")
    for row in rows:
        assert row[end - 1] != " "
        assert row[end] == " "


def test_axes_that_differ_are_told_apart():
    layers = nn.Sequential(nn.Conv2d(1, 2, (5, 3), stride=(2, 1)), nn.Conv2d(2, 2, 1))
    rows = cells(table(inspect(layers, (1, 16, 16))))
    assert (rows["0"]["output"], rows["0"]["field"], rows["0"]["jump"]) == ("2x6x14", "5x3", "2x1")


def test_what_is_shared_is_counted_once_and_said():
    layer = nn.Conv2d(4, 4, 3, padding=1)
    text = table(inspect(nn.Sequential(layer, nn.ReLU(), layer), (4, 8, 8)))
    assert text.count("reused") == 1
    assert "parameters   148 (all trainable)" in text


def test_repeated_blocks_stand_once_with_their_receptive_fields_from_the_first_to_the_last():
    row = cells(table(inspect(vgg((1, 4)), (3, 32, 32))))["0.5,7,9"]
    assert row["field"] == "12 to 20"  # 3, pooled 4, then 8, 12, 16, 20


def test_frozen_and_unused_parameters_are_told():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 1))
    model[0].requires_grad_(False)
    model.unused = nn.Linear(3, 3)
    model.forward = lambda x: model[1](model[0](x))
    text = table(inspect(model, (1, 8, 8)))
    assert "parameters   38 (18 trainable, 20 frozen, 12 unused in this pass)" in text


def test_every_row_and_column_can_be_asked_for():
    summary = inspect(vgg((1, 4)), (3, 32, 32))
    text = full_table(summary, EVERY)
    head, *rows = text.split("\n\n")[1].splitlines()
    assert len(rows) == len(summary.rows)
    for column in EVERY:
        assert not column.head or column.head in head or column.head == "status"


def test_advice_and_notes_are_said():
    class Looks(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else 2 * x

    assert "\nnote: it looks at numbers, so it was run on zeros" in table(inspect(Looks(), (3,)))


def test_a_network_without_rows_has_totals_all_the_same():
    text = table(inspect(nn.Identity(), (3, 8, 8)))
    assert "parameters   none" in text


@pytest.mark.parametrize(("model", "shape"), [(signal(), (2, 256)), (Functional(), (3, 32, 32))])
def test_other_networks_have_tables_too(model, shape):
    with torch.no_grad():
        assert table(inspect(model, shape)).count("\n") > 10


def test_json_has_the_keys_that_programs_rely_on(lenet5):
    told = lenet5.as_dict()
    assert list(told) == ["title", "input_shape", "totals", "rows", "advice", "notes"]
    assert (
        told["totals"]
        | {
            "parameters": 61_706,
            "macs": 416_520,
            "flops": 833_040,
            "connections": 423_038,
            "weight_bytes": 246_824,
        }
        == told["totals"]
    )
    assert {"activation_bytes", "disk_bytes", "peak_inference_bytes", "peak_training_bytes"} <= set(told["totals"])
    assert told["input_shape"] == [1, 32, 32]
    assert told["rows"][0] == lenet5.rows[0].as_dict()
