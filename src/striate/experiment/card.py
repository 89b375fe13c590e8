"""The model card: what a model is, what it was trained on, how good it is and where that stops."""

import shlex
from typing import TYPE_CHECKING

from striate.data.preprocess import Preprocess
from striate.evaluate.classification import Classification
from striate.experiment.picture_material import PictureMaterial

if TYPE_CHECKING:
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
| preprocessing | {preprocessing} |
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


def model_card(wired: "Wired", outcome: "Outcome", row: "EpochRow") -> str:
    """README.md of the bundle."""
    material, test, known = wired.material, outcome.test, wired.built.card
    assert isinstance(material, PictureMaterial)
    assert isinstance(test, Classification)
    picture = material.preprocess.picture
    low, high = test.interval
    return TEMPLATE.format(
        model=wired.title,
        data=material.name,
        count=len(material.classes),
        classes=", ".join(material.classes[:30]) + (", ..." if len(material.classes) > 30 else ""),
        parameters=outcome.parameters,
        source=known.source,
        faithful=known.faithful,
        channels=picture.channels,
        side=wired.architecture.image_size,
        preprocessing=_told(material.preprocess),
        train=material.count("train"),
        fingerprint=material.fingerprint[:16],
        epoch=row.epoch,
        epochs=outcome.epochs,
        validation=row.validation_score,
        validation_count=material.count("validation"),
        test=test.accuracy,
        low=low,
        high=high,
        test_count=test.count,
        own=f" --model {shlex.quote(wired.architecture.name)}" if known.digest else "",
        network=NETWORK.format(text=wired.architecture.name.replace(", ", ",\n")) if known.text else "",
    )


def _told(preprocess: Preprocess) -> str:
    picture, whiten = preprocess.picture, preprocess.whiten
    unit = "of the pixels as they are" if picture.kind == "float32" else "of [0, 1]"
    resize = {"squash": "resize", "crop": "resize in proportion and crop", "letterbox": "letterbox"}[picture.resize]
    kind = {"uint8": "", "uint16": "16-bit pixels, ", "float32": "floating-point pixels, "}[picture.kind]
    mean, std = ([round(value, 4) for value in values] for values in (preprocess.mean, preprocess.std))
    parts = [
        f"{kind}{resize} to {picture.height}x{picture.width}",
        f"border of {picture.pad} px",
        f"mean {mean}",
        f"standard deviation {std} ({unit})",
    ]
    if whiten is not None:
        parts.append(f"{whiten.method.upper()} whitening with epsilon {whiten.epsilon:g}")
    return ", ".join(parts)
