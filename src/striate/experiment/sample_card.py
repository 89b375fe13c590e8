"""The model card of a network that does something else than to sort pictures."""

from typing import TYPE_CHECKING

from striate.base.operations import written
from striate.experiment.picture_material import PictureMaterial
from striate.experiment.record_material import RecordMaterial

if TYPE_CHECKING:
    from striate.experiment.history import EpochRow
    from striate.experiment.outcome import Outcome
    from striate.experiment.wiring import Wired

TEMPLATE = """\
---
library_name: striate
---

# {model} on {data}

{does}

| | |
|---|---|
| task | {task} |
| network | {model}, {parameters:,} parameters ({source}) |
| faithful to it | {faithful} |
| sample | {sample} |
| trained on | {train:,} samples of `{data}`, data fingerprint `{fingerprint}` |
| chosen by | epoch {epoch} of {epochs}, {metric} {validation:.4f} on {validation_count:,} validation samples |
| **test** | **{test}** on {test_count:,} other samples |

## Use

```python
import striate

model = striate.load("FOLDER_OF_THIS_FILE")
model.predict(sample)  # {gives}
```
{network}
## Limits

The figures hold for samples like those of the test split.
"""

NETWORK = """
## The network

```
{text}
```
"""

GIVES = {
    "classify": "a probability for each class",
    "multilabel": "a probability for each label",
    "regress": "numbers, in the units of the data",
    "segment": "a class number for each pixel",
    "reconstruct": "what comes back, in the units of the data",
}


def sample_card(wired: "Wired", outcome: "Outcome", row: "EpochRow", *, does: str) -> str:
    """README.md of the bundle.

    Args:
        wired: the run.
        outcome: what it came to.
        row: the epoch that was kept.
        does: what the network does, in a sentence.
    """
    material, known = wired.material, wired.built.card
    text = NETWORK.format(text=wired.architecture.name.replace(", ", ",\n")) if known.text else ""
    return TEMPLATE.format(
        model=wired.title,
        data=material.name,
        does=does,
        task=wired.recipe.task,
        parameters=outcome.parameters,
        source=known.source,
        faithful=known.faithful,
        sample=_sample(material),
        train=material.count("train"),
        fingerprint=material.fingerprint[:16],
        epoch=row.epoch,
        epochs=outcome.epochs,
        metric=outcome.test.metric,
        validation=row.validation_score,
        validation_count=material.count("validation"),
        test=outcome.test.told(),
        test_count=outcome.test.count,
        gives=GIVES[wired.recipe.task],
        network=text,
    )


def _sample(material: object) -> str:
    if isinstance(material, PictureMaterial):
        picture = material.preprocess.picture
        return f"a picture, brought to {written(picture.shape)}"
    assert isinstance(material, RecordMaterial)
    tokenizer = material.reading.tokenizer
    if tokenizer is not None:
        return f"a text, of which {tokenizer.length} tokens are read; {tokenizer.tokens:,} are known"
    return f"numbers of shape {written(material.reading.shape)}, each channel less its mean, over its deviation"
