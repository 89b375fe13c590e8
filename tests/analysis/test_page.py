import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from importlib.resources import files
from xml.etree import ElementTree

import pytest
from tests.analysis.networks import Inception, signal, vgg, volume
from torch import nn

from striate.analysis.equations import equations
from striate.analysis.field_picture import LARGEST, STRIP, field_picture
from striate.analysis.inspect import inspect
from striate.analysis.notebook import notebook
from striate.analysis.page import page
from striate.models.catalogue import build

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VOID = {"meta", "input", "br", "img", "hr", "link"}
HOSTILE = "<img src=x onerror=alert(1)>\"'&"


class Reader(HTMLParser):
    """Elements with their attributes and texts; refuses tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.texts.append(text)


@pytest.fixture(scope="module")
def lenet5():
    return inspect(build("lenet5"), (1, 32, 32), title="lenet5")


@pytest.fixture(scope="module")
def hostile():
    model = nn.Sequential()
    model.add_module(HOSTILE.replace(".", ""), nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()))
    return inspect(model, (1, 6, 6), title=HOSTILE)


def test_the_page_has_totals_table_drawing_and_facts(lenet5):
    read = Reader(page(lenet5, [("source", "LeCun et al. 1998")]))
    text = " ".join(read.texts)
    for said in ("lenet5", "LeCun et al. 1998", "61,706 (all trainable)", "416,520", "without bias; FLOPs = 2 MACs"):
        assert said in text
    rows = [attributes["data-row"] for tag, attributes in read.elements if tag == "tr" and "data-row" in attributes]
    assert rows == [str(number) for number in range(len(lenet5.rows))]


def test_every_row_has_its_equation_arithmetic_operations_and_field(lenet5):
    text = page(lenet5)
    for number, row in enumerate(lenet5):
        section = re.search(rf'<section class="detail" id="row-{number}">(.*?)</section>', text, re.S)[1]
        assert escape(row.name) in section
        assert "striate-field" in section
        for step in equations(row):
            assert escape(step.formula.equation) in section
            for one in (*step.formula.sizes, step.formula.parameters, step.formula.macs):
                assert one is None or escape(one.right) in section
        for record in row.records:
            assert record.name in section


def test_every_link_leads_to_a_row_and_works_without_scripts(lenet5):
    read = Reader(page(lenet5))
    ids = {attributes["id"] for _, attributes in read.elements if "id" in attributes}
    links = [attributes["href"] for tag, attributes in read.elements if tag == "a"]
    assert len(links) == len(lenet5.rows)
    assert {link.removeprefix("#") for link in links} <= ids
    assert ".detail:target" in page(lenet5)


def test_the_page_needs_nothing_else(lenet5):
    text = page(lenet5)
    found = set(re.findall(r"(?:https?:)?//[^\s\"'<>)]+", text))
    assert found == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert "default-src 'none'" in text
    for tag, attributes in Reader(text).elements:
        assert tag not in ("link", "img", "iframe", "object")
        assert "src" not in attributes


@pytest.mark.parametrize("write", [page, notebook])
def test_names_cannot_become_elements(hostile, write):
    read = Reader(write(hostile))
    assert not [tag for tag, attributes in read.elements if tag == "img" or "onerror" in attributes]
    assert HOSTILE in "".join(read.texts)


def test_facts_advice_and_notes_cannot_become_elements(lenet5):
    summary = replace(lenet5, advice=(HOSTILE,), notes=(HOSTILE,))
    for text in (page(summary, [(HOSTILE, HOSTILE)]), notebook(summary)):
        assert not [tag for tag, _ in Reader(text).elements if tag == "img"]


def test_style_and_script_cannot_be_ended_from_within():
    for name in ("page.css", "page.js"):
        assert "</" not in (files("striate.analysis") / name).read_text("utf-8")


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (signal(), (2, 64)),
        (volume(), (1, 6, 8, 8)),
        (Inception(), (16, 8, 8)),
        (vgg((1, 3)), (3, 32, 32)),
        (nn.Identity(), (3,)),
    ],
    ids=["signal", "volume", "inception", "vgg", "nothing"],
)
def test_every_network_has_a_page_and_a_notebook_s_table(model, shape):
    summary = inspect(model, shape)
    assert "<h1>" in page(summary)
    Reader(page(summary))
    Reader(summary._repr_html_())


def test_a_notebook_s_style_touches_nothing_else(lenet5):
    text = notebook(lenet5)
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    for selectors in re.findall(r"([^{}]+)\{", style):
        assert all(one.strip().startswith(".striate-summary") for one in selectors.split(","))
    assert "<script" not in text


def test_it_is_saved_as_a_file(lenet5, tmp_path):
    lenet5.save_html(tmp_path / "lenet5.html")
    assert (tmp_path / "lenet5.html").read_text() == page(lenet5)


def rectangles(text):
    svg = "{http://www.w3.org/2000/svg}"
    return {
        one.get("class"): tuple(float(one.get(name)) for name in ("x", "y", "width", "height"))
        for one in ElementTree.fromstring(text).iter(f"{svg}rect")
    }


def test_the_field_is_drawn_where_it_lies():
    """Conv 5x3, padding 2 and 1, strides 2 and 1, on 9x15: the picture is as wide as 15 pixels and 1 + 1 of padding."""
    (row,) = inspect(nn.Conv2d(1, 1, (5, 3), stride=(2, 1), padding=(2, 1)), (1, 9, 15))
    found = rectangles(field_picture(row, (1, 9, 15)))
    unit = LARGEST / 17
    expected = {
        "pad": (0, 0, 17, 13),
        "paper": (1, 2, 15, 9),
        "first": (0, 0, 3, 5),
        "next": (1, 2, 3, 5),
        "last": (14, 8, 3, 5),
    }
    for kind, box in expected.items():
        assert found[kind] == pytest.approx([unit * n for n in box], abs=0.06), kind


def test_a_signal_is_a_strip_and_what_sees_all_has_one_box():
    rows = inspect(signal(), (2, 64)).rows
    first = rectangles(field_picture(rows[0], (2, 64)))
    assert first["first"][3] == STRIP
    assert first["first"][2] == pytest.approx(9 * LARGEST / 71, abs=0.06)  # 4 pixels of padding, 3 behind
    last = rectangles(field_picture(rows[-1], (2, 64)))
    assert last["first"] == last["paper"]
    assert "next" not in last


def test_of_a_volume_the_last_two_axes_are_drawn():
    row = inspect(nn.Conv3d(1, 1, (1, 3, 5)), (1, 4, 6, 10)).rows[0]
    found = rectangles(field_picture(row, (1, 4, 6, 10)))
    unit = LARGEST / 10
    assert found["first"] == pytest.approx((0, 0, 5 * unit, 3 * unit), abs=0.06)


DRIVER = """
<script>
const key = (name, target = document.body) =>
  target.dispatchEvent(new KeyboardEvent("keydown", {key: name, bubbles: true, cancelable: true}));
const chosen = () => [...document.querySelectorAll(".detail")].filter(one => getComputedStyle(one).display === "block");
const shownRows = () => [...document.querySelectorAll(".rows tbody tr")].filter(one => !one.hidden);
const names = () => shownRows().map(one => one.cells[0].innerText);
const told = {};
told.before = chosen().length;
document.querySelector('tr[data-row="3"] td').click();
told.clicked = chosen().map(one => one.id);
told.marked = document.querySelectorAll('svg [data-row="3"].chosen').length;
key("ArrowDown"); told.down = chosen().map(one => one.id);
key("ArrowUp"); key("ArrowUp"); told.up = chosen().map(one => one.id);
const click = new MouseEvent("click", {bubbles: true, cancelable: true});
document.querySelector('svg [data-row="7"] rect').dispatchEvent(click);
told.drawn = chosen().map(one => one.id);
told.address = location.hash;
const field = document.querySelector(".tools input");
field.value = "CONV"; field.dispatchEvent(new Event("input")); told.sifted = names();
key("Escape"); told.escaped = [names().length, chosen().length];
const heads = [...document.querySelectorAll(".rows thead th")];
const parameters = heads.find(one => one.innerText.startsWith("parameters")).querySelector("button");
parameters.click(); told.descending = names().slice(0, 3);
parameters.click(); told.ascending = names().slice(-3);
parameters.click(); told.restored = names().slice(0, 2);
document.title = JSON.stringify(told);
</script>
"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
def test_a_browser_does_what_is_asked(lenet5, tmp_path):
    (tmp_path / "page.html").write_text(page(lenet5).replace("</body>", f"{DRIVER}</body>"))
    options = "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run --dump-dom".split()
    command = [CHROMIUM, *options, f"--user-data-dir={tmp_path}/profile", (tmp_path / "page.html").as_uri()]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    told = json.loads(re.search(r"<title>(\{.*?\})</title>", dumped)[1].replace("&amp;", "&"))
    assert told == {
        "before": 0,
        "clicked": ["row-3"],
        "marked": 2,  # in the drawing and in the graph
        "down": ["row-4"],
        "up": ["row-2"],
        "drawn": ["row-7"],
        "address": "#row-7",
        "sifted": ["features.0", "features.3"],
        "escaped": [14, 0],
        "descending": ["classifier.1", "classifier.4", "features.3"],
        "ascending": ["features.3", "classifier.4", "classifier.1"],
        "restored": ["features.0", "features.1"],
    }
