"""What a run does without: packages that take longer to import than a small network to train."""

import subprocess
import sys
import textwrap

PROGRAM = """
    import sys
    from striate.experiment.recipe import parse_recipe
    from striate.experiment.train import train
    from striate.training.optimisers import OPTIMISERS

    recipe = {"data": "digits", "model": "conv 4 3x3, relu, flatten, linear 10", "epochs": 1, "lr": 0.01}
    for number, optimizer in enumerate(OPTIMISERS):
        execution = {"engine": ("torch", "auto")[number % 2]}
        train(parse_recipe(recipe | {"optimizer": optimizer, "execution": execution}))
        print(optimizer, [name for name in ("torch._dynamo", "torch._inductor", "sklearn") if name in sys.modules])
"""


def test_a_run_imports_no_compiler_and_no_package_for_its_data(tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(PROGRAM)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name} []" for name in ("sgd", "adagrad", "rmsprop", "adam", "adamw")]
