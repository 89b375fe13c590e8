"""The model card: what a model is, what it was trained on, how good it is and where that stops."""

import shlex

from striate.experiment.history import EpochRow
from striate.experiment.outcome import Outcome
from striate.experiment.wiring import Wired

TEMPLATE = """\
---
library_name: striate
pipeline_tag: image-classification
---

# {model} on {data}

Sorts pictures into {count} classes: {classes}.

| | |
|---|---|
| network | {model}, {parameters:,} parameters ({source}) |
| faithful to it | {faithful} |
| input | {channels} channel(s), {side}x{side} pixels |
| preprocessing | resize to {height}x{width}, border of {pad} px, mean {mean}, standard deviation {std} (of [0, 1]) |
| trained on | {train:,} pictures of `{data}`, data fingerprint `{fingerprint}` |
| chosen by | epoch {epoch} of {epochs}, accuracy {validation:.4f} on {validation_count:,} validation pictures |
| **test accuracy** | **{test:.4f}** (95 % interval {low:.4f} to {high:.4f}) on {test_count:,} other pictures |

## Use

```
striate predict FOLDER_OF_THIS_FILE picture.png{own}
```
{network}
## Limits

The figures hold for pictures like those of the test split. Every picture is sorted into one of the classes above,
also one that shows none of them.
"""

NETWORK = """
## The network

```
{text}
```
"""


def model_card(wired: Wired, outcome: Outcome, row: EpochRow) -> str:
    """README.md of the bundle."""
    dataset, preprocess, known = wired.dataset, wired.preprocess, wired.card
    picture = preprocess.picture
    low, high = outcome.test.interval
    return TEMPLATE.format(
        model=wired.title,
        data=dataset.name,
        count=len(dataset.classes),
        classes=", ".join(dataset.classes[:30]) + (", ..." if len(dataset.classes) > 30 else ""),
        parameters=outcome.parameters,
        source=known.source,
        faithful=known.faithful,
        channels=picture.channels,
        side=wired.architecture.image_size,
        height=picture.height,
        width=picture.width,
        pad=picture.pad,
        mean=[round(value, 4) for value in preprocess.mean],
        std=[round(value, 4) for value in preprocess.std],
        train=len(dataset.train),
        fingerprint=dataset.fingerprint[:16],
        epoch=row.epoch,
        epochs=outcome.epochs,
        validation=row.validation_accuracy,
        validation_count=len(dataset.validation.labels),
        test=outcome.test.accuracy,
        low=low,
        high=high,
        test_count=outcome.test.count,
        own=f" --model {shlex.quote(wired.architecture.name)}" if known.digest else "",
        network=NETWORK.format(text=wired.architecture.name.replace(", ", ",\n")) if known.text else "",
    )
