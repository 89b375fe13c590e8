"""FILE.py:NAME: a network that the user wrote, and its card, made when it is asked for.

NAME is a module, a class of one, or a function that makes one.  What can be called is given, by their names, those of
`num_classes`, `in_channels`, `image_size` and `dropout` that its signature has.  The file is run under a name of its
own; files beside it can be imported while it runs.  Its own first weights stay: they are drawn from the seed, but by
its own rules.  Whoever must not run a file looks at `is_file` first: reading (`read_file`) runs nothing.
"""

import hashlib
import inspect
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.base.random import Purpose, current_step, derive
from striate.models.card import Card, Options
from striate.models.run_file import guarded, namespace

ARGUMENTS = ("num_classes", "in_channels", "image_size", "dropout")
ALIASES: Mapping[str, str] = {"in_chans": "in_channels", "img_size": "image_size"}  # other libraries' names
USUAL: Mapping[str, Any] = {"num_classes": 10, "in_channels": 1, "image_size": 32, "dropout": 0.0}
LOCATION = re.compile(r"(?P<path>[^\n]*\.py)(:(?P<name>\w*))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A file that was read, and the name that is meant in it.

    Args:
        path: of the file, absolute.
        name: of the module, class or function.
        source: what stands in it.
    """

    path: Path
    name: str
    source: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the source, in hexadecimal."""
        return hashlib.sha256(self.source).hexdigest()


def is_file(name: str) -> bool:
    """Whether a file of the user's is meant.

    >>> is_file("nets/mine.py:Net"), is_file("mine.py"), is_file("conv 6 5 pad 0:1")
    (True, True, False)
    """
    return LOCATION.fullmatch(name) is not None


def whole_name(location: str) -> str:
    """FILE.py:NAME with the whole path of the file; nothing is read.

    >>> whole_name("/nets/mine.py:Net")
    '/nets/mine.py:Net'
    """
    path, name = _parts(location)
    return f"{path}:{name}"


def short_name(location: str) -> str:
    """FILE.py:NAME without the folders; nothing is read.

    >>> short_name("/nets/mine.py:Net")
    'mine.py:Net'
    """
    path, name = _parts(location)
    return f"{path.name}:{name}"


def _parts(location: str) -> tuple[Path, str]:
    found = LOCATION.fullmatch(location)
    if found is None:
        raise ConfigError("model", "the file", "FILE.py:NAME", got=repr(location), fix="for example: net.py:Net")
    return Path(found["path"]).expanduser().absolute(), found["name"] or ""


def read_file(location: str) -> OwnFile:
    """Read FILE.py:NAME; nothing is run.

    Raises:
        ConfigError: no such file, or no NAME behind it.
    """
    path, name = _parts(location)
    try:
        source = path.read_bytes()
    except OSError as error:
        near = get_close_matches(path.name, [entry.name for entry in path.parent.glob("*.py") if entry.is_file()], n=1)
        fix = "" if name else "write FILE.py:NAME; "
        fix += f"did you mean {near[0]}:{name or 'NAME'}?" if near else f"paths are taken from {Path.cwd()}"
        raise ConfigError("model", str(path), "a file that can be read", got=error.strerror, fix=fix) from None
    if not name:
        names = re.findall(r"^(?:class|def) +([A-Za-z]\w*)", source.decode(errors="replace"), re.M)
        fix = f"write {path.name}:{names[-1] if names else 'NAME'}"
        fix += f"; it has {', '.join(names[:20])}" if names else ", a module, class or function in it"
        raise ConfigError("model", location, "followed by : and a name in it", got="no name", fix=fix)
    return OwnFile(path, name, source)


def file_card(own: OwnFile) -> Card:
    """The card of a network from a file of the user's, which is run.

    Raises:
        ConfigError: whatever is wrong with the file, with its line.
    """
    made = _meant(own)
    parameters = _parameters(own, made)
    usual: dict[str, Any] = dict(USUAL)
    for option, parameter in parameters.items():
        default, kind = parameter.default, float if option == "dropout" else int
        if isinstance(default, kind | int) and not isinstance(default, bool):
            usual[option] = kind(default)
    if "dropout" not in parameters:
        usual["dropout"] = None
    return Card(
        builder=lambda asked: _built(own, made, {p.name: getattr(asked, o) for o, p in parameters.items()}),
        usual=Options(**usual),
        source=f"the file {own.path.name}, SHA-256 {own.digest}",
        faithful="it is the user's own",
        start=lambda _, __: None,  # its first weights are its own
        heads=Keyed,
        digest=own.digest,
    )


def _meant(own: OwnFile) -> Any:
    """What NAME is: a module, a class of one, or something to call."""
    names = namespace(own.path, own.source)
    if own.name not in names:
        here = [name for name, value in names.items() if _is_own(value, names) and not name.startswith("_")]
        near = get_close_matches(own.name, here, n=1)
        fix = f"did you mean {near[0]}?" if near else f"it has {', '.join(here[:20]) or 'none to be built'}"
        raise ConfigError(str(own.path), "the name", "one in the file", got=own.name, fix=fix)
    made = names[own.name]
    known = issubclass(made, nn.Module) if isinstance(made, type) else isinstance(made, nn.Module) or callable(made)
    if not known:
        got = f"class {made.__name__}" if isinstance(made, type) else type(made).__name__
        fix = f"let {own.name} be an nn.Module, a class of one, or a function that returns one"
        raise ConfigError(str(own.path), own.name, "a module, or what makes one", got=got, fix=fix)
    return made


def _is_own(value: Any, names: Mapping[str, Any]) -> bool:
    """Whether it is a module, or a class or function of the file itself."""
    return isinstance(value, nn.Module) or (callable(value) and getattr(value, "__module__", "") == names["__name__"])


def _parameters(own: OwnFile, made: Any) -> dict[str, inspect.Parameter]:
    """Option -> the parameter that takes it; nothing where there is nothing to call."""
    if isinstance(made, nn.Module):
        return {}
    try:
        signature = inspect.signature(made)
    except (TypeError, ValueError):
        fix = "wrap it in a function with named parameters"
        raise ConfigError(str(own.path), own.name, "of a known signature", got="none", fix=fix) from None
    taken: dict[str, inspect.Parameter] = {}
    for name, parameter in signature.parameters.items():
        option = ALIASES.get(name, name)
        if option in ARGUMENTS and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            taken[option] = parameter
        elif parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            what, must = f"the parameter {name!r} of {own.name}", f"one of {', '.join(ARGUMENTS)}, or have a default"
            fix = f"give it a default, as in: {name}=..."
            raise ConfigError(str(own.path), what, must, got="one that nobody can know", fix=fix)
    return taken


def _built(own: OwnFile, made: Any, arguments: Mapping[str, Any]) -> nn.Module:
    if isinstance(made, nn.Module):
        return guarded(own.path, f"a copy of {own.name}", deepcopy, {}, made)  # the user's own stays as it is
    module = guarded(own.path, f"{own.name}({', '.join(f'{k}={v}' for k, v in arguments.items())})", made, arguments)
    if not isinstance(module, nn.Module):
        fix = f"let {own.name} return an nn.Module"
        raise ConfigError(str(own.path), own.name, "what makes an nn.Module", got=type(module).__name__, fix=fix)
    return module


def check_output(location: str, network: nn.Module, batch: Tensor, classes: int) -> None:
    """Refuse a network that does not make a logit a class, by trying it once in evaluation.

    Args:
        location: FILE.py:NAME, for the error.
        network: as it was built; it is left as it was.
        batch: pictures as it will get them.
        classes: how many.

    Raises:
        ConfigError: its forward fails, or what it makes has another shape.
    """
    path, name = _parts(location)
    training = network.training
    network.eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        y = guarded(path, f"{name} on pictures of {tuple(batch.shape)}", network, {}, batch)
    network.train(training)
    must = f"{(len(batch), classes)}, a logit for each of {classes} classes"
    shape = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
    if shape != (len(batch), classes):
        what = f"the output of {name} for {len(batch)} pictures"
        fix = f"let its last layer have {classes} outputs; num_classes in its signature is given as many"
        raise ConfigError(str(path), what, must, got=shape, fix=fix)


class Keyed(nn.Module):
    """The user's network while it trains: what it draws, by torch's layers or its own, belongs to the step.

    So a run that is resumed draws what the unbroken one drew.  Outside an engine and in evaluation it changes nothing.

    Args:
        network: the user's.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Any:
        """What the network makes, under a generator that the step has set."""
        now = current_step()
        if now is None or not self.training:
            return self.network(x)
        seed = derive(now.seed, Purpose.DROPOUT, now.step, now.first_row)
        with torch.random.fork_rng(devices=[x.device] if x.is_cuda else []):
            torch.default_generator.manual_seed(seed)
            if x.is_cuda:
                torch.cuda.manual_seed(seed)
            return self.network(x)
