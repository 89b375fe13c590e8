from hypothesis import given
from hypothesis import strategies as st

from striate.training.stopping import should_stop

SCORES = st.lists(st.sampled_from([0.0, 0.1, 0.15, 0.2, 0.5, float("nan")]), max_size=12)


@given(scores=SCORES, patience=st.integers(0, 4), min_delta=st.sampled_from([0.0, 0.07, 0.2]))
def test_it_stops_when_as_many_epochs_as_patience_says_have_brought_no_record(scores, patience, min_delta):
    records = []  # places where the score exceeded that of the record before by more than min_delta
    for place, score in enumerate(scores):
        if score == score and (not records or score - scores[records[-1]] > min_delta):
            records.append(place)
    since = len(scores) - 1 - records[-1] if records else len(scores)
    assert should_stop(scores, patience, min_delta) == (patience > 0 and since >= patience)


def test_patience_0_never_stops_and_nan_is_no_improvement():
    assert not should_stop([0.5] * 50, 0)
    assert should_stop([0.5, float("nan"), float("nan")], 2)
    assert not should_stop([float("nan"), 0.1], 2)
    assert not should_stop([], 1)
