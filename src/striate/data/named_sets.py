"""The sets that are fetched by name: their files as published, and where those lie.

MNIST: LeCun, Cortes and Burges 1998.  Fashion-MNIST: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747.
CIFAR-10 and CIFAR-100: Krizhevsky 2009, "Learning multiple layers of features from tiny images".
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file as its makers published it.

    Args:
        name: the last part of its URL.
        size: in bytes.
        md5: in hexadecimal.
    """

    name: str
    size: int
    md5: str


@dataclass(frozen=True, slots=True)
class NamedSet:
    """The files of a set, and the folders on the web that hold all of them, best first."""

    files: tuple[RemoteFile, ...]
    mirrors: tuple[str, ...]

    @property
    def size(self) -> int:
        """Of all files, in bytes."""
        return sum(file.size for file in self.files)


_TORONTO = ("https://www.cs.toronto.edu/~kriz/",)

NAMED_SETS = {
    "mnist": NamedSet(
        files=(
            RemoteFile("train-images-idx3-ubyte.gz", 9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            RemoteFile("train-labels-idx1-ubyte.gz", 28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
            RemoteFile("t10k-images-idx3-ubyte.gz", 1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
            RemoteFile("t10k-labels-idx1-ubyte.gz", 4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
        ),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    ),
    "fashion-mnist": NamedSet(
        files=(
            RemoteFile("train-images-idx3-ubyte.gz", 26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            RemoteFile("train-labels-idx1-ubyte.gz", 29_515, "25c81989df183df01b3e8a0aad5dffbe"),
            RemoteFile("t10k-images-idx3-ubyte.gz", 4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
            RemoteFile("t10k-labels-idx1-ubyte.gz", 5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
        ),
        mirrors=(
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",  # it knows no https: the MD5 answers for it
        ),
    ),
    "cifar10": NamedSet(
        files=(RemoteFile("cifar-10-binary.tar.gz", 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530"),),
        mirrors=_TORONTO,
    ),
    "cifar100": NamedSet(
        files=(RemoteFile("cifar-100-binary.tar.gz", 168_513_733, "03b5dce01913d631647c71ecec9e9cb8"),),
        mirrors=_TORONTO,
    ),
}
