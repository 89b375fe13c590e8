"""report.html: one file, readable without a network, with the run's pictures inside."""

import base64
from collections.abc import Sequence
from html import escape

from striate.evaluate.classification import Classification
from striate.experiment.history import History
from striate.experiment.outcome import Outcome
from striate.experiment.wiring import Wired

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1d1d1f }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
td:first-child, th:first-child { text-align: left }
img { max-width: 100% }
pre { background: #f5f5f7; padding: 1rem; overflow: auto }
.figure { font-size: 2.4rem; font-weight: 600 } .small { color: #666 }
"""


def report(wired: Wired, history: History, outcome: Outcome, pictures: dict[str, bytes]) -> str:
    """The page.  Every text that comes from data or recipe is escaped."""
    dataset, test = wired.dataset, outcome.test
    title = escape(f"{wired.title} on {dataset.name}")
    low, high = test.interval
    images = "".join(
        f'<p><img alt="{escape(name)}" src="data:image/png;base64,{base64.b64encode(content).decode()}"></p>'
        for name, content in pictures.items()
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in (*dataset.notes, *map(str, dataset.left_out)))
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{STYLE}</style>
<h1>{title}</h1>
<p class="figure">{test.accuracy:.2%} <span class="small">test accuracy</span></p>
<p>95 % interval {low:.2%} to {high:.2%} on {test.count:,} pictures that neither trained nor chose anything.
{outcome.parameters:,} parameters, {outcome.epochs} epochs, {outcome.train_seconds:.1f} s of training:
{escape(str(wired.plan))}.</p>
<p>{len(dataset.train):,} training, {len(dataset.validation):,} validation and {test.count:,} test pictures.</p>
{f"<h2>Notes</h2><ul>{notes}</ul>" if notes else ""}
{images}
<h2>Per class</h2>{_per_class(test)}
<h2>Most often confused</h2>{_confused(test)}
<h2>Epochs</h2>{_epochs(history)}
<h2>Recipe</h2><pre>{escape(wired.recipe.as_toml())}</pre>
</html>
"""


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    cells = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return "<table><tr>" + "".join(f"<th>{escape(cell)}</th>" for cell in head) + f"</tr>{cells}</table>"


def share(value: float | None) -> str:
    """A number in [0, 1], or what to print where there is none."""
    return "not available" if value is None or value != value else f"{value:.4f}"


def _per_class(test: Classification) -> str:
    rows = [
        (entry.name, share(entry.precision), share(entry.recall), share(entry.f1), f"{entry.count:,}")
        for entry in test.per_class
    ]
    return _table(("class", "precision", "recall", "F1", "pictures"), rows)


def _confused(test: Classification) -> str:
    names = [entry.name for entry in test.per_class]
    pairs = [
        (count, names[true], names[predicted])
        for true, row in enumerate(test.confusion)
        for predicted, count in enumerate(row)
        if count and true != predicted
    ]
    worst = sorted(pairs, reverse=True)[:10]
    if not worst:
        return "<p>Nothing was confused.</p>"
    return _table(("class", "taken for", "times"), [(true, taken, str(count)) for count, true, taken in worst])


def _epochs(history: History) -> str:
    head = ("epoch", "training loss", "validation loss", f"validation {history.metric}", "learning rate", "pictures/s")
    rows = [
        (
            str(row.epoch),
            f"{row.train_loss:.4f}",
            share(row.validation_loss),
            share(row.validation_score),
            f"{row.lr:.2g}",
            f"{row.images_per_second:,.0f}",
        )
        for row in history.rows
    ]
    return _table(head, rows)
