"""Which of the libraries this machine has and can run: each test that takes `instructions` runs with all of them."""

import pytest

from striate.base.errors import ConfigError
from striate.native import library as module


def runnable() -> list[str]:
    found = []
    for name in module.NEEDS:
        try:
            if module._library(name) is not None:
                found.append(name)
        except ConfigError:  # the processor lacks it
            continue
    return found


RUNNABLE = runnable()


@pytest.fixture(params=RUNNABLE or ["none"])
def instructions(request, monkeypatch):
    if request.param == "none":
        pytest.skip("no native library: it was not built here")
    monkeypatch.setenv(module.VARIABLE, request.param)
    return request.param
