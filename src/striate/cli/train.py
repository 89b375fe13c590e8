"""`striate train`."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from striate.base.errors import ConfigError


def train(
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="[RECIPE.toml] [key=value ...]", help="A recipe, and changes to it.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The network: a name such as lenet5, a text in the notation, or FILE.py:NAME.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="digits, mnist, a folder of class folders, a table, IDX files, an .npz, tar shards."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training pictures.")] = None,
    batch_size: Annotated[str | None, typer.Option(metavar="<int>|auto", help="Pictures an update.")] = None,
    lr: Annotated[str | None, typer.Option(metavar="<float>|auto", help="Peak learning rate.")] = None,
    seed: Annotated[int | None, typer.Option(help="All random numbers follow from it.")] = None,
    run: Annotated[Path | None, typer.Option(help="The run's folder; without it a new one below runs/.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Let --run replace a run.")] = False,
    engine: Annotated[str | None, typer.Option(help="What computes: auto, torch, native or calculus.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")] = False,
) -> None:
    """Train a network on pictures, judge it on a test split, keep everything in a run folder.

    \b
    Examples:
      striate train
      striate train --data photos/ --epochs 30
      striate train --data mnist/ --model lenet5 --epochs 8 --json
      striate train --model "conv 6 5x5, relu, maxpool 2, flatten, linear 10"
      striate train --model net.py:Net --epochs 5
      striate train runs/digits-lenet5/recipe.toml lr=0.02 augment.shift=3

    \b
    Keys of a recipe, with their defaults: see any run's recipe.toml.
    """  # noqa: D301 - \b is click's mark for text that is not rewrapped
    flags = {
        "model": model,
        "data": data,
        "epochs": epochs,
        "batch_size": _number(int, batch_size),
        "lr": _number(float, lr),
        "seed": seed,
        "execution.engine": engine,
        "execution.device": device,
    }
    recipe_file, overrides = _split(arguments or [])
    overrides += [(key, value) for key, value in flags.items() if value is not None]

    from striate.experiment.recipe_file import parse_override, read_recipe
    from striate.experiment.train import train as run_training

    changes = [parse_override(entry) if isinstance(entry, str) else entry for entry in overrides]
    outcome = run_training(read_recipe(recipe_file, changes), run=run, overwrite=overwrite)
    from striate.cli.text import tell

    tell(outcome, as_json=as_json)


def _number(kind: Callable[[str], float], text: str | None) -> float | str | None:
    """The number, or the text as it is, of which the recipe says whether it will do: "auto" does."""
    try:
        return None if text is None else kind(text)
    except ValueError:
        return text


def _split(arguments: list[str]) -> tuple[Path | None, list[Any]]:
    """The recipe file, if the first argument is one, and the rest as key=value texts."""
    if arguments and "=" not in arguments[0]:
        if not arguments[0].endswith(".toml"):
            raise ConfigError(
                "train",
                "argument",
                "RECIPE.toml or key=value",
                got=arguments[0],
                fix=f"pictures are given with --data {arguments[0]}, a network with --model",
            )
        return Path(arguments[0]), list(arguments[1:])
    return None, list(arguments)
