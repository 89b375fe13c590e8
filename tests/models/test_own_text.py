from striate.models.card import Given
from striate.models.notation import parse
from striate.models.own_text import text_card

TEXT = "conv 6 5x5, relu, flatten, linear 10"


def test_the_card_has_the_whole_text_which_is_the_same_network():
    card = text_card(f"{TEXT}  # mine")
    asked = card.settle("network", card.usual, Given(in_channels=3, image_size=28))
    assert card.text(asked) == f"input 3x28x28, {TEXT}"
    assert parse(card.text(asked)) == parse(TEXT, (3, 28, 28))
    assert card.sample(asked) == (3, 28, 28)
    assert text_card("input 784, linear 10").sample(asked) == (784,)


def test_classes_are_counted_where_the_output_is_a_vector():
    for text, classes in ((TEXT, 10), ("conv 6 5x5", None), ("conv 6 5x5, flatten", 4704)):
        card = text_card(text)
        assert card.settle("network", card.usual, Given()).num_classes == classes
