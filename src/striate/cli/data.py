"""`striate data check|stats|show|fetch`."""

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from striate.base.errors import ConfigError, DataError
from striate.base.marks import shown

app = typer.Typer(name="data", help="Look at data before a network does.", no_args_is_help=True, rich_markup_mode=None)

Where = Annotated[
    str, typer.Argument(metavar="PATH", help="What train's --data takes: a folder, a table, an .npz, a built-in name.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
WRONG = 3  # the exit code of data that cannot be trusted


@app.command()
def check(
    data: Where,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 3 also for duplicates and all that is odd.")] = False,
    sheets: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a picture of each class's pictures there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find all that is wrong with a data set, at once; nothing in it is changed.

    Exit 0: it can be trained on.  Exit 3: unreadable or hostile files, one picture in two classes, classes that do not
    agree between splits, or nothing to train on; with --strict also duplicates and all that is odd.

    \b
    Examples:
      striate data check photos/
      striate data check photos/ --strict --json
      striate data check photos/ --sheets sheets/
    """  # noqa: D301 - \b is click's mark for text that is not rewrapped
    from striate.cli.progress import reading_bar
    from striate.data.doctor.check import check as examine
    from striate.data.doctor.kinds import Level
    from striate.data.doctor.look import look
    from striate.data.doctor.sheet import check_sheets, class_sheets

    if sheets is not None:
        check_sheets(data, sheets)
    with reading_bar() as progress:
        report = examine(data, progress)
    written = class_sheets(look(data), sheets) if sheets is not None else []
    typer.echo(json.dumps(report.as_dict() | {"sheets": [str(p) for p in written]}) if as_json else str(report))
    if written and not as_json:
        typer.echo(f"{len(written)} sheets, first {shown(str(written[0]))}")
    if report.kinds(Level.FAILS) or (strict and report.kinds(Level.STRICT)):
        raise typer.Exit(WRONG)


@app.command()
def stats(
    data: Where,
    split: Annotated[
        str | None, typer.Option(help="train, validation or test; left out: train, or all of data without splits.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a split: mean and standard deviation of its pixels, classes, sizes.

    \b
    Examples:
      striate data stats photos/
      striate data stats digits --json
    """  # noqa: D301 - \b is click's mark for text that is not rewrapped
    from striate.cli.progress import reading_bar
    from striate.data.doctor.show import split_of
    from striate.data.doctor.stats import measure
    from striate.data.doctor.text import statistics_text
    from striate.data.source import open_source

    source = open_source(data)
    name, _ = split_of(source, split)
    with reading_bar() as progress:
        found = measure(source, name, progress)
    typer.echo(json.dumps(found.as_dict()) if as_json else statistics_text(found))
    _refuse(source.location, [str(fault) for fault in found.faults])


@app.command()
def show(
    data: Where,
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="The picture to write.")] = Path("sheet.png"),
    count: Annotated[int, typer.Option(help="How many pictures.")] = 24,
    split: Annotated[
        str | None, typer.Option(help="train, validation or test; left out: train, or all of data without splits.")
    ] = None,
    label: Annotated[str | None, typer.Option("--class", metavar="CLASS", help="Of this class only.")] = None,
    size: Annotated[
        str | None, typer.Option("--input", metavar="CxHxW", help="A network's; left out: their own, or 128x128.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Which pictures: those that training with it meets first.")] = 0,
    augment: Annotated[
        bool, typer.Option("--augment", help="As training changes them: the first pictures in four epochs.")
    ] = False,
    changes: Annotated[
        list[str] | None, typer.Argument(metavar="[key=value ...]", help="Of the recipe, with --augment.")
    ] = None,
) -> None:
    """Draw pictures as a network would get them, with their classes, into one file.

    \b
    Examples:
      striate data show photos/
      striate data show photos/ --class ants --input 3x64x64 --out ants.png
      striate data show photos/ --augment --count 6 augment.rotate=20 preprocess.image_size=96
    """  # noqa: D301 - \b is click's mark for text that is not rewrapped
    if augment:
        _show_augmented(data, out, count, {"--split": split, "--class": label, "--input": size}, seed, changes or [])
        return
    if changes:
        raise ConfigError("data show", "argument", "left out without --augment", got=changes[0], fix="add --augment")
    from striate.data.doctor import show as pictures
    from striate.data.doctor.sheet import check_png, save_sheet
    from striate.data.picture import Picture
    from striate.data.source import open_source

    check_png("data show", "--out", out)
    source = open_source(data)
    picture = pictures.usual_picture(source) if size is None else Picture(*_shape(size), kind=source.kind)
    samples = pictures.chosen(source, pictures.split_of(source, split)[1], label, count, seed)
    drawn, faults = pictures.show(source, samples, picture)
    save_sheet(drawn, out)
    typer.echo(shown(str(out)))
    _refuse(source.location, faults)


def _show_augmented(
    data: str, out: Path, count: int, others: dict[str, str | None], seed: int, changes: list[str]
) -> None:
    from striate.cli.progress import reading_bar
    from striate.data.doctor.sheet import check_png, save_sheet
    from striate.experiment.preview import preview
    from striate.experiment.recipe_file import parse_override, read_recipe

    for name, value in others.items():
        if value is not None:
            fix = "training takes all classes of its split, at preprocess.image_size"
            raise ConfigError("data show", name, "left out with --augment", got=value, fix=fix)
    check_png("data show", "--out", out)
    recipe = read_recipe(None, [("data", data), ("seed", seed), *map(parse_override, changes)])
    with reading_bar() as progress:
        drawn = preview(recipe, count, progress)
    save_sheet(drawn, out)
    typer.echo(shown(str(out)))


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="mnist, fashion-mnist, cifar10 or cifar100.")],
) -> None:
    """Download a named set into the cache folder, or check what is there; it is then at hand without a network.

    $STRIATE_CACHE names the folder, else $XDG_CACHE_HOME/striate or ~/.cache/striate; $STRIATE_MIRROR a server to ask
    first.  What was begun is continued, and every file's checksum is compared.

    \b
    Example:
      striate data fetch mnist
    """  # noqa: D301 - \b is click's mark for text that is not rewrapped
    from striate.cli.progress import bytes_bar
    from striate.data.fetch import fetch as download

    with bytes_bar() as progress:
        folder = download(name, progress)
    typer.echo(shown(str(folder)))


def _shape(text: str) -> tuple[int, int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})x(\d{1,5})", text)
    if match is None:
        raise ConfigError("data show", "--input", "CxHxW", got=repr(text), fix="for example 3x64x64")
    return int(match[1]), int(match[2]), int(match[3])


def _refuse(location: str, faults: list[str] | tuple[str, ...], most: int = 20) -> None:
    """End with exit code 3 where pictures could not be read; what could be is told already."""
    if faults:
        listed = "; ".join(faults[:most]) + (f"; and {len(faults) - most} more" if len(faults) > most else "")
        fix = "they are left out above; `striate data check` says what to do about each"
        raise DataError(location, "every picture", "readable", got=f"{len(faults)} that are not: {listed}", fix=fix)
