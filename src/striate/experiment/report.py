"""report.html: one file, readable without a network, with the run's pictures inside."""

import base64
from html import escape

from striate.experiment.history import History
from striate.experiment.html import share, table
from striate.experiment.material import PARTS
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
    material, test = wired.material, outcome.test
    title = escape(f"{wired.title} on {material.name}")
    images = "".join(
        f'<p><img alt="{escape(name)}" src="data:image/png;base64,{base64.b64encode(content).decode()}"></p>'
        for name, content in pictures.items()
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in (*material.notes, *map(str, material.left_out)))
    train, validation, tested = (material.count(part) for part in PARTS)
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{STYLE}</style>
<h1>{title}</h1>
{wired.task.verdict(test)}
<p>{outcome.parameters:,} parameters, {outcome.epochs} epochs, {outcome.train_seconds:.1f} s of training:
{escape(str(wired.plan))}.</p>
<p>{train:,} training, {validation:,} validation and {tested:,} test samples.</p>
{f"<h2>Notes</h2><ul>{notes}</ul>" if notes else ""}
{images}
{wired.task.sections(test)}
<h2>Epochs</h2>{_epochs(history)}
<h2>Recipe</h2><pre>{escape(wired.recipe.as_toml())}</pre>
</html>
"""


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
    return table(head, rows)
