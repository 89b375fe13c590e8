from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.base.errors import DataError
from striate.calculus.perceptron import (
    correct,
    demonstrate,
    learn,
    perceive,
    xor_fault,
    xor_with_a_hidden_layer,
)

F64 = torch.float64
CORNERS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=F64)
XOR = (0, 1, 1, 0)
XNOR = (1, 0, 0, 1)


def answers(lesson, x=CORNERS):
    return perceive(x, lesson.weight, lesson.bias).tolist()


@pytest.mark.parametrize("target", [(0, 0, 0, 1), (0, 1, 1, 1)], ids=["AND", "OR"])
def test_and_and_or_are_learnt_in_finitely_many_steps(target):
    lesson = learn(CORNERS, torch.tensor(target, dtype=F64))
    assert lesson.separable
    assert answers(lesson) == list(target)
    assert 0 < lesson.corrections < 20


def test_not_is_learnt():
    x = torch.tensor([[0.0], [1.0]], dtype=F64)
    lesson = learn(x, torch.tensor([1.0, 0.0], dtype=F64))
    assert answers(lesson, x) == [1, 0]
    assert lesson.separable


def test_of_the_sixteen_functions_of_two_bits_only_xor_and_its_opposite_go_round():
    outcome = {target: learn(CORNERS, torch.tensor(target, dtype=F64)) for target in product((0, 1), repeat=4)}
    assert {target for target, lesson in outcome.items() if not lesson.separable} == {XOR, XNOR}
    assert outcome[XOR].separable is False  # it goes round; None would be: the passes ran out
    for target, lesson in outcome.items():
        assert (answers(lesson) == list(target)) is bool(lesson.separable)


def test_every_sign_pattern_of_a_line_fails_on_xor():
    steps = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
    made = set()
    for w1, w2, b in product(steps, repeat=3):  # every sign of b, w1 + b, w2 + b and w1 + w2 + b that occurs
        says = tuple(int(a * w1 + c * w2 + b >= 0) for a, c in ((0, 0), (0, 1), (1, 0), (1, 1)))
        made.add(says)
        first, second = xor_fault(w1, w2, b)
        assert says[2 * first + second] != XOR[2 * first + second]
    assert made == set(product((0, 1), repeat=4)) - {XOR, XNOR}


numbers = st.floats(-1e6, 1e6, allow_nan=False)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(w1=numbers, w2=numbers, b=numbers)
def test_the_fault_of_any_line_is_a_fault(w1, w2, b):
    first, second = xor_fault(w1, w2, b)
    assert int(first * w1 + second * w2 + b >= 0) != first ^ second


@settings(max_examples=40, deadline=None, derandomize=True)
@given(features=st.integers(1, 4), samples=st.integers(2, 8), seed=st.integers(0, 999))
def test_no_more_corrections_than_novikoff_allows(features, samples, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-3, 4, (samples, features), generator=generator).to(F64)
    plane = torch.randn(features + 1, dtype=F64, generator=generator)
    extended = torch.cat([x, torch.ones(samples, 1, dtype=F64)], 1)
    scores = extended @ plane / plane.norm()
    bound = float(extended.norm(dim=1).max() / scores.abs().min()) ** 2
    if bound > 2000:
        return
    lesson = learn(x, (scores >= 0).to(F64), passes=3000)
    assert lesson.separable
    assert lesson.corrections <= bound


def test_when_the_passes_run_out_nothing_is_claimed():
    assert learn(CORNERS, torch.tensor(XOR, dtype=F64), passes=1).separable is None


def test_a_right_answer_changes_nothing_and_a_wrong_one_moves_the_line_by_the_sample():
    w, b = torch.tensor([1.0, -2.0], dtype=F64), torch.tensor(-1.0, dtype=F64)
    x = torch.tensor([1.0, 1.0], dtype=F64)  # the score is -2, the answer 0
    same, moved = correct(w, b, x, torch.tensor(0.0, dtype=F64)), correct(w, b, x, torch.tensor(1.0, dtype=F64))
    assert (same[0].tolist(), float(same[1])) == ([1, -2], -1)
    assert (moved[0].tolist(), float(moved[1])) == ([2, -1], 0)


def test_a_hidden_layer_solves_xor():
    assert xor_with_a_hidden_layer(CORNERS).tolist() == list(XOR)


def test_targets_other_than_0_and_1_are_refused():
    with pytest.raises(DataError, match="every target must be 0 or 1"):
        learn(CORNERS, torch.tensor([-1.0, 1, 1, 1], dtype=F64))


def test_the_demonstration_can_be_checked_by_hand():
    text = demonstrate().splitlines()
    assert text[1].split() == ["pass", "1:", "(0,", "0)", "0", "1", "0", "(", "0,", "0)", "-1"]  # 0 >= 0 says 1
    assert text[2].split() == ["pass", "1:", "(1,", "1)", "-1", "0", "1", "(", "1,", "1)", "0"]
    corrections = [line for line in text if line.startswith("pass")]
    assert f"after {len(corrections)} corrections" in "\n".join(text)
    assert text[-2].startswith("XOR: pass")
    assert text[-1].endswith("0, 1, 1, 0")
