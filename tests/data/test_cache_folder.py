import pytest

from striate.base.errors import ResourceError
from striate.data.cache_folder import cache_folder, cache_path


@pytest.fixture(autouse=True)
def no_variables(monkeypatch, tmp_path):
    for name in ("STRIATE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def test_the_home_is_used_where_no_variable_says_otherwise(tmp_path):
    assert cache_folder("downloads") == tmp_path / "home" / ".cache" / "striate" / "downloads"
    assert cache_folder("downloads").is_dir()


def test_the_own_variable_wins_over_the_shared_one(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_path("decoded") == tmp_path / "xdg" / "striate" / "decoded"
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "own"))
    assert cache_path("decoded") == tmp_path / "own" / "decoded"
    assert not (tmp_path / "own").exists()


def test_relative_names_hold_from_any_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "xdg")  # the standard says: to be ignored
    assert cache_path("x") == tmp_path / "home" / ".cache" / "striate" / "x"
    monkeypatch.setenv("STRIATE_CACHE", "own")
    assert cache_path("x") == tmp_path / "own" / "x"
    monkeypatch.setenv("STRIATE_CACHE", "~/own")
    assert cache_path("x") == tmp_path / "home" / "own" / "x"


def test_a_place_that_cannot_be_written_names_the_variable(monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "file"))
    with pytest.raises(ResourceError, match=r"cannot write to it \(Not a directory\)\.\n  Fix: .*set STRIATE_CACHE"):
        cache_folder("downloads")
    monkeypatch.setenv("STRIATE_CACHE", "/proc/nothing")
    with pytest.raises(ResourceError, match=r"path must be a place that can be written, got /proc/nothing"):
        cache_folder("downloads")


def test_an_account_without_a_home_is_told(monkeypatch):
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(ResourceError, match=r"the home folder must be known, .*\n  Fix: set STRIATE_CACHE"):
        cache_path("downloads")
