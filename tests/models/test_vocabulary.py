"""The contract of the notation: it reaches everything that the description has."""

from dataclasses import fields

import pytest

from striate.base.network import JOINS as DESCRIBED_JOINS
from striate.base.network import KINDS, Branches
from striate.base.operations import ACTIVATIONS
from striate.base.padding import BORDERS, RULES
from striate.models.notation import read
from striate.models.vocabulary import ALIASES, JOINS, NAMES, OPTION_ALIASES, WORDS, known_name, known_option, squeezed


def reached(kind, words=WORDS):
    """The fields of an operation that some word says."""
    own = [word for word in words.values() if word.operation is kind]
    said = {name for word in own for name in (*word.values, *word.options.values(), *word.fixed)}
    return said | {name for word in own for name, _ in word.flags.values()}


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind is not Branches], ids=lambda kind: kind.kind)
def test_every_field_of_every_operation_is_reached(kind):
    assert reached(kind) == {field.name for field in fields(kind)}


def test_a_field_without_a_word_would_be_noticed():
    fewer = {name: word for name, word in WORDS.items() if name != "leaky_relu"}
    assert "negative_slope" not in reached(KINDS["activation"], fewer)


def test_every_function_rule_border_and_join_is_reached():
    assert {word.fixed["name"] for word in WORDS.values() if "name" in word.fixed} == set(ACTIVATIONS)
    said = {value for _, value in WORDS["conv"].flags.values()}
    assert said >= {*RULES, *BORDERS} - {"zeros"}  # which are the usual
    assert set(JOINS.values()) == set(DESCRIBED_JOINS)


@pytest.mark.parametrize("name", WORDS)
def test_every_example_says_its_operation(name):
    (operation,) = read(WORDS[name].example).operations
    assert type(operation) is WORDS[name].operation
    assert WORDS[name].example.split()[0] == name


def test_no_two_names_are_one_and_every_alias_leads_somewhere():
    every = [squeezed(name) for name in (*NAMES, *ALIASES)]
    assert len(set(every)) == len(every)
    assert all(known_name(alias).name == name for alias, name in ALIASES.items())
    options = {name for word in WORDS.values() for name in (*word.options, *word.flags)}
    assert set(OPTION_ALIASES.values()) <= options
    assert all(known_option(alias) == name for alias, name in OPTION_ALIASES.items())
    assert not {squeezed(name) for name in options} & set(every)  # so that a missing comma can be told
