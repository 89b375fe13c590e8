import os
import pickle
import threading

import numpy as np
import pytest

from striate.data import members
from striate.data.decode import DecodeFault
from striate.data.items import Items
from striate.data.members import MemberItems, Shard


@pytest.fixture
def items(tmp_path):
    """100 members of 50 bytes each in each of 5 files; member i of file s is bytes of (7 s + i) % 251."""
    shards = []
    for s in range(5):
        path = tmp_path / f"{s}.tar"
        path.write_bytes(b"".join(bytes([(7 * s + i) % 251]) * 50 for i in range(100)))
        status = path.stat()
        shards.append(Shard(path, status.st_size, status.st_mtime_ns))
    shard = np.repeat(np.arange(5), 100)
    return MemberItems(tuple(shards), shard, np.tile(np.arange(100) * 50, 5), np.full(500, 50))


def expected(row: int) -> bytes:
    return bytes([(7 * (row // 100) + row % 100) % 251]) * 50


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_every_member_is_read_at_its_place(items):
    assert isinstance(items, Items)
    assert [items.content(row, "x") for row in range(500)] == [expected(row) for row in range(500)]


def test_picked_members_travel_with_the_shards_that_they_need(items):
    picked = items.pick(np.array([420, 3, 421]))
    copy = pickle.loads(pickle.dumps(picked))
    for some in (picked, copy):
        assert [some.content(i, "x") for i in range(3)] == [expected(row) for row in (420, 3, 421)]
    assert [shard.path.name for shard in copy.shards] == ["0.tar", "4.tar"]


def test_few_files_are_open_whatever_many_threads_ask_for(items, monkeypatch):
    monkeypatch.setattr(members, "_HANDLES", members._Handles(2))
    before, wrong = open_files(), []

    def read(seed):
        rows = np.random.default_rng(seed).integers(0, 500, 400).tolist()
        wrong.extend(row for row in rows if items.content(row, "x") != expected(row))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert open_files() <= before + 2


def test_a_forked_child_reads_on(items):
    items.content(0, "x")
    with members._HANDLES._lock:  # as if another thread were reading at this moment
        child = os.fork()
        if child == 0:
            os._exit(0 if items.content(7, "x") == expected(7) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:60]), "damaged", r"1\.tar cannot be read \(changed since"),
        (lambda path: os.utime(path, (1, 1)), "damaged", r"1\.tar cannot be read \(changed since it was indexed\)"),
    ],
)
def test_a_changed_shard_is_noticed(items, opened, change, kind, reason):
    if opened:
        items.content(101, "x")
    change(items.shards[1].path)
    with pytest.raises(DecodeFault, match=rf"1\.tar/a\.png: {reason}") as caught:
        items.content(101, "1.tar/a.png")
    assert caught.value.kind == kind


def test_a_lost_or_locked_or_odd_shard_is_told(items):
    path = items.shards[2].path
    path.unlink()
    with pytest.raises(DecodeFault, match=r"no such file: 2\.tar"):
        items.content(201, "x")
    os.mkfifo(path)
    with pytest.raises(DecodeFault, match=r"2\.tar cannot be read \(not a regular file\)"):
        items.content(201, "x")


def test_a_member_over_the_limit_is_not_read(items):
    huge = MemberItems(items.shards, items.shard, items.offsets, np.full(500, 2**40))
    with pytest.raises(DecodeFault, match="too large: 1099511627776 bytes, limit"):
        huge.content(0, "x")
