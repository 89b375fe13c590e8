import json
import string

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from striate.base.errors import ConfigError, ModelFileError
from striate.data.tokenizer import Tokenizer, fit_tokenizer, split_text
from striate.models.catalogue import build

TEXTS = ["The film is good, good, GOOD.", "the Film is bad.", "Naïve naı\u0308ve nai\u0308ve"]


def test_numbers_go_by_frequency_then_by_alphabet():
    tokenizer = fit_tokenizer(TEXTS, length=8)
    assert tokenizer.words[:3] == ("good", ",", ".")  # 3 times, then twice each by alphabet
    assert tokenizer.words[3:] == ("film", "is", "naïve", "the", "bad", "naı", "ve", "\u0308")
    assert tokenizer.tokens == 2 + len(tokenizer.words)
    assert tokenizer.encode("Good film!").tolist() == [2, 5, 1, 0, 0, 0, 0, 0]
    assert tokenizer.encode(", . , . , . , . ,").tolist() == [3, 4, 3, 4, 3, 4, 3, 4]


def test_rarer_tokens_than_asked_for_are_unknown():
    tokenizer = fit_tokenizer(TEXTS, length=6, most=1)
    assert tokenizer.words == ("good",)
    assert tokenizer.encode(TEXTS[0]).tolist() == [1, 1, 1, 2, 1, 2]
    assert tokenizer.decode(np.array([1, 2, 0, 0])) == ["?", "good"]


def test_the_order_of_the_texts_changes_nothing():
    assert fit_tokenizer(TEXTS, length=4) == fit_tokenizer(TEXTS[::-1], length=4)


@given(st.lists(st.text(), min_size=1, max_size=5), st.integers(1, 30))
def test_known_words_come_back(texts, length):
    tokenizer = fit_tokenizer(texts, length=length)
    for text in texts:
        numbers = tokenizer.encode(text)
        assert tokenizer.decode(numbers) == split_text(text)[:length]
        assert numbers.shape == (length,)
        assert 1 not in numbers
        assert numbers.max() < tokenizer.tokens


@given(st.text())
def test_tokens_are_tokens_of_their_own(text):
    for word in split_text(text):
        assert split_text(word) == [word]


@given(st.text(alphabet=string.ascii_letters + string.digits + " .,!?'-_\n\t"))
def test_no_visible_character_is_lost(text):
    assert "".join(split_text(text)) == "".join(text.lower().split())


@given(st.lists(st.text(), max_size=4))
def test_what_is_saved_is_loaded(texts):
    import tempfile
    from pathlib import Path

    tokenizer = fit_tokenizer(texts, length=5)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(Path(folder) / "tokenizer.json")
        assert Tokenizer.load(Path(folder) / "tokenizer.json") == tokenizer


def whole(**changed):
    return json.dumps({"format": "striate-tokenizer-1", "length": 5, "words": ["a", "b"]} | changed)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        ("", r"Expecting value"),
        ("[1]", r"another kind of JSON"),
        ("[" * 100_000, r"."),
        (whole(more=1), r"another kind of JSON"),
        (whole(format="x"), r"format 'x' of length 5"),
        (whole(length=0), r"of length 0"),
        (whole(length=True), r"of length True"),
        (whole(length=10**9), r"of length 1000000000"),
        (whole(words="ab"), r"words that no text can hold"),
        (whole(words=["a", 1]), r"words that no text can hold"),
        (whole(words=["A"]), r"words that no text can hold"),
        (whole(words=["a b"]), r"words that no text can hold"),
        (whole(words=[""]), r"words that no text can hold"),
        (whole(words=["a", "a"]), r"a word twice"),
    ],
    ids=range(14),
)
def test_a_foreign_file_is_refused(tmp_path, content, got):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ModelFileError, match=rf"must be a saved tokenizer, got .*{got}"):
        Tokenizer.load(tmp_path / "x.json")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ModelFileError, match=r"got .*No such file"):
        Tokenizer.load(tmp_path / "x.json")


@pytest.mark.parametrize("length", [0, 2**20])
def test_a_length_out_of_range_is_refused(length):
    with pytest.raises(ConfigError, match=r"length must be 1 to 65536 tokens, got .*\n  Fix: 20 suits sentences"):
        fit_tokenizer(TEXTS, length=length)


def test_textcnn_reads_what_it_gives():
    tokenizer = fit_tokenizer(TEXTS, length=7)
    net = build("textcnn", num_classes=2, in_channels=tokenizer.tokens, image_size=tokenizer.length)
    tokens = torch.from_numpy(tokenizer.encode_all([*TEXTS, "never seen", ""]))
    assert tokens.dtype == torch.int64
    assert net(tokens).shape == (5, 2)
    assert np.array_equal(tokenizer.encode_all([]), np.empty((0, 7)))
