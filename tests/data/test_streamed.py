import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from striate.base.errors import DataError
from striate.data.decoders import Decoders
from striate.data.picture import Picture
from striate.data.shard_order import batch_starts, shard_order
from striate.data.shards import open_shards
from striate.data.streamed import Streamed

SOURCE = Path(__file__).resolve().parents[2] / "src"


def make(folder: Path, shards: int, per_shard: int, size: int) -> None:
    """Shards of noise, uncompressed: PNG at level 0 is as large on disk as decoded."""
    rng = np.random.default_rng(0)
    for s in range(shards):
        with tarfile.open(folder / f"{s:03}.tar", "w") as archive:
            for i in range(per_shard):
                stream = io.BytesIO()
                noise = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
                Image.fromarray(noise).save(stream, "PNG", compress_level=0)
                for field, content in (("png", stream.getvalue()), ("cls", b"%d" % (i % 2))):
                    info = tarfile.TarInfo(f"{s:03}-{i:04}.{field}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))


@pytest.fixture
def samples(tmp_path):
    make(tmp_path, 3, 6, 10)
    return open_shards(tmp_path).parts["all"]


def test_pictures_come_in_the_order_asked_for_and_channels_last(samples):
    with Decoders(Picture(3, 10, 10), 2) as decoders:
        streamed = Streamed(samples, decoders)
        assert len(streamed) == 18
        rows = np.array([17, 0, 5, 5])
        found = streamed.gather(rows)
        assert found.shape == (4, 3, 10, 10)
        assert found.is_contiguous(memory_format=torch.channels_last)
        for place, row in enumerate(rows.tolist()):
            with Image.open(io.BytesIO(samples.items.content(row, "x"))) as image:
                np.testing.assert_array_equal(found[place].permute(1, 2, 0), np.asarray(image))
        picked = Streamed(samples.pick(np.array([5, 17])), decoders)  # a split of the same set, by the same workers
        assert torch.equal(picked.gather(np.array([1, 0])), found[[0, 2]])
        assert streamed.gather(rows[:0]).shape == (0, 3, 10, 10)


def test_a_shard_that_changes_or_goes_during_the_run_is_named(samples):
    with Decoders(Picture(3, 10, 10), 2) as decoders:
        streamed = Streamed(samples, decoders)
        streamed.gather(np.arange(18))
        os.utime(samples.items.shards[1].path, (1, 1))
        samples.items.shards[2].path.unlink()  # workers that hold it open may read on: they read what was indexed
        with pytest.raises(
            DataError, match=r"got \d+ of 18 that are not:\n    001\.tar/001-0000\.png: 001\.tar cannot be"
        ):
            streamed.gather(np.arange(18))
        assert streamed.gather(np.arange(6)).any()  # the others are read as before
    with (
        Decoders(Picture(3, 10, 10), 1) as decoders,
        pytest.raises(DataError, match=r"no such file: 002\.tar") as caught,
    ):
        Streamed(samples, decoders).gather(np.arange(12, 18))
    assert caught.value.exit_code == 3


# One epoch from batch `first` on; a line a batch: its number, a digest, the memory of all processes in MiB.
EPOCH = """
import hashlib, os, sys
from pathlib import Path
import torch
from striate.data.decoders import Decoders
from striate.data.picture import Picture
from striate.data.shard_order import batch_starts, shard_order
from striate.data.shards import open_shards
from striate.data.streamed import Streamed

def resident(pids):
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

folder, first, side = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(1)
samples = open_shards(folder).parts["all"]
order = shard_order(samples.items.shard, seed=3, epoch=2, window=200)
starts = batch_starts(len(samples), 32)
with Decoders(Picture(3, side, side), 2) as decoders:
    streamed = Streamed(samples, decoders)
    pids = (os.getpid(), *decoders.pids)
    print("start", "-", resident(pids), *pids, flush=True)
    for b in range(first, len(starts) - 1):
        batch = streamed.gather(order[starts[b] : starts[b + 1]].numpy())
        print(b, hashlib.sha256(batch.numpy().tobytes()).hexdigest(), resident(pids), flush=True)
"""


def epoch(folder: Path, first: int, side: int) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", EPOCH, str(folder), str(first), str(side)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def lines(process: subprocess.Popen) -> list[list[str]]:
    told = [line.split() for line in process.communicate(timeout=240)[0].splitlines()]
    assert process.returncode == 0
    return told


def digests(samples, size: int) -> list[str]:
    """What EPOCH tells of its batches, by this process."""
    order = shard_order(samples.items.shard, seed=3, epoch=2, window=200)
    with Decoders(Picture(3, size, size), 2) as decoders:
        streamed, starts = Streamed(samples, decoders), batch_starts(len(samples), 32)
        batches = [streamed.gather(order[a:b].numpy()) for a, b in pairwise(starts.tolist())]
    return [hashlib.sha256(batch.numpy().tobytes()).hexdigest() for batch in batches]


def test_a_run_killed_in_the_middle_goes_on_with_the_batches_that_were_left(tmp_path):
    make(tmp_path, 6, 60, 32)
    whole = [[str(b), digest] for b, digest in enumerate(digests(open_shards(tmp_path).parts["all"], 32))]
    assert len({digest for _, digest in whole}) == 12
    killed = epoch(tmp_path, 0, 32)
    pids = [int(word) for word in killed.stdout.readline().split()[3:]]
    done = [killed.stdout.readline().split() for _ in range(5)]
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    resumed = lines(epoch(tmp_path, 5, 32))[1:]
    assert [line[:2] for line in done + resumed] == whole
    for pid in pids:  # long gone, or a zombie without memory where nobody collects them
        memory = Path(f"/proc/{pid}/statm")
        assert not memory.exists() or memory.read_text().startswith("0 ")


LIMIT = 48  # MiB that all processes together may grow by, from before the first batch


@pytest.mark.slow
def test_memory_stays_flat_over_a_set_ten_times_larger_than_what_it_may_grow(tmp_path):
    make(tmp_path, 10, 256, 256)
    encoded = sum(path.stat().st_size for path in tmp_path.iterdir()) / 2**20
    decoded = 2560 * 256 * 256 * 3 / 2**20
    assert min(encoded, decoded) >= 10 * LIMIT
    told = lines(epoch(tmp_path, 0, 256))
    memory = [float(line[2]) for line in told]
    assert len(memory) == 1 + 80
    assert max(memory) - memory[0] < LIMIT, memory
    assert max(memory[40:]) - max(memory[5:40]) < 4, memory  # nothing that grows with every batch
