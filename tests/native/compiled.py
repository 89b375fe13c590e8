"""C code compiled and run: a network's functions in a program that reads numbers and writes numbers."""

import shutil
import subprocess
from math import prod

import numpy as np
import pytest
import torch

from striate.native.c_program import program

COMPILER = shutil.which("gcc") or shutil.which("cc")
STRICT = "-std=c99 -Wall -Wextra -Werror -pedantic -Wshadow -Wdouble-promotion".split()
SANITISED = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler")
MAIN = """\
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

{functions}
static float values[{size}];

int main(void)
{{
    while (fread(values + {begin}, sizeof(float), {inputs}, stdin) == {inputs}) {{
{calls}
        fwrite(values + {end}, sizeof(float), {outputs}, stdout);
    }}
    return 0;
}}
"""


def compile_c(folder, sources, flags=("-O1",), compiler=COMPILER):
    """Compile under the strictest warnings; the program."""
    path = folder / "program"
    command = [compiler, *STRICT, *flags, "-o", str(path), *map(str, sources), "-lm"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return path


def run_c(network, tensors, x, folder, *, flags=("-O1",), precision="float32"):
    """What the C code of a network makes of a batch (B, C, *spatial), as torch has it."""
    made = program(network, tensors, {}, precision)
    calls = []
    for call in made.calls:
        given = ", ".join(f"values + {made.begins[value]}" for value in (*call.inputs, call.output))
        calls.append(f"        {call.function.name}({given});")
    text = MAIN.format(
        functions="\n".join(function.text() for function in made.functions),
        size=made.size,
        begin=made.begins[0],
        inputs=prod(network.input_shape),
        calls="\n".join(calls),
        end=made.begins[made.result],
        outputs=prod(network.output_shape),
    )
    path = folder / "network.c"
    path.write_text(text)
    binary = compile_c(folder, [path], flags)
    given = np.ascontiguousarray(np.moveaxis(x.numpy(), 1, -1).astype(np.float32)).tobytes()
    result = subprocess.run([binary], input=given, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    C, *spatial = network.output_shape
    y = np.frombuffer(result.stdout, np.float32).reshape(len(x), *spatial, C)
    return torch.from_numpy(np.moveaxis(y, -1, 1).astype(np.float64))


def settled(module, generator):
    """The module in float64 and evaluation mode, with statistics and slopes that are not the ones it begins with."""
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            if name.endswith("running_mean"):
                tensor.normal_(0, 0.3, generator=generator)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2, generator=generator)
            elif tensor.ndim == 1:
                tensor.uniform_(-1, 1, generator=generator)
    return module.double().eval()


def arrays(module):
    """Parameters and buffers as the writer takes them."""
    return {name: tensor.numpy() for name, tensor in module.state_dict().items() if tensor.ndim}
