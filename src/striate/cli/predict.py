"""`striate predict`."""

import csv
import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.base.errors import ConfigError, DataError
from striate.base.files import write

if TYPE_CHECKING:
    from striate.deploy.predictor import Prediction


def predict(
    location: Annotated[Path, typer.Argument(metavar="RUN|BUNDLE", help="A finished run, or its model folder.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE|FOLDER...", help="Pictures, or folders of them.")],
    top: Annotated[int, typer.Option(help="How many classes a picture.")] = 3,
    model: Annotated[
        str | None,
        typer.Option(metavar="FILE.py:NAME", help="The file of a network that was trained from one; it is run."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")] = False,
    csv_file: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write a table, too.")] = None,
) -> None:
    """Say what pictures show, with probabilities.

    \b
    Examples:
      striate predict runs/digits-lenet5 seven.png
      striate predict runs/photos-lenet5 holiday/ --top 2 --csv holiday.csv
      striate predict runs/digits-lenet5/model seven.png --json
      striate predict runs/digits-Net seven.png --model net.py:Net
    """  # noqa: D301 - \b is click's mark for text that is not rewrapped
    if csv_file is not None:
        _check_table(csv_file)
    from striate.deploy.predictor import load, pictures_below

    paths, strangers = pictures_below(images)
    if strangers:
        typer.echo(f"note: {len(strangers)} files are no pictures, first {strangers[0]}", err=True)
    predictions, faults = load(location, model=model).sort_out(paths, top)
    if csv_file is not None:
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
            fix=f"{'the others are predicted above; ' if predictions else ''}leave these out or replace them",
        )


def _check_table(path: Path) -> None:
    """Refuse early what could not be written, or what would replace something that is no table."""
    if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        raise ConfigError(
            "predict", "--csv", "a file that ends in .csv", got=repr(str(path)), fix="for example out.csv"
        )
    if not path.parent.is_dir():
        raise ConfigError("predict", "--csv", "in a folder that exists", got=path, fix=f"make {path.parent} first")


def _csv(predictions: "list[Prediction]") -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "class", "probability"])
    writer.writerows([p.path, p.class_name, f"{p.probability:.6f}"] for p in predictions)
    return text.getvalue()
