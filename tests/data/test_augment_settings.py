import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from striate.base.errors import ConfigError
from striate.base.random import Purpose, key, philox
from striate.data.augment import Augment, apply, check, colour_axes, draw, mix
from striate.data.augment.draws import Block, more, places
from striate.data.augment.settings import RANGES

X = torch.from_numpy(np.random.default_rng(5).integers(0, 256, (40, 10, 12, 3), dtype=np.uint8)).permute(0, 3, 1, 2)
AXES = colour_axes([X])
OPTIONS = {
    "shift": 2,
    "flip": True,
    "vertical_flip": True,
    "crop_scale": 0.5,
    "rotate": 20.0,
    "shear": 20.0,
    "translate": 0.2,
    "zoom": 0.2,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.2,
    "colour_noise": 0.5,
    "erase": 0.5,
    "policy": "randaugment",
    "elastic": 1.0,
    "mixup": 0.2,
    "cutmix": 1.0,
}
SECOND = {"policy": "trivialaugment", "policy_magnitude": 20.0, "policy_operations": 3, "elastic_sigma": 2.0}
ALL = Augment(**OPTIONS)


def first(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64)


def both(augment: Augment) -> list[torch.Tensor]:
    draws = draw(augment, 0, 0, first(40))
    y = apply(X, draws, axes=AXES)
    return [y, *mix(y.float(), torch.arange(40) % 4, draws, 4)]


def test_the_options_of_these_tests_are_all_there_are():
    assert {*OPTIONS, *SECOND} == {field.name for field in dataclasses.fields(Augment)}


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_changes_the_pictures_and_off_it_changes_nothing(name):
    on, off = both(Augment(**{name: OPTIONS[name]})), both(Augment())
    assert not all(torch.equal(a.float(), b.float()) for a, b in zip(on, off, strict=True))
    assert apply(X, draw(Augment(), 0, 0, first(40))) is X
    assert Augment().changes_nothing
    assert not Augment(**{name: OPTIONS[name]}).changes_nothing


@pytest.mark.parametrize("name", SECOND)
def test_each_option_of_an_option_changes_what_it_does(name):
    base = Augment(policy="randaugment", elastic=1.0)
    changed = dataclasses.replace(base, **{name: SECOND[name]})
    assert not torch.equal(both(base)[0], both(changed)[0])


@pytest.mark.parametrize("name", OPTIONS)
def test_what_an_option_draws_depends_on_no_other(name):
    alone, among = Augment(**{name: OPTIONS[name]}), draw(ALL, 4, 2, first(40))
    found = draw(alone, 4, 2, first(40))
    for block in Block:
        part = places(alone)[block]
        if part.stop > part.start:
            assert torch.equal(found.of(block), among.of(block))
    assert (places(alone)[Block.MOVES].stop, places(ALL)[Block.MOVES].stop) == (1, 1)


def test_no_two_rows_share_their_words():
    words = draw(ALL, 4, 2, first(40)).words
    assert len(words.flatten().unique()) == words.numel()


def test_words_in_plenty_are_philoxs_of_the_blocks_own():
    roots = torch.tensor([[5, 6, 7, 8], [5, 6, 9, 8]])
    found = more(roots, 10)
    for row, root in enumerate(roots.tolist()):
        counters = tuple(np.array([word] * 3) for word in root[:3])
        words = philox((*counters, np.arange(3)), key(0, Purpose.AUGMENT))
        assert found[row].tolist() == np.stack(words, 1).flatten()[:10].tolist()


@given(st.lists(st.integers(0, 39), min_size=1, max_size=40), st.sampled_from([*OPTIONS, "all"]))
@settings(max_examples=60, deadline=None)
def test_a_picture_depends_on_no_neighbour_and_no_order(samples, name):
    augment = ALL if name == "all" else Augment(**{name: OPTIONS[name]})
    rows, draws = torch.tensor(samples), draw(augment, 3, 1, first(40))
    whole = apply(X, draws, axes=AXES)
    alone = apply(X[rows], draw(augment, 3, 1, rows.numpy()), axes=AXES)
    tolerance = 2e-2 if augment.elastic else 0  # torch's convolution adds in an order that the batch's size decides
    assert_close(alone, whole[rows], atol=tolerance, rtol=0)


def test_chunks_of_the_cpu_change_nothing(monkeypatch):
    from striate.data.augment import applying

    whole = apply(X, draw(ALL, 0, 0, first(40)), axes=AXES)
    monkeypatch.setattr(applying, "TOGETHER", 1000)
    assert_close(apply(X, draw(ALL, 0, 0, first(40)), axes=AXES), whole, atol=2e-2, rtol=0)


@pytest.mark.parametrize("augment", [ALL, Augment(2, True), Augment()], ids=["all", "moves", "none"])
def test_an_empty_batch_stays_empty(augment):
    y = apply(X[:0], draw(augment, 0, 0, first(0)), size=(8, 8), axes=AXES)
    assert y.shape == (0, 3, 8, 8)
    assert mix(y.float(), torch.arange(0), draw(augment, 0, 0, first(0)), 4)[1].shape == (0, 4)


def test_the_given_pictures_stay_as_they_are_and_torchs_generator_is_not_used():
    before, state = X.clone(), torch.random.get_rng_state()
    both(ALL)
    float_pictures = X.float()
    apply(float_pictures, draw(ALL, 0, 0, first(40)), top=255.0, axes=AXES)
    assert torch.equal(float_pictures, before.float())
    assert torch.equal(X, before)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", [*OPTIONS, "all"])
def test_no_pixel_is_waited_for(name):
    """Pictures without values: whoever asked for one, as a GPU would have to wait for it, would fail."""
    augment = ALL if name == "all" else Augment(**{name: OPTIONS[name]})
    draws, hollow = draw(augment, 0, 0, first(40)), X.to("meta")
    y = apply(hollow, draws, axes=AXES)
    mixed, targets = mix(y.float(), torch.arange(40).to("meta"), draws, 40)
    assert {y.device.type, mixed.device.type, targets.device.type} == {"meta"}
    assert y.shape == mixed.shape == X.shape


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")], ids=["low", "nan", "inf"])
def test_a_value_out_of_range_names_what_to_take(name, bad):
    value = bad if name != "policy_operations" else {True: 15, False: 0}[bad > 0]
    with pytest.raises(ConfigError, match=rf"^Augment: {name} must be in \[.+\], got .+\.\n  Fix: \S"):
        Augment(**{name: value})


def test_an_unknown_policy_names_those_that_are():
    with pytest.raises(ConfigError, match="policy must be none or randaugment or trivialaugment, got autoaugment"):
        Augment(policy="autoaugment")


@pytest.mark.parametrize(
    ("options", "channels", "top", "named"),
    [
        ({"saturation": 0.1}, 1, 255.0, "saturation"),
        ({"hue": 0.1}, 4, 255.0, "hue"),
        ({"policy": "randaugment"}, 2, 255.0, "policy"),
        ({"policy": "trivialaugment"}, 3, None, "policy"),
    ],
)
def test_what_means_nothing_for_these_pictures_is_refused(options, channels, top, named):
    with pytest.raises(ConfigError, match=rf"^Augment: {named} must be .*\n  Fix: set {named} = "):
        check(Augment(**options), channels, top)


def test_what_means_something_passes():
    check(ALL, 3)
    check(Augment(policy="randaugment", brightness=0.2, colour_noise=0.1), 1)
    check(Augment(rotate=10.0, brightness=0.2, contrast=0.2, erase=0.2, cutmix=1.0), 7, None)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("name", OPTIONS)
def test_a_gpu_gives_the_same_pictures(name):
    augment = Augment(**{name: OPTIONS[name]})
    draws = draw(augment, 0, 0, first(40))
    here, there = apply(X, draws, axes=AXES), apply(X.cuda(), draws, axes=AXES)
    assert_close(there.cpu(), here, atol=2e-2, rtol=0)
    mixed, targets = mix(here.float().cuda(), torch.arange(40).cuda() % 4, draws, 4)
    expected = mix(here.float(), torch.arange(40) % 4, draws, 4)
    assert_close((mixed.cpu(), targets.cpu()), expected, atol=1e-3, rtol=0)
