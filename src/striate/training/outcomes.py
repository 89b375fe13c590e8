"""What trying things out on this machine has come to, kept on disk so that an equal run takes the same again.

One small JSON file an outcome, in a folder that the caller names.  A file that is damaged or gone is as good as absent,
and a folder that cannot be written keeps nothing.
"""

import hashlib
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch
from torch import nn

from striate.base.errors import ResourceError
from striate.base.files import make_folder, write_json


def key_of(network: nn.Module, *parts: object) -> str:
    """What an outcome depends on, as one digest: the network, torch, its threads, the processor, and parts of JSON."""
    shapes = [[name, list(value.shape)] for name, value in network.state_dict().items()]
    machine = [torch.__version__, torch.get_num_threads(), processor()]
    return hashlib.sha256(json.dumps([repr(network), shapes, machine, *parts]).encode()).hexdigest()


def processor() -> str:
    """The processor's name and number of cores."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{name or platform.processor() or platform.machine()}, {os.cpu_count()} cores"


def recall(folder: Path, key: str) -> Any:
    """What is remembered under a key; None where nothing is, or what is there is damaged."""
    try:
        told = json.loads((folder / f"{key}.json").read_bytes())
    except (OSError, ValueError):
        return None
    return told.get("outcome") if isinstance(told, dict) and told.get("key") == key else None


def remember(folder: Path, key: str, outcome: object) -> bool:
    """Keep an outcome; whether that could be done."""
    try:
        make_folder(folder)
        write_json(folder / f"{key}.json", {"key": key, "outcome": outcome})
    except ResourceError:
        return False
    return True
