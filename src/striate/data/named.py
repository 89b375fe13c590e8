"""Sets by name: fetched into the cache and opened from there."""

from collections.abc import Callable
from pathlib import Path

from striate.data.cifar import CIFAR10, CIFAR100, open_cifar
from striate.data.fetch import Progress, fetch
from striate.data.idx import find_packed, read_parts
from striate.data.samples import Source

_GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def open_named(name: str, progress: Progress | None = None) -> Source:
    """Fetch a set where it is not there yet, and open it.

    Args:
        name: mnist, fashion-mnist, cifar10 or cifar100.
        progress: called with (bytes there, bytes in all) while something is fetched.

    Raises:
        ConfigError, DataError, ResourceError: as `fetch`.
    """
    folder = fetch(name, progress)
    return _OPENERS[name](name, folder)


def _mnist(name: str, folder: Path) -> Source:
    return read_parts(name, name, find_packed(folder))


def _fashion(name: str, folder: Path) -> Source:
    return read_parts(name, name, find_packed(folder), _GARMENTS)


def _cifar10(name: str, folder: Path) -> Source:
    return open_cifar(folder / "cifar-10-binary.tar.gz", CIFAR10, name)


def _cifar100(name: str, folder: Path) -> Source:
    return open_cifar(folder / "cifar-100-binary.tar.gz", CIFAR100, name)


_OPENERS: dict[str, Callable[[str, Path], Source]] = {
    "mnist": _mnist,
    "fashion-mnist": _fashion,
    "cifar10": _cifar10,
    "cifar100": _cifar100,
}
