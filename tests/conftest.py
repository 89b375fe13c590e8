import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets: $STRIATE_TEST_DATA, or ../shared/data beside the repository."""
    folder = (REPOSITORY / os.environ.get("STRIATE_TEST_DATA", "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is absent; set STRIATE_TEST_DATA to a folder with mnist, cifar10-small, …")
    return folder
