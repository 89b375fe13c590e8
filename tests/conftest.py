import atexit
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch

# One thread, here and in the processes that tests start: the same bits on any machine, safe to fork, and several
# processes at once do not wait for each other.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

# What tests decode and download is kept in a folder of their own, also by the processes that they start.
os.environ["STRIATE_CACHE"] = tempfile.mkdtemp(prefix="striate-cache-")
atexit.register(shutil.rmtree, os.environ["STRIATE_CACHE"], ignore_errors=True)

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets: $STRIATE_TEST_DATA, or ../shared/data beside the repository."""
    folder = (REPOSITORY / os.environ.get("STRIATE_TEST_DATA", "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is absent; set STRIATE_TEST_DATA to a folder with mnist, cifar10-small, …")
    return folder


@pytest.fixture(scope="session")
def prepare_in_memory():
    """Prepare a source as a run does: (source, picture, share of validation and of test) -> Dataset."""
    from striate.data.dataset import Wanted, prepare
    from striate.data.splits import Shares
    from striate.data.storage import Storage

    def prepared(source, picture, share):
        storage = Storage("memory", Path("unused"), 0)
        return prepare(source, Wanted(picture, picture, Shares(share, share), 0, False, storage))

    return prepared
