from dataclasses import replace
from html.parser import HTMLParser

import torch

from striate.experiment import finish
from striate.experiment.events import Finished
from striate.experiment.recipe import parse_recipe
from striate.experiment.report import report
from striate.experiment.train import start


class Scripts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, _attributes):
        self.tags.append(tag)


def test_the_report_escapes_what_comes_from_data(recipe, tmp_path, monkeypatch):
    seen = {}

    def spy(wired, history, outcome, pictures):
        hostile = replace(outcome.test.per_class[0], name="<script>alert(1)</script>")
        test = replace(outcome.test, per_class=(hostile, *outcome.test.per_class[1:]))
        dataset = replace(wired.material.dataset, notes=("<img src=x onerror=alert(1)>",))
        wired = replace(wired, material=replace(wired.material, dataset=dataset))
        seen["page"] = report(wired, history, replace(outcome, test=test), pictures)
        return seen["page"]

    monkeypatch.setattr(finish, "report", spy)
    one = parse_recipe({**recipe.model_dump(), "epochs": 1})
    outcome = next(event for event in start(one, run=tmp_path / "run") if isinstance(event, Finished)).outcome
    parser = Scripts()
    parser.feed(seen["page"])
    assert "script" not in parser.tags
    assert parser.tags.count("img") == 2
    assert "&lt;script&gt;" in seen["page"]
    assert "http" not in seen["page"]
    assert 0 <= outcome.test.accuracy <= 1


def test_a_class_without_pictures_has_no_figures_instead_of_zero(recipe):
    from striate.evaluate.classification import classification
    from striate.experiment.pictures import confusion_matrix
    from striate.experiment.tasks.classify import _per_class

    result = classification(torch.tensor([[1.0, 0, 0], [1.0, 0, 0]]), torch.tensor([0, 0]), ("a", "b", "c"))
    assert "not available" in _per_class(result)
    assert confusion_matrix(result).startswith(b"\x89PNG")
