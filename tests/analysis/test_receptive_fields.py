"""The receptive fields of every built-in network, against the support of the gradient that autograd measures."""

import pytest
import torch
from tests.analysis.measure import Recording, average_for_max, linearised, support

from striate.analysis.inspect import inspect
from striate.models.card import tokens
from striate.models.catalogue import MODELS, card, options, skeleton

# Pictures large enough for the deepest layers' fields to lie within them, which takes seconds: in the slow tests.  Of
# the others the layers are compared whose fields lie within the network's own picture.
SIZES = {
    "alexnet": 291,
    "alexnet-2014": 291,
    "googlenet": 780,
    "googlenet-bn": 780,
    **dict.fromkeys(("vgg11", "vgg13", "vgg16", "vgg19"), 260),
    "resnet50": 480,
    "resnet50-2015": 530,
    "mobilenet": 340,
}


def spatial(rows):
    """Layers whose outputs have places, once each."""
    seen = {}
    for row in rows:
        if row.sights and any(sight.jump for sight in row.sights) and len(row.output_shape) > 1:
            seen.setdefault(row.name, row)
    return seen


def chosen(rows):
    """Up to four of them, the last among them."""
    names = list(rows)
    step = max(1, len(names) // 4)
    return names[::-1][::step][:4]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SIZES else name for name in MODELS]
)
def test_they_are_what_the_gradient_reaches(name, monkeypatch):
    if card(name).sample is tokens:
        pytest.skip("no gradient reaches a whole number: test_field.py looks at tokens")
    asked = options(name, image_size=SIZES.get(name))
    shape = card(name).sample(asked)
    with torch.device("meta"):
        model = skeleton(name, asked)
    rows = spatial(inspect(model, shape))
    if not rows:
        assert name in ("perceptron", "mlp")
        return
    average_for_max(monkeypatch)
    recording = Recording(linearised(skeleton(name, asked)))
    x = torch.rand((1, *shape), dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    recording(x)
    outputs = dict(reversed(recording.outputs))  # of a module that runs twice, the first
    inside = [
        compare(rows[layer].sights, outputs[layer], x)
        for layer in chosen({k: v for k, v in rows.items() if k in outputs})
    ]
    assert any(inside), "no field lies within the picture: choose a larger one"


def compare(sights, y, x):
    """In the middle of a map; whether the field lay within the picture, so that all of it could be compared."""
    place = tuple(n // 2 for n in y.shape[2:])
    sizes = x.shape[2:]
    lows = [sight.start + at * sight.jump for at, sight in zip(place, sights, strict=True)]
    inside = all(low >= 0 and low + s.receptive_field <= n for low, s, n in zip(lows, sights, sizes, strict=True))
    for low, sight, (first, last) in zip(lows, sights, support(y, x, place), strict=True):
        whole, end = sight.status == "exact", low + sight.receptive_field - 1
        if inside and whole:
            assert (first, last) == (low, end)
        slack = 0 if whole else 1  # a bound begins between two pixels
        assert low - slack <= first <= last <= end + slack
    return inside and all(sight.status == "exact" for sight in sights)
