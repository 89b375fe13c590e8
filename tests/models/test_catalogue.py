"""One resolver for built-in names, texts and files."""

import pytest
import torch
from torch import nn

from striate.base.errors import ConfigError
from striate.base.random import StepRandomness, step_randomness
from striate.calculus.network import forward, initial
from striate.models.catalogue import MODELS, build, card, options, title, training_form
from striate.models.notation import parse
from striate.models.syntax import NotationError

TEXT = "conv 6 5x5 pad 2, relu, maxpool 2, dropout 0.25, flatten, linear 10"
FILE = """
from torch import nn

def net(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, num_classes))
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "own.py").write_text(FILE)
    return f"{tmp_path}/own.py:net"


def test_a_built_in_name_is_its_card():
    assert all(card(name) is known for name, known in MODELS.items())


def test_a_text_is_built_with_the_weights_of_the_explicit_network():
    model = build(TEXT, in_channels=3, image_size=28, seed=4)
    parameters, _ = initial(parse(TEXT, (3, 28, 28)), 4)
    assert model.state_dict().keys() == parameters.keys()
    assert all(torch.equal(model.state_dict()[name], value) for name, value in parameters.items())


def test_a_text_with_its_input_needs_nothing_else():
    assert build("input 784, linear 10")(torch.zeros(2, 784)).shape == (2, 10)
    assert build("input 2x50, conv 4 3, flatten")(torch.zeros(2, 2, 50)).shape == (2, 192)
    assert build(f"input 1x28x28, {TEXT}", in_channels=1, image_size=28, num_classes=10, dropout=0.25)


def test_a_text_without_an_input_takes_grey_pictures_of_32_pixels():
    assert options(TEXT) == options(TEXT, in_channels=1, image_size=32)
    assert options(TEXT).num_classes == 10
    assert card("input 3x28x28, flatten, linear 10").usual.image_size == 28


def test_a_texts_network_draws_with_the_step():
    model = build(TEXT)
    x = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    now = StepRandomness(seed=1, step=2)
    network = parse(TEXT, (1, 32, 32))
    with step_randomness(now):
        y = model(x)
    torch.testing.assert_close(y.detach(), forward(network, dict(model.state_dict()), x, training=now).output)


@pytest.mark.parametrize(
    ("text", "given", "said"),
    [
        (TEXT, {"num_classes": 3}, r"linear 10: the output must be a vector of 3 numbers.*got 10.*write linear 3"),
        ("flatten, linear 5, relu", {"num_classes": 3}, "relu: the output must .*got 5.*end with linear 3"),
        ("conv 3 3", {"num_classes": 3}, "conv 3 3: the output must .*got 3x30x30.*end with flatten, linear 3"),
        (TEXT, {"dropout": 0.5}, "one that drops 0.5, got dropout 0.25.*write dropout 0.5 in the text"),
        ("flatten", {"dropout": 0.5}, "one that drops 0.5, got no dropout in it"),
        ("input 3x28x28, flatten", {"in_channels": 1}, "the input must be 1x28x28 here, got 3x28x28.*write input 1x28"),
        ("input 3x28x28, flatten", {"image_size": 32}, "the input must be 3x32x32 here, got 3x28x28"),
        ("input 784, linear 10", {"image_size": 28}, "the input must be 1x28x28 here, got 784"),
        ("conv 6 5x5, maxpool 2", {"image_size": 5}, "maxpool 2 on 6x1x1: the map"),
        (TEXT, {"num_classes": 0}, "num_classes must be >= 1"),
        (TEXT, {"in_channels": 0}, "in_channels must be >= 1"),
    ],
)
def test_what_is_asked_of_a_text_must_agree_with_it(text, given, said):
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        build(text, **given)


def test_a_file_is_built_with_what_its_signature_names(file):
    model = build(file, num_classes=3)
    assert isinstance(model, nn.Sequential)
    assert model[1].out_features == 3


def test_titles_are_short_and_run_nothing(tmp_path):
    assert [title(name) for name in ("lenet5", TEXT, f"{tmp_path}/absent.py:Net")] == ["lenet5", "network", "Net"]


@pytest.mark.parametrize("name", ["lenet6", "lenet 5", "resnet-50"])
def test_what_looks_like_a_name_gets_the_nearest_names(name):
    with pytest.raises(ConfigError, match=r"name must be one of .*lenet5.*\n  Fix: try \w") as caught:
        build(name)
    assert not isinstance(caught.value, NotationError)


@pytest.mark.parametrize("name", ["", "relut", "add", "nonsense"])
def test_what_is_near_to_nothing_gets_all_names(name):
    with pytest.raises(ConfigError, match=r"name must be one of .*lenet5.*\n  Fix: choose one of these, or") as caught:
        build(name)
    assert not isinstance(caught.value, NotationError)


@pytest.mark.parametrize(
    "text", ["relu, tnah", "covn 6 5x5", "relu |", "lenet5, relu", "conv 6", "flatten linear 10", "conve 6 5x5"]
)
def test_what_looks_like_a_text_is_shown_with_its_place(text):
    with pytest.raises(NotationError):
        build(text)


def test_a_missing_file_is_told_as_one():
    with pytest.raises(ConfigError, match=r"absent\.py must be a file that can be read, got No such file"):
        build("absent.py:Net")


@pytest.mark.parametrize("name", ["lenet5", TEXT, "FILE"])
def test_weights_are_a_function_of_the_seed_and_the_global_generator_is_left_alone(name, file):
    name = file if name == "FILE" else name
    before = torch.random.get_rng_state()
    one = build(name, seed=5)
    torch.manual_seed(3)
    two, other = build(name, seed=5), build(name, seed=6)
    torch.random.set_rng_state(before)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    assert any(not torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    build(name)
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_text_is_trained_as_it_is(file):
    network = build(TEXT)
    assert training_form(TEXT, network, 0) is network
    assert training_form(file, network, 0).network is network
