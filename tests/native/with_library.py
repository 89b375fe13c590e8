"""Tests with the library of another folder:  python with_library.py FOLDER PYTEST-ARGUMENTS...

Annotated shapes are not checked: that would have to begin before the library's folder is set.
"""

import sys
from pathlib import Path

import pytest

from striate.native import library

if __name__ == "__main__":
    library.FOLDER = Path(sys.argv[1])
    sys.exit(pytest.main(["-o", "addopts=--import-mode=importlib", "-p", "no:cacheprovider", *sys.argv[2:]]))
