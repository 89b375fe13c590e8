"""`striate predict`."""

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.base.errors import ConfigError, DataError

if TYPE_CHECKING:
    from striate.deploy.predictor import Prediction


def predict(
    location: Annotated[Path, typer.Argument(metavar="RUN|BUNDLE", help="A finished run, or its model folder.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE|FOLDER...", help="Pictures, or folders of them.")],
    top: Annotated[int, typer.Option(help="How many classes a picture.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")] = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write a table, too.")] = None,
) -> None:
    """Say what pictures show, with probabilities.

    \b
    Examples:
      striate predict runs/digits-lenet5 seven.png
      striate predict runs/photos-lenet5 holiday/ --top 2 --csv holiday.csv
      striate predict runs/digits-lenet5/model seven.png --json
    """  # noqa: D301 - \b is click's mark for text that is not rewrapped
    if top < 1:
        raise ConfigError("predict", "top", ">= 1", got=top, fix="3 is usual")
    from striate.deploy.predictor import load, pictures_below

    predictions, faults = load(location).sort_out(pictures_below(images), top)
    if csv_file is not None:
        from striate.base.files import write

        write(csv_file, _csv(predictions))
    if as_json:
        typer.echo(
            json.dumps({"predictions": [p.as_dict() for p in predictions], "faults": [asdict(f) for f in faults]})
        )
    else:
        for prediction in predictions:
            ranked = "  ".join(f"{name} {probability:.4f}" for name, probability in prediction.top)
            typer.echo(f"{prediction.path}: {ranked}")
    if faults:
        listed = "; ".join(str(fault) for fault in faults[:20])
        raise DataError(
            "predict",
            "pictures",
            "readable",
            got=f"{len(faults)} that are not: {listed}",
            fix="the others are predicted above; leave these out or replace them",
        )


def _csv(predictions: "list[Prediction]") -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "class", "probability"])
    writer.writerows([p.path, p.class_name, f"{p.probability:.6f}"] for p in predictions)
    return text.getvalue()
