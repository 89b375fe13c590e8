import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate.base.errors import DataError, ResourceError
from striate.data.decode import decoded
from striate.data.decoders import Decoders
from striate.data.items import ArrayItems, FileItems
from striate.data.picture import Picture

SOURCE = Path(__file__).resolve().parents[2] / "src"
PICTURE = Picture(3, 6, 7)
# Items that do to a worker what decoders, disks and users do; the workers import them from a file.
HOSTILE = """
import os, re, signal, time
import numpy as np

class Items:
    def __init__(self, rows=range(100)): self.rows = list(rows)
    def __len__(self): return len(self.rows)
    def pick(self, rows): return type(self)([self.rows[i] for i in rows])
    def content(self, row, name):
        if self.rows[row] == 5: self.trouble()
        return np.full((6, 7, 3), self.rows[row], np.uint8)

class Slow(Items):
    def trouble(self): time.sleep(0.5)
class Raising(Items):
    def trouble(self): raise RuntimeError("a library's own fault")
class Hanging(Items):
    def trouble(self): time.sleep(1000)
class HoldingTheInterpreter(Items):
    def trouble(self): re.match("(a+)+b", "a" * 64)
class Stopped(Items):
    def trouble(self): os.kill(os.getpid(), signal.SIGSTOP)
class WithoutMemory(Items):
    def trouble(self): return bytearray(2**62)
class Crashing(Items):
    def trouble(self): os.kill(os.getpid(), signal.SIGSEGV)
class Killed(Items):
    def trouble(self): os.kill(os.getpid(), signal.SIGKILL)
class Leaving(Items):
    def trouble(self): os._exit(7)
"""
NAMES = [f"shard.tar/{i}.png" for i in range(100)]


@pytest.fixture
def hostile(tmp_path, monkeypatch):
    folder = tmp_path / "hostile"
    folder.mkdir()
    (folder / "hostile_items.py").write_text(HOSTILE)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop("hostile_items", None)
    import hostile_items

    return hostile_items


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def all_gone(pids, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(alive, pids))


def test_pictures_come_in_the_order_of_the_rows_as_one_process_decodes_them(tmp_path, draw_picture):
    paths = [draw_picture(tmp_path / f"{i}.png", seed=i, size=(9 + i, 12)) for i in range(20)]
    items, names = FileItems(tuple(paths)), [path.name for path in paths]
    rows = np.array([7, 3, 3, 19, 0, 12, 5], dtype=np.int64)
    for workers in (1, 3):
        with Decoders(PICTURE, workers) as decoders:
            for _ in range(2):
                pixels, faults = decoders.gather(items, names, rows)
                assert faults == ()
                for place, row in enumerate(rows):
                    alone = decoded(items.content(int(row), names[row]), PICTURE)
                    np.testing.assert_array_equal(pixels[place], alone.transpose(1, 2, 0))
            assert decoders.gather(items, names, rows[:0])[0].shape == (0, 6, 7, 3)


def test_pixels_larger_than_any_buffer_arrive(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (5, 900, 1100, 3), dtype=np.uint8)
    with Decoders(Picture(3, 900, 1100), 2) as decoders:
        pixels, _ = decoders.gather(ArrayItems(array), NAMES, np.arange(5))
    np.testing.assert_array_equal(pixels, array)


def test_faults_are_listed_in_order_and_the_others_arrive(tmp_path, draw_picture):
    paths = [draw_picture(tmp_path / f"{i}.png", seed=i) for i in range(12)]
    paths[2].unlink()
    paths[9].write_bytes(b"text")
    names = [path.name for path in paths]
    with Decoders(PICTURE, 2) as decoders:
        pixels, faults = decoders.gather(FileItems(tuple(paths)), names, np.arange(12))
        assert [(fault.path, fault.kind) for fault in faults] == [("2.png", "missing"), ("9.png", "not-a-picture")]
        assert [bool(pixels[i].any()) for i in range(12)] == [i not in (2, 9) for i in range(12)]
        assert decoders.gather(FileItems(tuple(paths)), names, np.array([3]))[1] == ()  # it goes on


def test_channels_that_cannot_be_converted_are_a_fault_of_the_file():
    with Decoders(PICTURE, 1) as decoders:
        _, (fault,) = decoders.gather(ArrayItems(np.zeros((1, 6, 7, 5), np.uint8)), NAMES, np.array([0]))
    assert (fault.path, fault.kind) == ("shard.tar/0.png", "pixels")
    assert fault.reason.startswith("the image must be of 3 channels")


TROUBLE = {
    "Raising": (DataError, r"shard\.tar/5\.png: .*got RuntimeError: a library's own fault in worker \d \("),
    "Crashing": (DataError, r"shard\.tar/5\.png: .*got worker \d \(process \d+\) killed by SIGSEGV"),
    "Killed": (ResourceError, r"worker \d \(process \d+\) must be running, got killed by SIGKILL at shard\.tar/5"),
    "Leaving": (ResourceError, r"worker \d \(process \d+\) must be running, got ended with code 7 at shard\.tar/5"),
    "WithoutMemory": (ResourceError, r"enough for shard\.tar/5\.png, got none left in worker \d"),
    "Hanging": (ResourceError, r"worker \d.*: every picture must be done within 1 s, got no answer at shard\.tar/5"),
    "HoldingTheInterpreter": (ResourceError, r"worker \d.* within 1 s, got no answer at shard\.tar/5"),
    "Stopped": (ResourceError, r"worker \d.* within 1 s, got no answer at shard\.tar/5"),
}
RARE = ("Leaving", "WithoutMemory", "HoldingTheInterpreter", "Stopped")
CASES = [pytest.param(name, marks=pytest.mark.slow if name in RARE else ()) for name in TROUBLE]


@pytest.mark.parametrize("items", CASES)
def test_a_worker_in_trouble_ends_the_batch_with_its_name_and_the_files(hostile, items):
    error, text = TROUBLE[items]
    with Decoders(PICTURE, 2, seconds=1.0) as decoders:
        pids = decoders.pids
        started = time.monotonic()
        with pytest.raises(error, match=text) as caught:
            decoders.gather(getattr(hostile, items)(), NAMES, np.arange(40))
        assert time.monotonic() - started < 10
        assert caught.value.exit_code == (3 if error is DataError else 6)
        assert all_gone(pids)
        with pytest.raises(ResourceError, match="a closed pool"):
            decoders.gather(hostile.Slow(), NAMES, np.arange(2))


def test_a_worker_killed_from_outside_is_noticed_at_work_and_between_batches(hostile):
    for moment in ("at work", "between"):
        with Decoders(PICTURE, 2) as decoders:
            decoders.gather(hostile.Slow(), NAMES, np.arange(6, 20))
            victim = decoders.pids[1]
            if moment == "between":
                os.kill(victim, signal.SIGKILL)
                assert all_gone([victim])
            else:
                threading.Timer(0.1, os.kill, (victim, signal.SIGKILL)).start()
            with pytest.raises(ResourceError, match=rf"worker 1 \(process {victim}\) must be running, got killed by"):
                decoders.gather(hostile.Slow(), NAMES, np.full(40, 5))


def test_a_slow_picture_is_no_hang(hostile):
    with Decoders(PICTURE, 2, seconds=2.0) as decoders:
        pixels, _ = decoders.gather(hostile.Slow(), NAMES, np.array([5, 5, 5, 5, 5, 5, 5, 5, 1]))
    assert pixels[:, 0, 0, 0].tolist() == [5] * 8 + [1]


PARENT = """
import signal, sys, time
import numpy as np
from striate.data.decoders import Decoders
from striate.data.picture import Picture
import hostile_items

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
with Decoders(Picture(3, 6, 7), 2) as decoders:
    print(*decoders.pids, flush=True)
    items = getattr(hostile_items, sys.argv[1])()
    decoders.gather(items, [str(i) for i in range(100)], np.array([5, 5, 5, 5]))
"""


def parent(hostile, items: str) -> tuple[subprocess.Popen, list[int]]:
    """A process of its own whose workers are at work, and their numbers."""
    folder = Path(hostile.__file__).parent
    environment = os.environ | {"PYTHONPATH": f"{SOURCE}:{folder}"}
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, items],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    pids = [int(word) for word in process.stdout.readline().split()]
    assert len(pids) == 2
    time.sleep(0.5)
    assert all(map(alive, pids))
    return process, pids


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("Hanging", "Stopped")]


@pytest.mark.parametrize("items", ["HoldingTheInterpreter", *SLOW])
def test_no_worker_outlives_a_killed_parent(hostile, items):
    process, pids = parent(hostile, items)
    process.kill()
    process.communicate()
    assert all_gone(pids)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_to_the_whole_group_is_the_parents_to_answer(hostile, number):
    process, pids = parent(hostile, "Hanging")
    os.killpg(process.pid, number)
    _, told = process.communicate(timeout=20)
    assert process.returncode == -number
    assert told.count("Traceback") == (number == signal.SIGINT)  # the parent's own, of a script without a handler
    assert all_gone(pids)


def test_workers_know_no_torch_and_share_no_memory(hostile):
    with Decoders(PICTURE, 1) as decoders:
        decoders.gather(ArrayItems(np.zeros((4, 6, 7, 3), np.uint8)), NAMES, np.arange(4))
        maps = Path(f"/proc/{decoders.pids[0]}/maps").read_text()
    assert "Pillow" in maps or "PIL" in maps
    assert "torch" not in maps
    assert not [line for line in maps.splitlines() if "/dev/shm" in line or "rw-s" in line]


def test_nothing_is_written_to_any_file_system():
    """With a limit of 0 bytes a file, shared memory could not be made either: a full /dev/shm does not matter."""
    script = """
        import resource
        import numpy as np
        from striate.data.decoders import Decoders
        from striate.data.items import ArrayItems
        from striate.data.picture import Picture

        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        try:
            with open("/dev/shm/striate-test", "wb") as file:
                file.write(b"x")
            raise SystemExit("the limit does not hold")
        except OSError:
            pass
        with Decoders(Picture(3, 300, 300), 2) as decoders:
            array = np.arange(40, dtype=np.uint8).repeat(270000).reshape(40, 300, 300, 3)
            pixels, faults = decoders.gather(ArrayItems(array), [str(i) for i in range(40)], np.arange(40))
        assert (pixels == array).all() and not faults
    """
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    made = subprocess.run(
        [sys.executable, "-B", "-c", textwrap.dedent(script)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    Path("/dev/shm/striate-test").unlink(missing_ok=True)
    assert made.returncode == 0, made.stderr


def test_the_folder_in_which_the_user_stands_is_not_imported_from(tmp_path, monkeypatch):
    (tmp_path / "numpy.py").write_text("raise SystemExit('wrong numpy')")
    monkeypatch.chdir(tmp_path)
    with Decoders(PICTURE, 1) as decoders:
        assert decoders.gather(ArrayItems(np.ones((1, 6, 7, 3), np.uint8)), NAMES, np.array([0]))[0].all()


def test_processes_that_cannot_be_started_say_so(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr("striate.data.decoders._COMMAND", ("/nowhere/python",))
    with pytest.raises(ResourceError, match=r"a worker process must be started, got No such file"):
        Decoders(PICTURE, 2)


def test_real_photographs_are_decoded_alike_by_processes(real_data):
    paths = tuple(sorted((real_data / "photos-hymenoptera").rglob("*.jpg"))[:12])
    items, names, picture = FileItems(paths), [path.name for path in paths], Picture(3, 64, 64)
    with Decoders(picture, 2) as decoders:
        pixels, faults = decoders.gather(items, names, np.arange(12))
    assert faults == ()
    for row in range(12):
        with Image.open(paths[row]) as image:
            assert image.size[0] > 64
        np.testing.assert_array_equal(pixels[row], decoded(items.content(row, names[row]), picture).transpose(1, 2, 0))
