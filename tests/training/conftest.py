import multiprocessing
import os
import pickle
import socket
import warnings

import pytest

from striate.training.joining import joined

LIMIT = 60  # seconds


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def run(place, function, folder):
    """One process: join the others as torchrun would have it, and leave the answer in a file."""
    os.environ |= {name: str(value) for name, value in place.items()}
    with joined() as processes:
        answer = function(processes)
    (folder / f"{processes.rank}.pickle").write_bytes(pickle.dumps(answer))


@pytest.fixture
def together(tmp_path):
    """Call a function of `Processes` in several processes joined by gloo; gives their answers by rank.

    A process that leaves without one gives None.
    """

    def start(world, function):
        place = {
            "WORLD_SIZE": world,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": free_port(),
            "GLOO_SOCKET_IFNAME": "lo",
        }
        forked = multiprocessing.get_context("fork")
        children = [
            forked.Process(target=run, args=(place | {"RANK": rank, "LOCAL_RANK": rank}, function, tmp_path))
            for rank in range(world)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the threads of other tests rest
            for child in children:
                child.start()
        for child in children:
            child.join(LIMIT)
            child.kill()
        assert [child.exitcode for child in children] == [0] * world
        files = [tmp_path / f"{rank}.pickle" for rank in range(world)]
        return [pickle.loads(file.read_bytes()) if file.exists() else None for file in files]

    return start
