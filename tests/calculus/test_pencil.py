import torch

from striate.calculus.pencil import beside, grid


def test_a_grid_can_be_read_back():
    x = torch.tensor([[1.5, -2.0, 1000.0], [0.25, 0.0, 3.0]])
    read = [[float(v) for v in line.split()] for line in grid(x).split("\n")]
    assert read == x.tolist()
    assert len({len(line) for line in grid(x).split("\n")}) == 1  # aligned


def test_blocks_keep_their_lines_in_order():
    assert beside("a\nb", "c").split() == ["a", "c", "b"]
