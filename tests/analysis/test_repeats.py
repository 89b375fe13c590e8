from collections import Counter

import pytest
import torch
from tests.analysis.networks import ResNet, on_meta, vgg
from torch import nn

from striate.analysis.inspect import inspect
from striate.analysis.repeats import each_row, lines_of, stands_for


@pytest.fixture(scope="module")
def resnet50():
    return inspect(on_meta(ResNet, (3, 4, 6, 3)), (3, 224, 224))


def test_resnet50_has_its_published_blocks(resnet50):
    """He et al. 2016, table 1: 3, 4, 6 and 3 blocks a stage, of which the first of each has another input."""
    blocks = Counter((line.name.split(".")[0], line.count) for line in lines_of(resnet50.rows) if line.count > 1)
    ten = {("layer1", 2): 10, ("layer2", 3): 10, ("layer3", 5): 10, ("layer4", 2): 10}
    assert blocks == ten


def test_a_block_begins_where_its_module_begins(resnet50):
    names = [line.name for line in lines_of(resnet50.rows) if line.count == 5]
    assert names[0] == "layer3.1-5.conv1"
    assert names[-1] == "layer3.1-5.relu"
    assert len({name.rpartition(".")[0] for name in names}) == 1


def test_no_row_is_lost_and_none_is_shown_twice(resnet50):
    lines = lines_of(resnet50.rows)
    assert sum(line.count for line in lines) == len(resnet50.rows)
    assert sorted(stands_for(lines)) == list(range(len(resnet50.rows)))
    assert sum(line.count * line.row.macs for line in lines) == resnet50.totals.macs
    assert sum(line.count * line.row.parameters for line in lines) == resnet50.totals.parameters


def test_the_last_of_a_block_s_likes_is_the_last_block_s(resnet50):
    line = next(line for line in lines_of(resnet50.rows) if line.name == "layer3.1-5.conv2")
    assert (line.row.name, line.last.name) == ("layer3.1.conv2", "layer3.5.conv2")
    assert line.row.sights[0].receptive_field < line.last.sights[0].receptive_field


def test_places_in_a_list_may_step_by_more_than_one():
    lines = lines_of(inspect(vgg((1, 4)), (3, 32, 32)).rows)
    assert [(line.name, line.count) for line in lines if line.count > 1] == [("0.5,7,9", 3), ("0.6,8,10", 3)]


def test_layers_of_two_names_are_no_blocks():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x):
            return self.conv2(self.conv1(x))

    assert [line.count for line in lines_of(inspect(Two(), (4, 8, 8)).rows)] == [1, 1]


def test_blocks_that_differ_in_anything_are_not_alike():
    convs = [nn.Conv2d(4, 4, 3, padding=1, bias=bias) for bias in (True, True, False)]
    assert [line.count for line in lines_of(inspect(nn.Sequential(*convs), (4, 8, 8)).rows)] == [2, 1]


def test_blocks_that_take_from_elsewhere_are_not_alike():
    class Crossed(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))

        def forward(self, x):
            return self.convs[1](self.convs[0](x)) + self.convs[2](x)

    lines = lines_of(inspect(Crossed(), (4, 8, 8)).rows)
    assert [(line.name, line.count) for line in lines] == [("convs.0-1", 2), ("convs.2", 1), ("add", 1)]


def test_branches_from_one_row_are_alike():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(4, 4, 1)
            self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))

        def forward(self, x):
            x = self.stem(x)
            return torch.cat([conv(x) for conv in self.convs], 1)

    lines = lines_of(inspect(Branches(), (4, 8, 8)).rows)
    assert [(line.name, line.count) for line in lines] == [("stem", 1), ("convs.0-2", 3), ("cat", 1)]


def test_each_row_can_be_shown_for_itself(resnet50):
    lines = each_row(resnet50.rows)
    assert [line.row for line in lines] == list(resnet50.rows)
    assert {line.count for line in lines} == {1}
