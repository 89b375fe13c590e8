"""Preprocessing in front of a network: the exported file gives the network's own logits for pictures as they come."""

import importlib

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from striate.data.picture import Picture
from striate.data.preprocess import Preprocess

RNG = np.random.default_rng(0)


def images(picture, count):
    shape = (count, *picture.shape)
    if picture.kind == "float32":
        return torch.from_numpy(RNG.normal(size=shape).astype(np.float32))
    return torch.from_numpy(RNG.integers(0, np.iinfo(picture.kind).max + 1, shape, dtype=picture.kind))


def preprocesses():
    bytes_, deep, free = (Picture(3, 8, 7, pad=2, kind=kind) for kind in ("uint8", "uint16", "float32"))
    grey = Picture(1, 8, 7, kind="uint8")
    plain = {
        "bytes": Preprocess(bytes_, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)),
        "16 bits": Preprocess(deep, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)),
        "floats": Preprocess(free, (0.1, 0.0, -0.2), (1.2, 0.9, 1.0)),
        "grey": Preprocess(grey, (0.1307,), (0.3081,)),
    }
    white = {
        f"{name} {method}": one.whitened(images(one.picture, 300), method)
        for name, one in plain.items()
        for method in ("pca", "zca")
    }
    return plain | white


ALL = preprocesses()


@pytest.mark.parametrize("preprocess", ALL.values(), ids=ALL)
def test_the_module_gives_the_bits_of_to_input(preprocess):
    x = images(preprocess.picture, 5)
    found, expected = preprocess.module()(x), preprocess.to_input(x)
    if preprocess.picture.kind == "float32" and preprocess.whiten is not None:
        assert_close(found, expected, rtol=1e-6, atol=1e-6)  # sums of floats, in an order that is not ours
    else:
        assert torch.equal(found, expected)


EXPORTED = [
    pytest.param(one, id=name, marks=[] if name in ("bytes", "16 bits zca", "grey pca") else pytest.mark.slow)
    for name, one in ALL.items()
]


@pytest.mark.parametrize("preprocess", EXPORTED)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of the exporter's own parts
def test_the_exported_file_gives_the_networks_own_logits(preprocess, tmp_path):
    pytest.importorskip("onnxscript", reason="ONNX export needs onnxscript")
    onnx = pytest.importorskip("onnx", reason="ONNX export needs onnx")
    reference = importlib.import_module("onnx.reference")  # ONNX's own definition of its operators, in NumPy
    picture = preprocess.picture
    torch.manual_seed(0)
    side = (picture.height + 2 * picture.pad) * (picture.width + 2 * picture.pad)
    net = nn.Sequential(nn.Conv2d(picture.channels, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * side, 5))
    whole = nn.Sequential(preprocess.module(), net).eval()
    path = tmp_path / "whole.onnx"
    batch = torch.export.Dim("batch")
    torch.onnx.export(whole, (images(picture, 3),), str(path), dynamo=True, verbose=False, dynamic_shapes=({0: batch},))
    onnx.checker.check_model(str(path))
    run = reference.ReferenceEvaluator(str(path))
    for count in (1, 4):
        x = images(picture, count)
        (found,) = run.run(None, {run.input_names[0]: x.numpy()})
        with torch.inference_mode():
            expected = net(preprocess.to_input(x))
        assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)
