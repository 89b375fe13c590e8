"""Structures are told by hand and compared; `[..]` is a fork."""

import pytest
import torch
from tests.analysis.networks import Inception, ResNet, on_meta
from torch import nn

from striate.analysis.drawing_blocks import Block, Fork, blocks_of, chain_of, leaps
from striate.analysis.graph_folding import folded
from striate.analysis.inspect import inspect
from striate.models.catalogue import build


def told(chain):
    return [part.number if isinstance(part, Block) else [told(branch) for branch in part.branches] for part in chain]


def structure(count, links):
    return told(chain_of([Block(n, (1,), (1,)) for n in range(count)], frozenset(links)))


STRUCTURES = {
    "chain": (4, [(0, 1), (1, 2), (2, 3)], [0, 1, 2, 3]),
    "two branches": (4, [(0, 1), (0, 2), (1, 3), (2, 3)], [0, [[1], [2]], 3]),
    "longer branches": (6, [(0, 1), (1, 2), (0, 3), (3, 4), (2, 5), (4, 5)], [0, [[1, 2], [3, 4]], 5]),
    "branches told in turns": (6, [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 5)], [0, [[1, 3], [2, 4]], 5]),
    "fork in a branch": (6, [(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (0, 5), (4, 5)], [0, 1, [[2], [3]], 4, 5]),
    "fork in one of two": (
        7,
        [(0, 1), (0, 2), (2, 3), (2, 4), (3, 5), (4, 5), (1, 6), (5, 6)],
        [0, [[1], [2, [[3], [4]], 5]], 6],
    ),
    "shortcut": (4, [(0, 1), (1, 2), (2, 3), (0, 3)], [0, 1, 2, 3]),
    "all to all": (4, [(a, b) for b in range(4) for a in range(b)], [0, 1, 2, 3]),
    "two that nothing joins": (3, [(0, 1), (0, 2)], [0, [[1], [2]]]),
}


@pytest.mark.parametrize(("count", "links", "expected"), STRUCTURES.values(), ids=STRUCTURES)
def test_what_is_not_joined_stands_side_by_side(count, links, expected):
    assert structure(count, links) == expected


def test_what_passes_over_a_block_is_a_leap():
    links = frozenset({(0, 1), (1, 2), (2, 3), (0, 3)})
    parts = chain_of([Block(n, (1,), (1,)) for n in range(4)], links)
    assert [(first, last) for first, last, *_ in leaps(parts, links)] == [(0, 3)]


def drawn(model, shape):
    blocks, links = blocks_of(shape, folded(inspect(model, shape).rows))
    return chain_of(blocks, links)


def drawn_words(model, count):
    summary = inspect(model, (count,), dtype=torch.int64)
    return chain_of(*blocks_of((count,), folded(summary.rows)))


def test_an_inception_module_has_its_four_branches():
    (_, fork, join) = drawn(Inception(), (16, 8, 8))
    assert [[block.caption for block in branch] for branch in fork.branches] == [
        ["Conv2d 1x1"],
        ["Conv2d 1x1", "Conv2d 3x3"],
        ["Conv2d 1x1", "Conv2d 5x5"],
        ["MaxPool2d 3x3", "Conv2d 1x1"],
    ]
    assert join.caption == "cat"


def test_a_network_for_texts_has_a_branch_for_each_length_of_phrase():
    chain = drawn_words(build("textcnn"), 20)
    (fork,) = (part for part in chain if isinstance(part, Fork))
    assert [[block.shape for block in branch] for branch in fork.branches] == [[(100, n), (100,)] for n in (18, 17, 16)]
    assert [block.drawn for block in chain[:2]] == [(1, 20), (300, 20)]  # words side by side, channels across


def test_a_projected_shortcut_is_a_branch_and_its_sum_a_block():
    chain = drawn(on_meta(ResNet, (1, 1, 1, 1)), (3, 64, 64))
    forks = [part for part in chain if isinstance(part, Fork)]
    assert [[len(branch) for branch in fork.branches] for fork in forks] == [[3, 1]] * 4


def test_an_activation_lies_on_the_block_that_it_takes_from():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 3, padding=1)

        def forward(self, x):
            a, b = self.a(x), self.b(x)
            return torch.cat([torch.relu(a), torch.tanh(b)], 1)

    (_, fork, _) = drawn(Two(), (1, 4, 4))
    assert [[line.row.kind for line in branch[0].lines] for branch in fork.branches] == [
        ["Conv2d", "relu"],
        ["Conv2d", "tanh"],
    ]
