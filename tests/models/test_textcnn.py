"""Figures: Kim 2014, arXiv:1408.5882, Table 1 (the data set MR) and section 3.1."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode

from striate.base.errors import ConfigError
from striate.models.catalogue import MODELS, build

WORDS, LENGTH, CLASSES = 18_765, 20, 2  # of MR: vocabulary, mean length, classes


def texts(*rows):
    return torch.tensor(rows)


def test_parameters_and_macs_are_those_of_arithmetic():
    parameters, macs = WORDS * 300 + 300 * CLASSES + CLASSES, 300 * CLASSES
    for width in (3, 4, 5):
        parameters += 300 * width * 100 + 100
        macs += 300 * width * 100 * (LENGTH - width + 1)
    usual = MODELS["textcnn"].usual
    assert (usual.in_channels, usual.image_size, usual.num_classes, usual.dropout) == (WORDS, LENGTH, CLASSES, 0.5)
    with torch.device("meta"):
        model = MODELS["textcnn"].builder(usual).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, LENGTH, dtype=torch.int64))
    assert sum(p.numel() for p in model.parameters()) == parameters == 5_990_402
    assert counter.get_total_flops() == 2 * macs


def test_a_text_is_what_its_windows_say():
    model = build("textcnn", in_channels=30, num_classes=3, seed=1).eval()
    text = [4, 9, 2, 2, 17, 29]
    words = model.embedding.weight[text]
    features = []
    for width, conv in zip((3, 4, 5), model.convs, strict=True):
        windows = [words[n : n + width] for n in range(len(text) - width + 1)]
        answers = [torch.einsum("owk,kw->o", conv.weight, window) + conv.bias for window in windows]
        features.append(F.relu(torch.stack(answers)).amax(0))
    logits = model.fc.weight @ torch.cat(features) + model.fc.bias
    assert_close(model(texts(text))[0], logits)


def test_padding_is_a_vector_of_zeros_and_stays_one():
    model = build("textcnn", in_channels=9)
    assert model.embedding.weight[0].eq(0).all()
    model(texts([1, 2, 3, 4, 0, 0])).sum().backward()
    gradient = model.embedding.weight.grad
    assert gradient[0].eq(0).all()
    assert gradient[1:5].ne(0).any(1).all()


def test_words_start_uniform_on_a_quarter_and_follow_the_seed_alone():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        one = build("textcnn", in_channels=500, seed=4).embedding.weight
        torch.manual_seed(2)
        two = build("textcnn", in_channels=500, seed=4).embedding.weight
    assert torch.equal(one, two)
    assert not torch.equal(one, build("textcnn", in_channels=500, seed=5).embedding.weight)
    counts = torch.histc(one[1:].detach(), bins=10, min=-0.25, max=0.25) / one[1:].numel()
    assert counts.tolist() == pytest.approx([0.1] * 10, rel=0.02)


def test_it_does_not_matter_where_in_a_padded_text_the_words_stand():
    model = build("textcnn", in_channels=20).eval()
    words, rest = [3, 7, 11, 5, 6], [0] * 4
    assert_close(model(texts([*rest, *words, *rest, 0, 0])), model(texts([*rest, 0, 0, *words, *rest])))


def test_it_learns_the_order_of_two_words(learn):
    """Class 1 where word 1 stands right before word 2, class 0 the other way round: no bag of words can tell."""
    g = torch.Generator().manual_seed(3)
    x = torch.randint(3, 30, (64, 12), generator=g)
    y = torch.arange(64) % 2
    places = torch.randint(11, (64,), generator=g)
    rows = torch.arange(64)
    x[rows, places], x[rows, places + 1] = 2 - y, 1 + y
    model = build("textcnn", in_channels=30, dropout=0.0)
    learn(model, lambda: F.cross_entropy(model(x), y), lr=0.003, count=15)
    fresh = torch.randint(3, 30, (64, 12), generator=g)
    fresh[rows, places.flip(0)], fresh[rows, places.flip(0) + 1] = 2 - y, 1 + y
    assert model(fresh).argmax(1).eq(y).float().mean() > 0.9


def test_texts_shorter_than_the_widest_kernel_are_refused():
    with pytest.raises(ConfigError, match=r"image_size must be >= 5 tokens, got 4\.\n  Fix: pad shorter texts with"):
        build("textcnn", image_size=4)
    with pytest.raises(ConfigError, match="the length of the texts must be >= 5 tokens, got 3"):
        build("textcnn", in_channels=9)(texts([1, 2, 3]))
