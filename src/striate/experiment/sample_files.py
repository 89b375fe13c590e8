"""Test samples as files, to try a trained network on."""

import io
import re

import numpy as np

from striate.experiment.picture_material import PictureMaterial
from striate.experiment.pictures import sample_file
from striate.experiment.record_material import RecordMaterial

MOST = 20  # files


def sample_files(material: RecordMaterial) -> dict[str, bytes]:
    """The first test sample of each class, or the first few: .npy of numbers, .txt of texts."""
    part = material.parts["test"]
    records = part.records
    if records.kind == "classes":
        held = records.targets[part.rows]
        chosen = [(int(np.flatnonzero(held == c)[0]), records.classes[c]) for c in np.unique(held)[:MOST]]
    else:
        chosen = [(place, "sample") for place in range(min(5, len(part)))]
    files = {}
    for number, (place, name) in enumerate(chosen):
        safe = re.sub(r"[^\w.-]+", "_", name)
        suffix, content = _file(material, int(part.rows[place]))
        files[f"{number:02d}-{safe}.{suffix}"] = content
    return files


def _file(material: RecordMaterial, row: int) -> tuple[str, bytes]:
    sample = material.parts["test"].records.inputs[row]
    tokenizer = material.reading.tokenizer
    if tokenizer is not None:
        return "txt", " ".join(tokenizer.decode(sample)).encode()
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(sample), allow_pickle=False)
    return "npy", buffer.getvalue()


def picture_files(material: PictureMaterial) -> dict[str, bytes]:
    """One test picture a class."""
    test, files = material.split("test"), {}
    for number, name in enumerate(material.classes[:MOST]):
        places = np.flatnonzero(test.labels.numpy() == number)
        if len(places):
            suffix, content = sample_file(test.images[places[0]].numpy())
            safe = re.sub(r"[^\w.-]+", "_", name)
            files[f"{number:02d}-{safe}.{suffix}"] = content
    return files
