"""Every published figure that applies, held against what the analysis counts.

`published_networks.json` has the figures with their sources.  Misprints of the papers, which are not expected here:
AlexNet's 253,440 neurons of its first layer (55 x 55 x 96 is 290,400) and, with it, the sum; in Table 1 of GoogLeNet
the operations of the first row (34M for 118M) and of 5a (54M for 51M), and the parameters of the first row (2.7K for
9.4K); the other parameters there are in units of 1024 and off by up to 7 %.
"""

import json
from functools import cache
from math import floor, prod
from pathlib import Path

import pytest
import torch

from striate.analysis.field import image
from striate.analysis.inspect import inspect
from striate.models.catalogue import card, options, skeleton

PUBLISHED = {
    key: entry["data"]
    for key, entry in json.loads(Path(__file__).with_name("published_networks.json").read_text()).items()
}


@cache
def account(name, image_size=None):
    asked = options(name, image_size=image_size)
    with torch.device("meta"):
        return inspect(skeleton(name, asked), card(name).sample(asked))


def test_lenet5_of_1998_layer_by_layer():
    summary = account("lenet5-1998")
    names = ("c1", "s2", "c3", "s4", "c5", "f6")
    rows = [*(summary[f"features.{name}"] for name in names), summary["output"]]
    for row, told in zip(rows, PUBLISHED["lenet5_1998.layers"], strict=True):
        assert row.parameters == told["trainable_parameters"], told
        assert row.connections == told["connections"], told
        assert row.output_shape[0] == told["maps"]
        assert row.output_shape[1:] in ((told["side"],) * 2, ())
    assert (summary.totals.parameters, summary.totals.connections) == (60_000, 340_908)
    assert summary["features.c3"].macs == 150_000


def test_the_connection_table_of_lenet5():
    from striate.layers.table_conv import LENET5_C3

    told = PUBLISHED["lenet5_1998.c3_table"]
    assert [[i for i, on in enumerate(column) if on] for column in LENET5_C3] == told["c3_map_inputs"]
    assert [sum(row) for row in zip(*LENET5_C3, strict=True)] == told["connections_of_each_s2_map"]


def test_lenet5_as_it_is_taught():
    told, summary = PUBLISHED["lenet5_modern"], account("lenet5")
    weighted = [row for row in summary if row.parameters]
    assert [row.parameters for row in weighted] == told["params_per_layer"]
    assert [row.macs for row in weighted] == told["MACs_per_layer"]
    assert (summary.totals.parameters, summary.totals.macs) == (told["params"], told["MACs"])
    places = {"C1": "features.0", "S2": "features.1", "C3": "features.3", "S4": "features.4", "C5": "classifier.1"}
    for layer, name in places.items():
        for sight in summary[name].sights:
            assert sight.receptive_field == told["receptive_field"][layer]
            if layer != "C5":  # here one place, as a linear layer: nothing moves
                assert sight.jump == told["jump"][layer]


def test_the_zip_code_network_of_1989():
    told, totals = PUBLISHED["lecun_1989_zipcode"], account("lenet1989").totals
    assert (totals.parameters, totals.connections) == (told["parameters"], told["connections"])


def test_alexnet_layer_by_layer():
    told, summary = PUBLISHED["alexnet2012.derived"], account("alexnet", 227)
    assert {name: summary[name].parameters for name in told["params_per_layer"]} == told["params_per_layer"]
    assert summary.totals.parameters == told["params"]
    assert summary.totals.macs == told["MACs_at_227"] == account("alexnet").totals.macs
    assert {name: summary[name].output_shape[1] for name in told["output_sides_at_227"]} == told["output_sides_at_227"]


def test_the_neurons_of_alexnet():
    printed, summary = PUBLISHED["alexnet2012.structure"]["neurons_printed"], account("alexnet")
    layers = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    found = [prod(summary[layer].output_shape) for layer in layers]
    assert found[1:] == printed[1:]
    assert (found[0], printed[0]) == (290_400, 253_440)  # the misprint


@pytest.mark.parametrize(
    "row", [row for row in PUBLISHED["googlenet.table1"] if "inception" in row["type"]], ids=lambda row: row["type"]
)
def test_an_inception_module_of_googlenet(row):
    name = f"inception{row['type'][11:13]}"
    rows = [one for one in account("googlenet") if one.name.startswith(name)]
    side, _, channels = map(int, row["output"].split("x"))
    assert rows[-1].output_shape == ((1024 if name == "inception5b" else channels), side, side)
    assert sum(one.parameters for one in rows) == row["params_with_bias_computed"]
    assert sum(one.macs for one in rows) == row["MACs_computed"]
    if name != "inception5a":  # 54M is a misprint
        assert round(float(row["ops_printed"][:-1])) == pytest.approx(row["MACs_computed"] / 1e6, rel=0.01)


def test_googlenet_in_all():
    told, summary = PUBLISHED["googlenet.derived"]["paper_without_bn_without_aux"], account("googlenet")
    assert summary.totals.parameters == told["params"]
    assert summary.totals.macs == told["MACs_224"]
    assert {sight.receptive_field for sight in summary["inception5b.cat"].sights} == {told["receptive_field_5b"]}


BUILT = {
    "resnet18": "resnet18",
    "resnet34": "resnet34",
    "resnet50": "resnet50-2015",
    "vgg16": "vgg16",
    "vgg19": "vgg19",
}


@pytest.mark.parametrize("name", BUILT)
def test_the_operations_in_the_table_of_resnets(name):
    """Printed as FLOPs, cut to one digit; ResNet-50 with the paper's stride, VGG-16 without its linear layers."""
    counted = [row for row in account(BUILT[name]) if name != "vgg16" or row.kind == "Conv2d"]
    assert floor(sum(row.macs for row in counted) / 1e8) / 10 == PUBLISHED["resnet2015.flops"]["GMACs"][name]


def test_the_worked_examples_of_the_receptive_field_article():
    one, aligned, *_ = PUBLISHED["distill2019.formulas"]["worked_examples"]

    def through(layers):
        field = image((1, 1, 60))
        for layer in layers:
            n, pad = field.shape[2], layer["p"] + layer.get("q", layer["p"])
            out = (n + pad - layer["k"]) // layer["s"] + 1
            field = field.window(2, layer["k"], stride=layer["s"], before=layer["p"], out=out)
        return field

    assert through(one["layers"]).at((0, 0, one["output_index"])) == ((one["u0"], one["v0"]),)
    for path in aligned["paths"]:
        assert through(path).jumps() == (aligned["effective_stride"],)
    low = min(through(path).intervals[0].low for path in aligned["paths"])
    assert -low == aligned["effective_padding"]
