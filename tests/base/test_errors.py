import pytest

from striate.base import errors


def test_an_error_says_where_what_what_came_and_what_to_do():
    error = errors.ConfigError("GeMPool", "p", "> 0", got=-1.0, fix="start at 3.0; 1.0 is the mean")
    assert str(error) == "GeMPool: p must be > 0, got -1.0.\n  Fix: start at 3.0; 1.0 is the mean"
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("kind", "code"),
    [("ConfigError", 2), ("DataError", 3), ("ModelFileError", 4), ("NumericError", 5), ("ResourceError", 6)],
)
def test_every_kind_has_its_exit_code(kind, code):
    assert getattr(errors, kind).exit_code == code


def test_a_signal_exits_with_128_plus_its_number():
    assert errors.Stopped("stopped", 15).exit_code == 143
