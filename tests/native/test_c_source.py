"""The whole file: what stands in it, that it compiles on its own, and what users' names cannot do to it."""

import ctypes
import re
import subprocess

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.native.compiled import COMPILER, STRICT, arrays, compile_c, needs_compiler

from striate.base.errors import ConfigError, NumericError
from striate.models.described import described
from striate.models.notation import parse
from striate.native.c_check import Vectors, check_program, makefile
from striate.native.c_source import Subject, rows_of, source
from striate.native.c_text import identifier, literal, remark
from striate.native.pixels import Pixels

NETWORK = parse("input 3x12x10, conv 5 3 pad 1, relu, maxpool 2, flatten, linear 3")
PIXELS = Pixels(pad=1, shift=(100.0, 120.0, 90.0), scale=(0.01, 0.02, 0.015))
HOSTILE = (
    'a"; int x; //',
    "back\\slash\\",
    "line\nend\r\t\0x",
    "trigraph ??/ ??> */ /*",
    "größe 中 😀",
    "%s%n",
    "a??/",
    "",
    "12",
    "\x7f\udc80",
)


def subject(classes=("a", "b", "c"), *, name="net", temperature=1.0, precision="float32", names=None):
    torch.manual_seed(0)
    module = described(NETWORK).double()
    return module, Subject(
        name=name,
        network=NETWORK,
        tensors=arrays(module),
        names=names or {},
        pixels=PIXELS,
        classes=classes,
        temperature=temperature,
        precision=precision,
    )


def written(folder, made, vectors=None):
    (folder / f"{made.symbol}.c").write_text(made.code)
    (folder / f"{made.symbol}.h").write_text(made.header)
    if vectors is not None:
        (folder / f"{made.symbol}_test.c").write_text(check_program(made.symbol, vectors))
        (folder / "Makefile").write_text(makefile(made.symbol))
    return folder / f"{made.symbol}.c"


def pictures(count=3):
    return np.random.default_rng(0).integers(0, 256, (count, 3, 10, 8)).astype(np.uint8)


def expected(module, images, temperature=1.0):
    shift, scale = (torch.tensor(values).double().reshape(3, 1, 1) for values in (PIXELS.shift, PIXELS.scale))
    x = (torch.nn.functional.pad(torch.from_numpy(images).double(), (1, 1, 1, 1)) - shift) * scale
    return (module(x) / temperature).softmax(1).detach().numpy()


@needs_compiler
@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_bytes_go_in_and_probabilities_come_out(tmp_path, temperature):
    module, own = subject(temperature=temperature)
    images = pictures()
    probabilities = expected(module, images, temperature)
    path = written(tmp_path, source(own), Vectors(images=rows_of(images), expected=list(probabilities)))
    program = compile_c(tmp_path, [path, tmp_path / "net_test.c"])
    result = subprocess.run([program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert re.fullmatch(r"largest difference on 3 pictures: \S+ \(tolerance 1e-05\)\n", result.stdout)


@needs_compiler
@pytest.mark.parametrize("spoilt", [2e-5, float("nan")])
def test_the_test_program_fails_where_a_probability_is_another(tmp_path, spoilt):
    module, own = subject()
    images = pictures()
    probabilities = expected(module, images)
    made = source(own)
    if spoilt == spoilt:
        probabilities[1, 2] += spoilt
    else:
        code = made.code.replace(", probabilities);", ", probabilities);\n    probabilities[1] = NAN;")
        made = type(made)(**{name: getattr(made, name) for name in made.__slots__} | {"code": code})
    path = written(tmp_path, made, Vectors(images=rows_of(images), expected=list(probabilities)))
    result = subprocess.run([compile_c(tmp_path, [path, tmp_path / "net_test.c"])], capture_output=True, check=False)
    assert result.returncode == 1


@needs_compiler
def test_the_makefile_honours_compiler_and_flags(tmp_path):
    module, own = subject()
    images = pictures()
    written(tmp_path, source(own), Vectors(images=rows_of(images), expected=list(expected(module, images))))
    command = ["make", "-C", str(tmp_path), "test", f"CC={COMPILER}", "CFLAGS=-std=c99 -O1 -DTHIS=1", "RUNNER=env"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert f"{COMPILER} -std=c99 -O1 -DTHIS=1 " in result.stdout
    assert "env ./net_test" in result.stdout
    subprocess.run(["make", "-s", "-C", str(tmp_path), "clean"], check=True)
    assert not (tmp_path / "net_test").exists()


@needs_compiler
def test_names_come_out_of_the_compiled_file_byte_for_byte(tmp_path):
    network = parse("input 1x4x4, flatten, linear 10")
    module = described(network).double()
    own = Subject(
        name='any */ name\n"??/',
        network=network,
        tensors=arrays(module),
        names={"0": "*/ int x; /*", "1": "a\\\n??/"},
        pixels=Pixels(pad=0, shift=(0.0,), scale=(1.0,)),
        classes=HOSTILE,
    )
    made = source(own)
    assert made.symbol == "any_name"
    path = written(tmp_path, made)
    library = tmp_path / "net.so"
    command = [COMPILER, *STRICT, "-trigraphs", "-shared", "-fPIC", "-o", str(library), str(path), "-lm"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    found = (ctypes.c_char_p * len(HOSTILE)).in_dll(ctypes.CDLL(str(library)), "any_name_classes")
    assert list(found) == [name.encode("utf-8", "surrogateescape").split(b"\0")[0] for name in HOSTILE]


@needs_compiler
def test_the_header_serves_cpp_too(tmp_path):
    compiler = COMPILER.replace("gcc", "g++") if COMPILER.endswith("gcc") else "c++"
    path = written(tmp_path, source(subject()[1]))
    (tmp_path / "use.cpp").write_text('#include "net.h"\nint main() { return net_classes[0] == nullptr; }\n')
    subprocess.run([COMPILER, *STRICT, "-c", "-o", str(tmp_path / "net.o"), str(path)], check=True)
    try:
        command = [
            compiler,
            "-Wall",
            "-Werror",
            "-o",
            str(tmp_path / "use"),
            str(tmp_path / "use.cpp"),
            str(tmp_path / "net.o"),
        ]
        subprocess.run([*command, "-lm"], check=True)
    except FileNotFoundError:
        pytest.skip("no C++ compiler")
    assert subprocess.run([tmp_path / "use"], check=False).returncode == 0


@needs_compiler
@pytest.mark.parametrize("flags", ["-O0", "-O2", "-O3 -march=native"])
def test_memory_is_what_is_told(tmp_path, flags):
    made = source(subject()[1])
    path = written(tmp_path, made)
    command = [COMPILER, "-std=c99", *flags.split(), "-fstack-usage", "-c", "-o", str(tmp_path / "net.o"), str(path)]
    subprocess.run(command, check=True, cwd=tmp_path)
    rows = [line.split("\t") for line in (tmp_path / "net.su").read_text().splitlines()]
    used = {name.rpartition(":")[2]: int(size) for name, size, _ in rows}
    assert used.pop("net_predict") + max(used.values(), default=0) <= made.stack_bytes
    sizes = subprocess.run(["size", "net.o"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    text, _, bss = map(int, sizes.splitlines()[1].split()[:3])
    assert made.static_bytes <= bss <= made.static_bytes + 64
    assert made.weight_bytes < text
    assert "malloc" not in made.code


def test_8_bits_take_a_quarter():
    whole, small = (source(subject(precision=precision)[1]) for precision in ("float32", "int8"))
    assert small.weight_bytes < 0.35 * whole.weight_bytes  # biases and scales stay float32
    assert "static const int8_t layer_0_weight" in small.code


@given(st.text(max_size=30))
def test_every_name_becomes_an_identifier(text):
    name = identifier(text)
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)
    assert identifier(name) == name


@given(st.text(max_size=60))
def test_no_text_leaves_its_literal_or_comment(text):
    assert re.fullmatch(
        r'"(?:[ !#-/0->@-\[\]-~]|\\["?\\]|\\[0-7]{3})*"', literal(text.encode("utf-8", "replace").decode())
    )
    assert not re.search(r"\*/|/\*|\?\?|\\|[^\x20-\x7e]", remark(text))


def test_keywords_and_headers_are_no_names():
    assert [identifier(name) for name in ("int", "String", "class", "_a", "1")] == [
        "int_model", "String_model", "class_model", "a", "model_1",
    ]  # fmt: skip


def test_what_is_no_classifier_is_refused():
    _, own = subject(("a", "b"))
    with pytest.raises(ConfigError, match="a vector of 2 classes, got 3"):
        source(own)


def test_weights_that_are_no_numbers_are_refused():
    _, own = subject()
    own.tensors["0.weight"][0, 0, 0, 0] = np.nan
    with pytest.raises(NumericError, match=r"0\.weight must be finite"):
        source(own)


def test_weights_beyond_float32_are_refused():
    _, own = subject()
    own.tensors["0.weight"][0, 0, 0, 0] = 1e300
    with pytest.raises(NumericError, match="finite in float32"):
        source(own)
