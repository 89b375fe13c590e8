"""The predictor on the native engine says what it says on torch."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tests.native.conftest import RUNNABLE
from torch import nn
from torch.testing import assert_close

import striate
from striate.base.errors import ConfigError
from striate.data.picture import Picture
from striate.data.preprocess import Preprocess
from striate.deploy.bundle import Architecture, Bundle, Config
from striate.deploy.native_network import native_network
from striate.deploy.predictor import Predictor
from striate.native.library import VARIABLE

NEAR = 2e-6  # logits of up to 11 here, whose last bit is worth 1e-6; a thousand numbers are added one by one
needs_library = pytest.mark.skipif(not RUNNABLE, reason="no native library: it was not built here")
NATIVE = [
    ("perceptron", 28, 1),
    ("mlp", 28, 1),
    ("lenet5", 32, 1),
    ("lenet5", 28, 3),
    ("conv 16 3x3 pad 1, bn, relu, maxpool 2, conv 32 3x3 pad 1, bn, relu, globalavgpool, flatten, linear 7", 24, 3),
    ("conv 8 3x3 pad 1, relu, conv 8 3x3 groups 8, conv 20 1x1, elu, maxpool 2, flatten, dropout, linear 7", 20, 3),
]
TORCH = [("lenet1989", 16, 1), ("lenet5-1998", 32, 1), ("resnet20", 32, 3), ("allconv", 32, 3), ("shufflenet", 64, 3)]


@pytest.fixture(autouse=True)
def _usual(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def made(name, size, channels, kind="uint8"):
    torch.manual_seed(0)
    network = striate.build(name, num_classes=7, in_channels=channels, image_size=size).eval()
    rows = (0.4, 0.5, 0.6)[:channels], (0.2, 0.3, 0.25)[:channels]
    preprocess = Preprocess(Picture(channels, size - 4, size - 4, pad=2, kind=kind), *rows)
    config = Config(
        architecture=Architecture(name=name, num_classes=7, in_channels=channels, image_size=size),
        preprocess=preprocess.as_dict(),
        classes=tuple("abcdefg"),
        data_fingerprint="0" * 64,
        versions={},
    )
    return Bundle(network, preprocess, config)


def pictures(bundle, count):
    picture = bundle.preprocess.picture
    drawn = np.random.default_rng(0).integers(0, 256, (count, *picture.shape))
    return torch.from_numpy(drawn.astype(picture.kind))


def by_torch(bundle, images, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setenv(VARIABLE, "off")
        predictor = Predictor(bundle)
        found = predictor.probabilities(images)
    assert predictor.engine == "torch"
    return found


@needs_library
@pytest.mark.parametrize("count", [1, 5, 40])
@pytest.mark.parametrize("case", NATIVE, ids=lambda case: case[0][:20])
def test_small_networks_say_the_same_on_both_engines(case, count, monkeypatch):
    bundle = made(*case)
    images = pictures(bundle, count)
    predictor = Predictor(bundle)
    found = predictor.probabilities(images)
    assert predictor.engine == "native"
    assert found.dtype == torch.float64
    assert_close(found, by_torch(bundle, images, monkeypatch), rtol=0, atol=NEAR)


@needs_library
@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_pictures_of_other_kinds_too(kind, monkeypatch):
    bundle = made("lenet5", 32, 3, kind)
    images = pictures(bundle, 9)
    assert_close(Predictor(bundle).probabilities(images), by_torch(bundle, images, monkeypatch), rtol=0, atol=NEAR)


@needs_library
@pytest.mark.parametrize("case", TORCH, ids=lambda case: case[0])
def test_others_stay_on_torch(case, monkeypatch):
    bundle = made(*case)
    predictor, images = Predictor(bundle), pictures(bundle, 2)
    assert torch.equal(predictor.probabilities(images), by_torch(bundle, images, monkeypatch))
    assert predictor.engine == "torch"


@needs_library
def test_a_whitening_is_left_to_torch():
    bundle = made("lenet5", 32, 1)
    whitened = bundle.preprocess.whitened(pictures(bundle, 50), "zca")
    assert native_network(bundle.model, whitened) is None


class Decides(nn.Module):
    """Computes something else where a picture is very bright, which none of those is that it is described by."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 7))

    def forward(self, x):
        return self.layers(x.flip(3) if x.numpy().mean() > 100 else x)


@needs_library
def test_a_module_of_the_users_own_class_is_left_to_torch_and_one_of_torchs_layers_is_not():
    preprocess = Preprocess(Picture(1, 28, 28), (0.5,), (0.25,))
    assert native_network(Decides().eval(), preprocess) is None
    assert native_network(Decides().layers.eval(), preprocess) is not None


@needs_library
def test_what_a_hook_adds_is_noticed():
    bundle = made("lenet5", 32, 1)
    bundle.model.register_forward_hook(lambda _module, _x, y: 2 * y)
    assert native_network(bundle.model, bundle.preprocess) is None


@needs_library
def test_no_picture_depends_on_the_others():
    bundle = made("lenet5", 32, 1)
    predictor, images = Predictor(bundle), pictures(bundle, 50)
    found = predictor.probabilities(images)
    for first, end in ((0, 1), (7, 8), (3, 20), (1, 9), (49, 50)):
        assert torch.equal(predictor.probabilities(images[first:end]), found[first:end])
    (alone,) = predictor.predict(images[4, 0].numpy(), top=1).top
    assert alone[1] == found[4].max().item()


@needs_library
def test_several_threads_may_ask_one_predictor_at_once():
    bundle = made(*NATIVE[4])
    images = pictures(bundle, 64)
    expected = Predictor(bundle).probabilities(images)
    predictor = Predictor(bundle)
    asked = [slice(n % 9, n % 9 + 1 + n % 50) for n in range(100)]
    with ThreadPoolExecutor(6) as pool:
        found = [*pool.map(lambda rows: predictor.probabilities(images[rows]), asked)]
    assert all(torch.equal(rows, expected[where]) for rows, where in zip(found, asked, strict=True))


@needs_library
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_give_what_torch_gives(bad, monkeypatch):
    bundle = made("lenet5", 32, 1)
    with torch.no_grad():
        next(bundle.model.parameters()).view(-1)[3] = bad
    images = pictures(bundle, 9)
    found, expected = Predictor(bundle).probabilities(images), by_torch(bundle, images, monkeypatch)
    assert torch.equal(found.isnan(), expected.isnan())


@needs_library
def test_a_predictor_can_be_copied_and_sent_after_it_was_used():
    bundle = made("lenet5", 32, 1)
    predictor, images = Predictor(bundle), pictures(bundle, 3)
    found = predictor.probabilities(images)
    for other in (copy.deepcopy(predictor), pickle.loads(pickle.dumps(predictor))):
        assert torch.equal(other.probabilities(images), found)


def test_a_wrong_instruction_set_is_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, "sse9")
    bundle = made("lenet5", 32, 1)
    with pytest.raises(ConfigError, match="STRIATE_NATIVE"):
        Predictor(bundle).probabilities(pictures(bundle, 1))
