"""Against a real server on this machine, with the true files of MNIST under their published digests."""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from striate.base.errors import ConfigError, DataError, ResourceError
from striate.data import fetch as fetch_module
from striate.data.download import Patience
from striate.data.fetch import fetch
from striate.data.named_sets import NAMED_SETS

LARGE = "train-images-idx3-ubyte.gz"  # 9.9 MB
SMALL = "t10k-labels-idx1-ubyte.gz"  # 4.5 kB
SIZE = {file.name: file.size for file in NAMED_SETS["mnist"].files}
PIECE = 2**16
NOWHERE = "http://127.0.0.1:9/"  # nothing listens there


class Mirror(ThreadingHTTPServer):
    """A web server whose faults can be chosen.

    cuts: after how many bytes of the large file each answer in turn breaks off; wait: seconds before each piece.
    """

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder, self.cuts, self.wait, self.ranges, self.etag = folder, [], 0.0, True, '"1"'
        self.status, self.headers, self.replaced = 200, {}, {}
        self.asked, self.sent = [], []  # (file, Range, If-Range); bytes of each answer
        self.url = f"http://127.0.0.1:{self.server_address[1]}/mnist/"

    def handle_error(self, request, client_address):
        pass  # clients that go away in the middle are what we are here for

    def ranges_of(self, name):
        return [asked[1] for asked in self.asked if asked[0] == name]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        mirror, name = self.server, self.path.rsplit("/", 1)[-1]
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        mirror.asked.append((name, wanted, condition))
        mirror.sent.append(0)
        place = len(mirror.sent) - 1
        if mirror.status != 200:
            self.send_response(mirror.status)
            for header in mirror.headers.items():
                self.send_header(*header)
            self.end_headers()
            return
        content = mirror.replaced.get(name) or (mirror.folder / name).read_bytes()
        start = 0
        if wanted and mirror.ranges and condition in (None, mirror.etag):
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if mirror.etag:
            self.send_header("ETag", mirror.etag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + mirror.cuts.pop(0) if mirror.cuts and name == LARGE else len(content)
        for at in range(start, min(end, len(content)), PIECE):
            time.sleep(mirror.wait if name == LARGE else 0)
            self.wfile.write(piece := content[at : min(at + PIECE, end)])
            mirror.sent[place] += len(piece)

    def log_message(self, *args):
        pass


@pytest.fixture
def serve(real_data, tmp_path, monkeypatch):
    """Starts mirrors of MNIST; the cache is a folder of this test."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    for name in ("STRIATE_MIRROR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    started = []

    def start():
        mirror = Mirror(real_data / "mnist")
        thread = threading.Thread(target=mirror.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        started.append((mirror, thread))
        return mirror

    yield start
    for mirror, thread in started:
        mirror.shutdown()
        mirror.server_close()
        thread.join()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / "downloads" / "mnist"


@pytest.fixture
def only_large(real_data, folder):
    """All files but the large one lie there already."""
    folder.mkdir(parents=True)
    for name in SIZE.keys() - {LARGE}:
        shutil.copy(real_data / "mnist" / name, folder)


def whole(folder, real_data):
    same = all((folder / name).read_bytes() == (real_data / "mnist" / name).read_bytes() for name in SIZE)
    return same and not list(folder.glob("*.part*"))


def test_the_files_come_once_and_the_progress_tells_the_bytes(serve, folder, real_data):
    mirror, told = serve(), []
    assert fetch("mnist", lambda *now: told.append(now), mirrors=[mirror.url]) == folder
    assert whole(folder, real_data)
    assert told == sorted(told)
    assert told[-1] == (sum(SIZE.values()), sum(SIZE.values()))
    assert [asked[0] for asked in mirror.asked] == list(SIZE)
    fetch("mnist", mirrors=[mirror.url])
    assert len(mirror.asked) == 4


def test_a_connection_cut_in_the_middle_is_continued(serve, folder, real_data, only_large):
    mirror = serve()
    mirror.cuts = [3_000_000, *[1_000_000] * 5]
    fetch("mnist", mirrors=[mirror.url])
    assert whole(folder, real_data)
    assert mirror.ranges_of(LARGE) == [None, *(f"bytes={at}000000-" for at in range(3, 9))]
    assert sum(mirror.sent) == SIZE[LARGE]


def test_another_mirror_continues_what_one_began(serve, folder, real_data, only_large):
    first, second = serve(), serve()
    first.cuts, second.etag = [3_000_000, 0], '"2"'
    fetch("mnist", mirrors=[first.url, second.url])
    assert whole(folder, real_data)
    assert second.asked == [(LARGE, "bytes=3000000-", None)]  # an ETag means nothing to another server


def test_a_server_that_ignores_ranges_is_asked_for_all(serve, folder, real_data, only_large):
    mirror = serve()
    mirror.cuts, mirror.ranges = [3_000_000], False
    fetch("mnist", mirrors=[mirror.url])
    assert whole(folder, real_data)
    assert mirror.sent == [3_000_000, SIZE[LARGE]]


def test_a_file_that_changed_between_two_parts_is_begun_anew(serve, folder, real_data, only_large):
    mirror = serve()
    mirror.cuts, mirror.replaced = [3_000_000, 0, 0], {LARGE: bytes(SIZE[LARGE])}
    with pytest.raises(DataError, match=r"broke off \d+ bytes before the end"):
        fetch("mnist", mirrors=[mirror.url])
    mirror.replaced, mirror.etag, mirror.cuts = {}, '"2"', []
    fetch("mnist", mirrors=[mirror.url])
    assert mirror.asked[-1] == (LARGE, "bytes=3000000-", '"1"')
    assert mirror.sent[-1] == SIZE[LARGE]
    assert whole(folder, real_data)


def test_a_damaged_part_is_noticed_and_begun_anew(serve, folder, real_data, only_large):
    mirror = serve()
    (folder / f"{LARGE}.part").write_bytes(bytes(5_000_000))
    fetch("mnist", mirrors=[mirror.url])
    assert whole(folder, real_data)
    assert mirror.sent == [SIZE[LARGE] - 5_000_000, SIZE[LARGE]]


@pytest.mark.parametrize("surplus", [0, 17])
def test_a_part_that_is_long_enough_is_not_trusted(serve, folder, real_data, only_large, surplus):
    mirror = serve()
    (folder / f"{LARGE}.part").write_bytes(bytes(SIZE[LARGE] + surplus))
    fetch("mnist", mirrors=[mirror.url])
    assert whole(folder, real_data)


def test_a_part_that_is_whole_needs_no_connection(serve, folder, real_data, only_large):
    shutil.copy(real_data / "mnist" / LARGE, folder / f"{LARGE}.part")
    fetch("mnist", mirrors=[NOWHERE])
    assert whole(folder, real_data)


def wrong(mirror):
    mirror.replaced = {name: bytes(size) for name, size in SIZE.items()}


def short(mirror):
    mirror.replaced = {LARGE: b"<html>sign in to this network</html>"}


def absent(mirror):
    mirror.status = 404


def elsewhere(mirror):
    mirror.status, mirror.headers = 302, {"Location": "file:///etc/passwd"}


def to_ftp(mirror):
    mirror.status, mirror.headers = 302, {"Location": "ftp://127.0.0.1/x"}


def in_a_circle(mirror):
    mirror.status, mirror.headers = 302, {"Location": mirror.url + LARGE}


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (wrong, r"other content \(MD5 [0-9a-f]{32}, published is f68b3c2dcbeaaa9fbdd348bbdeb94873\)"),
        (short, r"announces 36 bytes where 9912422 are published"),
        (absent, r"HTTP 404 Not Found"),
        (elsewhere, r"HTTP 302 .*Redirection to url 'file:///etc/passwd' is not allowed"),
        (to_ftp, r"no connection \(unknown url type: ftp\)"),
        (in_a_circle, r"HTTP 302 .*infinite loop"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_mirror_at_fault_is_told_and_the_next_one_asked(serve, folder, real_data, only_large, fault, told):
    bad, good = serve(), serve()
    fault(bad)
    with pytest.raises(DataError, match=rf"got from none:\n    {bad.url}{LARGE}: {told}") as caught:
        fetch("mnist", mirrors=[bad.url])
    assert caught.value.exit_code == 3
    assert not (folder / LARGE).exists()
    fetch("mnist", mirrors=[bad.url, good.url])
    assert whole(folder, real_data)


def test_a_redirection_is_followed(serve, folder, real_data, only_large):
    first, second = serve(), serve()
    elsewhere(first)
    first.headers = {"Location": second.url + LARGE}
    fetch("mnist", mirrors=[first.url])
    assert whole(folder, real_data)


@pytest.mark.parametrize(("wait", "told"), [(0.9, r"timed out"), (0.4, r"too slow: \d+ bytes a second")])
def test_a_silent_or_slow_mirror_is_left(serve, folder, real_data, only_large, wait, told):
    slow, good = serve(), serve()
    slow.wait = wait
    hasty = Patience(silence=0.6, slowest=10**6, window=0.3)
    with pytest.raises(DataError, match=told):
        fetch("mnist", mirrors=[slow.url], patience=hasty)
    fetch("mnist", mirrors=[slow.url, good.url], patience=hasty)
    assert whole(folder, real_data)


@pytest.mark.parametrize("name", sorted(NAMED_SETS))
def test_without_a_network_the_text_says_what_to_do_by_hand(serve, monkeypatch, tmp_path, name):
    for scheme in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(scheme, NOWHERE)
    begin = time.monotonic()
    with pytest.raises(DataError, match="had from a mirror") as caught:
        fetch(name)
    assert time.monotonic() - begin < 5
    file, text = NAMED_SETS[name].files[0].name, str(caught.value)
    for mirror in NAMED_SETS[name].mirrors:
        assert f"{mirror}{file}: no connection" in text
    assert f"put the file by hand, as it is, into {tmp_path}/cache/downloads/{name} from http" in text


def test_files_put_there_by_hand_are_taken(serve, folder, real_data):
    shutil.copytree(real_data / "mnist", folder)
    fetch("mnist", mirrors=[NOWHERE])
    assert sorted(path.name for path in folder.iterdir()) == sorted(SIZE)  # nothing was written, not even a lock


def test_a_damaged_file_of_the_cache_is_replaced_when_the_whole_one_has_come(serve, folder, real_data):
    mirror = serve()
    fetch("mnist", mirrors=[mirror.url])
    damaged = b"x" + (folder / SMALL).read_bytes()[1:]
    (folder / SMALL).write_bytes(damaged)
    with pytest.raises(DataError, match=f"{SMALL} must be had from a mirror"):
        fetch("mnist", mirrors=[NOWHERE])
    assert (folder / SMALL).read_bytes() == damaged
    fetch("mnist", mirrors=[mirror.url])
    assert whole(folder, real_data)
    assert len(mirror.asked) == 5


def test_a_digest_is_computed_once_in_a_process(serve, folder, real_data, monkeypatch):
    shutil.copytree(real_data / "mnist", folder)
    fetch("mnist")
    monkeypatch.setattr(fetch_module, "md5", None)
    fetch("mnist")


def test_an_own_mirror_is_asked_first(serve, folder, real_data, monkeypatch):
    own, other = serve(), serve()
    monkeypatch.setenv("STRIATE_MIRROR", own.url.removesuffix("/mnist/"))
    fetch("mnist", mirrors=[other.url])
    assert (len(own.asked), len(other.asked)) == (4, 0)
    assert whole(folder, real_data)


@pytest.mark.parametrize("url", ["ftp://example.org", "/srv/data", "https:///x", "https://me:secret@example.org"])
def test_a_mirror_that_is_no_web_address_is_refused(serve, monkeypatch, url):
    monkeypatch.setenv("STRIATE_MIRROR", url)
    with pytest.raises(ConfigError, match=r"a mirror \(STRIATE_MIRROR\) must be an http or https URL") as caught:
        fetch("mnist")
    assert "secret" not in str(caught.value)


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(ConfigError, match=r"got 'cifar-10'\.\n  Fix: did you mean 'cifar10'\?"):
        fetch("cifar-10")


def test_too_little_space_is_told_before_the_download(serve, folder, only_large, monkeypatch):
    mirror = serve()
    usage = shutil.disk_usage(folder)._replace(free=9_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(ResourceError, match=r"needs 9\.9 MB, 9\.0 MB free\)\.\n  Fix: free some space, or set"):
        fetch("mnist", mirrors=[mirror.url])
    assert not list(folder.glob("*.part"))


SCRIPT = """
import resource, sys
from striate.base.errors import StriateError
from striate.data.fetch import fetch
if len(sys.argv) > 2:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    fetch("mnist", mirrors=[sys.argv[1]])
except StriateError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def start(*arguments):
    command = [sys.executable, "-c", SCRIPT, *arguments]
    return subprocess.Popen(command, env=os.environ.copy(), stdout=subprocess.PIPE, text=True)


def test_a_full_disk_damages_nothing_and_what_came_is_kept(serve, folder, real_data, only_large):
    mirror = serve()
    process = start(mirror.url, "2000000")
    text = process.communicate(timeout=60)[0]
    assert process.returncode == 6
    assert re.search(r"no space left while writing .*\n  Fix: .*what came is kept", text), text
    assert (folder / f"{LARGE}.part").stat().st_size == 2_000_000
    fetch("mnist", mirrors=[mirror.url])
    assert mirror.ranges_of(LARGE) == [None, "bytes=2000000-"]
    assert whole(folder, real_data)


def test_a_killed_download_is_continued(serve, folder, real_data, only_large):
    mirror = serve()
    mirror.wait = 0.01
    process = start(mirror.url)
    while sum(mirror.sent) < 4_000_000:
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=60)
    came = (folder / f"{LARGE}.part").stat().st_size
    assert 2_000_000 < came < SIZE[LARGE]
    mirror.wait = 0
    fetch("mnist", mirrors=[mirror.url])
    assert mirror.ranges_of(LARGE) == [None, f"bytes={came}-"]
    assert mirror.sent[-1] == SIZE[LARGE] - came
    assert whole(folder, real_data)


def test_of_two_processes_at_once_one_fetches(serve, folder, real_data):
    mirror = serve()
    mirror.wait = 0.005
    both = [start(mirror.url) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    for process in both:
        process.communicate()
    assert [asked[0] for asked in mirror.asked] == list(SIZE)
    assert whole(folder, real_data)
