import hashlib
import sys
import textwrap

import pytest
import torch
from torch import nn

from striate.base.errors import ConfigError
from striate.base.random import StepRandomness, step_randomness
from striate.models.card import Given
from striate.models.catalogue import build, card
from striate.models.own_file import Keyed, check_output, is_file, read_file, short_name, whole_name

NET = """
    from torch import nn

    class Net(nn.Module):
        def __init__(self, num_classes=7, in_chans=2, *, image_size, dropout=0.25, width: int = 4):
            super().__init__()
            self.told = (num_classes, in_chans, image_size, dropout, width)
            self.last = nn.Linear(in_chans, num_classes)

        def forward(self, x):
            return self.last(x.mean((2, 3)))

    def small(num_classes, **others):
        assert not others
        return nn.Sequential(nn.Flatten(), nn.Linear(4, num_classes))

    ready = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    number = 3
    class NoNet:
        pass
    def wrong():
        return 3
    def needs(num_classes, depth):
        return ready
    def only_in_place(num_classes, /):
        return ready
    def fails(num_classes):
        if num_classes:
            raise RuntimeError("no such thing\\nand more")
    def leaves():
        raise SystemExit(0)
    def bad_layer():
        from striate.layers.maxout import Maxout
        return Maxout(0)
"""


@pytest.fixture
def write(tmp_path):
    """Write a file of the user's; returns FILE.py:NAME for a name in it."""

    def written(source, name="Net", file="net.py"):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
        return f"{path}:{name}"

    return written


def test_what_the_signature_names_is_given_and_the_rest_left_alone(write):
    net = build(write(NET), num_classes=3, image_size=48)
    assert net.told == (3, 2, 48, 0.25, 4)
    assert build(write(NET), in_channels=1, dropout=0.5).told == (7, 1, 32, 0.5, 4)
    assert build(write(NET, "small"), num_classes=5)[1].out_features == 5


def test_the_usual_options_are_the_signatures_defaults(write):
    usual = card(write(NET)).usual
    assert (usual.num_classes, usual.in_channels, usual.image_size, usual.dropout) == (7, 2, 32, 0.25)
    assert card(write(NET, "small")).usual.dropout is None
    with pytest.raises(ConfigError, match="small: dropout must be left out"):
        build(write(NET, "small"), dropout=0.5)


def test_a_module_is_copied_with_its_weights(write):
    one, other = build(write(NET, "ready"), seed=1), build(write(NET, "ready"), seed=2)
    assert one is not other
    assert torch.equal(one[1].weight, other[1].weight)  # the user's own, whatever the seed
    with torch.no_grad():
        one[1].weight.zero_()
    assert build(write(NET, "ready"))[1].weight.any()


def test_weights_that_the_user_set_stay(write):
    source = """
        import torch
        from torch import nn
        def net():
            layer = nn.Linear(2, 2)
            nn.init.constant_(layer.weight, 0.5)
            return layer
    """
    assert torch.equal(build(write(source, "net")).weight, torch.full((2, 2), 0.5))


def test_reading_runs_nothing_and_knows_the_digest(write, tmp_path):
    location = write("raise RuntimeError")
    own = read_file(location)
    assert own.digest == hashlib.sha256((tmp_path / "net.py").read_bytes()).hexdigest()
    assert (own.path, own.name) == (tmp_path / "net.py", "Net")


def test_names_are_told_apart_without_reading(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert is_file("a b/net.py:Net")
    assert not is_file("net.txt:Net")
    assert whole_name("a/net.py:Net") == f"{tmp_path}/a/net.py:Net"
    assert short_name("a/net.py:Net") == "net.py:Net"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Nett", r"the name must be one in the file, got Nett\.\n  Fix: did you mean Net\?"),
        ("qqqqq", r"got qqqqq\.\n  Fix: it has Net, small, ready, NoNet, wrong, needs"),
        ("nn", "nn must be a module, or what makes one, got module"),
        ("number", "number must be a module, or what makes one, got int"),
        ("NoNet", "NoNet must be a module, or what makes one, got class NoNet"),
        ("wrong", r"wrong must be what makes an nn\.Module, got int"),
        ("needs", r"the parameter 'depth' of needs must be one of num_classes, .*, or have a default.*depth=\.\.\."),
        ("only_in_place", "the parameter 'num_classes' of only_in_place must be one of"),
        ("fails", r"net\.py, line 29: fails\(num_classes=10\) must be .*, got RuntimeError: no such thing\.\n"),
        ("leaves", r"net\.py, line 31: leaves\(\) must be .*, got SystemExit: 0"),
        ("bad_layer", r"net\.py, line 34: Maxout: pieces must be >= 1, got 0\.\n  Fix: 2 or more"),
        ("", r"net\.py: must be followed by : and a name in it.*\n  Fix: write net\.py:bad_layer; it has Net, small"),
    ],
)
def test_what_cannot_be_built_names_the_line_and_what_to_do(write, name, said):
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        build(write(NET, name))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import torch\n\nx = = 3\n", r"net\.py, line 3: the file must be free of faults, got SyntaxError"),
        ("x = 1\n\ndef f():\n    return y\nf()\n", r"net\.py, line 4: .* got NameError: name 'y' is not defined"),
        ("import nothing_of_this_name\n", r"net\.py, line 1: .* got ModuleNotFoundError: .*nothing_of_this_name"),
        ("raise SystemExit\n", r"net\.py, line 1: .* got SystemExit"),
        ("eval('1 +')\n", r"net\.py, line 1: .* got SyntaxError"),
        ("x = '\0'\n", r"net\.py.*the file must be free of faults, got"),
        ("", r"net\.py: the name must be one in the file.*Fix: it has none to be built"),
    ],
)
def test_a_faulty_file_is_told_with_its_line(write, source, said):
    before = {name for name in sys.modules if name.startswith("striate_own_file_")}
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        build(write(source))
    if source:  # an empty file is none that fails
        assert before == {name for name in sys.modules if name.startswith("striate_own_file_")}


def test_a_file_that_is_not_there_names_the_nearest(write, tmp_path):
    write(NET)
    with pytest.raises(
        ConfigError, match=r"nett\.py must be a file that can be read.*\n  Fix: did you mean net\.py:Net\?"
    ):
        build(f"{tmp_path}/nett.py:Net")
    with pytest.raises(ConfigError, match="Fix: paths are taken from"):
        build(f"{tmp_path}/elsewhere/x.py:Net")
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(ConfigError, match="got Is a directory"):
        build(f"{tmp_path}/folder.py:Net")


SIBLING = """
    from torch import nn
    def block():
        return nn.Linear(2, {width})
"""
WITH_SIBLING = """
    from helpers_of_mine.blocks import block
    import more_of_mine
    Net = block
"""


def test_files_beside_it_are_imported_and_no_other_file_meets_them(write, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    for folder, width in (("one", 3), ("two", 4)):
        write(SIBLING.format(width=width), file=f"{folder}/helpers_of_mine/blocks.py")
        write("", file=f"{folder}/helpers_of_mine/__init__.py")
        write("", file=f"{folder}/more_of_mine.py")
    path = list(sys.path)
    one, two = (build(write(WITH_SIBLING, file=f"{folder}/net.py")) for folder in ("one", "two"))
    assert (one.out_features, two.out_features) == (3, 4)
    assert sys.path == path
    assert not [name for name in sys.modules if name.startswith(("helpers_of_mine", "more_of_mine"))]
    assert not list(tmp_path.rglob("__pycache__"))


def test_what_it_imports_from_elsewhere_stays(write):
    sys.modules.pop("colorsys", None)
    build(write("import colorsys\nfrom torch import nn\nNet = nn.ReLU()\n"))
    assert "colorsys" in sys.modules


def test_a_fault_in_a_file_beside_it_is_told_with_that_file(write):
    write("\n\nx = = 3", file="beside_of_mine.py")
    with pytest.raises(ConfigError, match=r"beside_of_mine\.py, line 3: .* SyntaxError"):
        build(write("import beside_of_mine", file="net.py"))


def test_a_file_is_run_once_and_anew_when_it_changes(write, capsys):
    source = "from torch import nn\nprint('run')\nNet = nn.Linear(2, {})\n"
    assert [build(write(source.format(n))).out_features for n in (2, 2, 3)] == [2, 2, 3]
    told = capsys.readouterr()
    assert told.out == ""  # what it prints is no result of ours
    assert told.err == "run\nrun\n"


def test_its_dataclasses_and_annotations_find_their_module(write):
    source = """
        from __future__ import annotations
        from dataclasses import dataclass, fields
        from typing import get_type_hints
        from torch import nn
        @dataclass
        class Settings:
            width: int = 3
        class Net(nn.Linear):
            def __init__(self, num_classes: int):
                assert get_type_hints(Settings) == {"width": int}
                super().__init__(Settings().width, num_classes)
    """
    assert build(write(source), num_classes=4).weight.shape == (4, 3)


X = torch.ones(2, 1, 4, 4)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return x.flatten(1)", r"the output of Net for 2 pictures must be \(2, 3\), a logit .*, got \(2, 16\)"),
        ("return x", r"got \(2, 1, 4, 4\)"),
        ("return {'logits': x}", "got dict"),
        ("return x @ torch.ones(9, 9)", r"net\.py, line 6: Net on pictures of \(2, 1, 4, 4\) must be .* RuntimeError"),
    ],
)
def test_an_output_that_is_no_logit_a_class_is_told_before_training(write, body, said):
    source = f"""
        import torch
        from torch import nn
        class Net(nn.Module):
            def forward(self, x):
                {body}
    """
    location = write(source)
    with pytest.raises(ConfigError, match=f"(?s){said}"):
        check_output(location, build(location), X, 3)


def test_the_trial_leaves_the_network_as_it_was(write):
    location = write(NET, "small")
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(), nn.Flatten(), nn.Linear(16, 3))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.random.get_rng_state()
    check_output(location, network, X, 3)
    assert network.training
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_torchs_dropout_draws_with_the_step():
    model = Keyed(nn.Dropout(0.5))
    x = torch.ones(4, 50)

    def at(step, seed=1):
        with step_randomness(StepRandomness(seed=seed, step=step)):
            return model(x)

    before = torch.random.get_rng_state()
    one = at(3)
    torch.rand(7)
    assert torch.equal(one, at(3))
    assert not torch.equal(one, at(4))
    assert not torch.equal(one, at(3, seed=2))
    torch.random.set_rng_state(before)
    at(3)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(model.eval()(x), x)


def test_the_card_says_where_the_network_comes_from(write):
    location = write(NET)
    chosen = card(location)
    assert chosen.digest == read_file(location).digest
    assert chosen.digest in chosen.source
    assert chosen.settle("Net", chosen.usual, Given(num_classes=2)).num_classes == 2
