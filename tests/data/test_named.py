import hashlib
import io
import shutil
import tarfile
from dataclasses import replace

import numpy as np
import pytest

from striate.base.errors import DataError
from striate.data.cifar import CIFAR10, CIFAR100, open_cifar
from striate.data.named_sets import NAMED_SETS, NamedSet, RemoteFile
from striate.data.source import open_source, whole_location

RNG = np.random.default_rng(0)
TEN = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
HUNDRED = [f"thing-{i:02}" for i in range(100)]
NOWHERE = "http://127.0.0.1:9"  # nothing listens there


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty cache, and no network."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STRIATE_MIRROR", raising=False)
    for scheme in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(scheme, NOWHERE)
    return tmp_path / "cache" / "downloads"


def by_hand(folder, name):
    """Put the files of a set where a person would, under digests that are theirs."""
    files = [
        RemoteFile(path.name, path.stat().st_size, hashlib.md5(path.read_bytes()).hexdigest())
        for path in sorted(folder.iterdir())
    ]
    return replace(NAMED_SETS[name], files=tuple(files))


def test_mnist_by_name_is_the_folder_of_its_files(real_data, cache):
    shutil.copytree(real_data / "mnist", cache / "mnist")
    source, same = open_source("mnist"), open_source(str(real_data / "mnist"))
    assert (source.name, source.location, source.classes) == ("mnist", "mnist", tuple("0123456789"))
    for part in ("train", "test"):
        np.testing.assert_array_equal(source.parts[part].items.array, same.parts[part].items.array)
        np.testing.assert_array_equal(source.parts[part].labels, same.parts[part].labels)
        assert source.parts[part].names == same.parts[part].names


def test_only_the_published_files_are_read(real_data, cache):
    shutil.copytree(real_data / "mnist", cache / "mnist")
    (cache / "mnist" / "train-labels-idx1-ubyte").write_bytes(b"somebody's own, which a folder would prefer")
    assert len(open_source("mnist").parts["train"]) == 60_000


def test_the_garments_have_names(real_data, cache, monkeypatch):
    shutil.copytree(real_data / "mnist", cache / "fashion-mnist")  # any files of this form will do
    monkeypatch.setitem(NAMED_SETS, "fashion-mnist", by_hand(cache / "fashion-mnist", "fashion-mnist"))
    source, digits = open_source("fashion-mnist"), open_source(str(real_data / "mnist"))
    assert source.classes[:3] == ("Ankle boot", "Bag", "Coat")
    names = [source.classes[label] for label in source.parts["train"].labels[:6]]
    assert digits.parts["train"].labels[:6].tolist() == [5, 0, 4, 1, 9, 2]
    assert names == ["Sandal", "T-shirt/top", "Coat", "Trouser", "Ankle boot", "Pullover"]


@pytest.mark.parametrize("name", sorted(NAMED_SETS))
def test_a_name_without_a_network_ends_with_the_way_round(name):
    with pytest.raises(DataError, match=r"had from a mirror, got from none:\n    http") as caught:
        open_source(name)
    assert caught.value.exit_code == 3


def test_a_name_means_the_set_wherever_we_are(tmp_path, monkeypatch):
    (tmp_path / "mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    assert whole_location("mnist") == "mnist"
    assert whole_location("./mnist") == str(tmp_path / "mnist")


def pictures(count):
    return RNG.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def record(picture, *labels):
    """As the page of CIFAR describes it: the classes, then the planes one after the other."""
    planes = [bytes(int(picture[y, x, c]) for y in range(32) for x in range(32)) for c in range(3)]
    return bytes(labels) + b"".join(planes)


def packed(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


def ten(**changed):
    """The members of a small CIFAR-10, and its pictures and classes."""
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    images, labels = pictures(60), RNG.permutation(np.repeat(np.arange(10), 6))
    members = {"batches.meta.txt": "\n".join([*TEN, "", ""]).encode()}
    for at, name in zip(range(0, 60, 10), names, strict=True):
        rows = range(at, at + 10)
        members[f"{name}.bin"] = b"".join(record(images[i], labels[i]) for i in rows)
    members |= {name.replace("_bin", ".bin"): content for name, content in changed.items()}
    return {f"cifar-10-batches-bin/{k}": v for k, v in members.items() if v is not None}, images, labels


def test_cifar10_is_read_from_its_archive_by_name(cache, monkeypatch):
    members, images, labels = ten()
    packed(cache / "cifar10" / "cifar-10-binary.tar.gz", {"cifar-10-batches-bin/readme.html": b"<p>"} | members)
    monkeypatch.setitem(NAMED_SETS, "cifar10", by_hand(cache / "cifar10", "cifar10"))
    source = open_source("cifar10")
    assert (source.name, source.classes, source.channels, source.size) == ("cifar10", tuple(TEN), 3, (32, 32))
    np.testing.assert_array_equal(source.parts["train"].items.array, images[:50])
    np.testing.assert_array_equal(source.parts["test"].items.array, images[50:])
    assert source.parts["train"].labels.tolist() == labels[:50].tolist()
    assert source.parts["test"].labels.tolist() == labels[50:].tolist()
    assert source.parts["test"].names[3] == "test/3"


def test_cifar100_gives_the_fine_classes(cache, monkeypatch):
    images = pictures(110)
    fine = [*range(100), *range(10)]
    rows = [record(image, label % 20, label) for image, label in zip(images, fine, strict=True)]
    members = {
        "cifar-100-binary/train.bin": b"".join(rows[:100]),
        "cifar-100-binary/test.bin": b"".join(rows[100:]),
        "cifar-100-binary/fine_label_names.txt": "\n".join(HUNDRED).encode(),
        "cifar-100-binary/coarse_label_names.txt": b"animal\n",
    }
    packed(cache / "cifar100" / "cifar-100-binary.tar.gz", members)
    monkeypatch.setitem(NAMED_SETS, "cifar100", by_hand(cache / "cifar100", "cifar100"))
    source = open_source("cifar100")
    assert source.classes == tuple(HUNDRED)
    np.testing.assert_array_equal(source.parts["train"].items.array, images[:100])
    assert source.parts["test"].labels.tolist() == list(range(10))


def test_the_small_cifar10_packed_the_official_way_is_the_same(real_data, tmp_path):
    small = open_source(str(real_data / "cifar10-small"))
    members = {"cifar-10-batches-bin/batches.meta.txt": "\n".join(TEN).encode()}
    for part, names in CIFAR10.parts.items():
        x, y = small.parts[part].items.array, small.parts[part].labels.astype(np.uint8)
        rows = np.concatenate([y[:, None], x.transpose(0, 3, 1, 2).reshape(len(x), -1)], axis=1)
        for name, piece in zip(names, np.array_split(rows, len(names)), strict=True):
            members[f"cifar-10-batches-bin/{name}"] = piece.tobytes()
    source = open_cifar(packed(tmp_path / "x.tar.gz", members), CIFAR10, "cifar10")
    assert source.classes == small.classes
    for part in ("train", "test"):
        np.testing.assert_array_equal(source.parts[part].items.array, small.parts[part].items.array)
        np.testing.assert_array_equal(source.parts[part].labels, small.parts[part].labels)


GOOD = record(pictures(1)[0], 3)


@pytest.mark.parametrize(
    ("changed", "got"),
    [
        ({"test_batch_bin": None}, r"no cifar-10-batches-bin/test_batch\.bin in it"),
        ({"batches.meta.txt": None}, r"no cifar-10-batches-bin/batches\.meta\.txt in it"),
        ({"test_batch_bin": GOOD[:-1]}, r"3072 bytes of test_batch\.bin, no multiple of 3073"),
        ({"test_batch_bin": b""}, r"0 bytes of test_batch\.bin, no multiple of 3073"),
        ({"test_batch_bin": b"\x0a" + GOOD[1:]}, r"a class number 10 among 10 names"),
        ({"test_batch_bin": "/etc/passwd"}, r"no cifar-10-batches-bin/test_batch\.bin in it"),
        ({"batches.meta.txt": bytes(70_000)}, r"70000 bytes of batches\.meta\.txt, more than 65536"),
    ],
    ids=["no test", "no names", "short", "empty", "class", "link", "long names"],
)
def test_an_archive_with_other_members_says_what_came(tmp_path, changed, got):
    path = packed(tmp_path / "x.tar.gz", ten(**changed)[0])
    with pytest.raises(DataError, match=rf"must be a whole CIFAR archive, got {got}\.\n  Fix: fetch the binary"):
        open_cifar(path, CIFAR10, "cifar10")


def test_a_damaged_archive_is_told(tmp_path):
    path = packed(tmp_path / "x.tar.gz", ten()[0])
    whole = path.read_bytes()
    for content in (b"", b"no archive", whole[: len(whole) // 2], whole[:5000] + b"\0\1" + whole[5002:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"must be a whole CIFAR archive, got "):
            open_cifar(path, CIFAR10, "cifar10")
    with pytest.raises(DataError, match=r"must be a whole CIFAR archive, got .*No such file"):
        open_cifar(tmp_path / "none.tar.gz", CIFAR100, "cifar100")


def test_the_table_of_sets_is_whole():
    assert all(isinstance(entry, NamedSet) and entry.mirrors for entry in NAMED_SETS.values())
    for entry in NAMED_SETS.values():
        assert all(len(file.md5) == 32 and file.size > 0 for file in entry.files)
        assert all(mirror.endswith("/") for mirror in entry.mirrors)
