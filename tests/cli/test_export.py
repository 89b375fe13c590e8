"""`striate export` as people type it."""

import json
import os
import subprocess

import pytest
from tests.native.compiled import needs_compiler


@needs_compiler
def test_export_writes_files_says_their_cost_and_what_to_do_next(striate, run):
    code, out, err = striate("export", run, "--to", "c")
    assert (code, err) == (0, "")
    *told, last = out.splitlines()
    assert told[:4] == [f"wrote bars/{name}" for name in ("bars.c", "bars.h", "bars_test.c", "Makefile")]
    assert told[4].split()[0] == "weights"
    assert told[4].endswith(" bytes, float32")
    assert [line.split()[0] for line in told[5:]] == ["static", "stack", "test", "Next:"]
    assert last == "  make -C bars test"
    assert subprocess.run(["bash", "-c", last], check=False, capture_output=True).returncode == 0


def test_export_as_json_prints_one_object(striate, run):
    code, out, err = striate(
        "export", run / "model", "--to", "c", "--out", "some/net.c", "--precision", "int8", "--json"
    )
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["files"][0] == "some/net.c"
    assert told["precision"] == "int8"
    assert told["weight_bytes"] > 60_000
    assert told["pictures"] == told["same_class"] == 2
    code, out, _ = striate(
        "export", run / "model", "--to", "c", "--out", "some/net.c", "--precision", "int8", "--overwrite"
    )
    assert code == 0
    assert "int8: on these a probability differs by 0." in out


@pytest.mark.parametrize("target", ["onnx", "pt2", "openvino", "C", ""])
def test_other_targets_are_refused_with_the_one_there_is(striate, run, target):
    code, out, err = striate("export", run, "--to", target)
    assert (code, out) == (2, "")
    assert f"--to must be c: nothing else is there yet, got '{target}'.\n  Fix: use --to c" in err


def test_mistakes_have_their_exit_codes(striate, run, tmp_path):
    assert striate("export", run)[0] == 2
    assert striate("export", run, "--to", "c", "--precision", "int4")[0] == 2
    assert striate("export", tmp_path, "--to", "c")[0] == 4
    assert striate("export", run, "--to", "c", "--out", "net.c")[0] == 0
    assert striate("export", run, "--to", "c", "--out", "net.c")[0] == 2
    (tmp_path / "taken").touch()
    assert striate("export", run, "--to", "c", "--out", "taken/net.c")[0] == 6


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable for root")
def test_a_folder_without_permission_is_exit_6(striate, run, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    code, _, err = striate("export", run, "--to", "c", "--out", "locked/net.c")
    assert code == 6
    assert "locked" in err
