"""Titles and names that hold what a terminal obeys and what XML refuses."""

from xml.etree import ElementTree

import pytest
from torch import nn

from striate.analysis.drawing import drawing
from striate.analysis.graph import graph, graph_with_gradients
from striate.analysis.inspect import inspect
from striate.analysis.notebook import notebook
from striate.analysis.page import page
from striate.analysis.table import table

CONTROLS = "\x00\x07\x08\x1b\r\x7f\x9b"


@pytest.fixture(scope="module")
def summary():
    model = nn.Sequential()
    model.add_module(f"conv{CONTROLS}[2J", nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()))
    return inspect(model, (1, 6, 6), title=f"net{CONTROLS}[31m")


@pytest.mark.parametrize("write", [drawing, graph, graph_with_gradients, table, page, notebook])
def test_control_characters_are_shown_as_unknown_marks(summary, write):
    text = write(summary)
    assert not set(text) & set(CONTROLS)
    assert "net" + len(CONTROLS) * "\ufffd" + "[31m" in text


@pytest.mark.parametrize("write", [drawing, graph, graph_with_gradients])
def test_pictures_stay_well_formed(summary, write):
    ElementTree.fromstring(write(summary))
