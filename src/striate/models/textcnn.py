"""A convolutional network over the words of a sentence.

    tokens - embedding 300 - convs 100@3, 100@4, 100@5 side by side, each ReLU, maximum over time - drop 0.5
    - linear classes

Kim 2014, "Convolutional neural networks for sentence classification", EMNLP, arXiv:1408.5882, section 2 and 3.1: the
variant CNN-rand, whose embedding is learnt from scratch.  5,990,402 parameters with the 18,765 words and 2 classes of
the movie reviews MR, of them 5,629,500 in the embedding, and 6,060,600 MACs for one of its mean length, 20 words.

Token 0 is padding: its vector is 0 and stays 0.  The other vectors start uniform on +-0.25.  Left out, since training
does it, is the bound of 3 on the length of the last layer's weights.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from striate.base.errors import ConfigError
from striate.base.random import Purpose, derive
from striate.layers.dropout import Dropout
from striate.layers.initialise import initialise
from striate.models.card import Card, Options, tokens

WIDTHS = (3, 4, 5)  # words that a kernel spans
MAPS = 100  # of each width
SIZE = 300  # numbers of a word's vector
PADDING = 0  # the token that stands where no word is
BOUND = 0.25  # of a word's first numbers


class TextCNN(nn.Module):
    """Kim's network, CNN-rand.

    Args:
        num_classes: how many classes or numbers, >= 1.
        in_channels: how many tokens there are, the padding included: 0 to in_channels - 1.
        image_size: tokens of a text, >= 5; other lengths from 5 are taken too.
        dropout: share of the 300 features that training drops, in [0, 1).

    Shape: (B, W) whole numbers -> (B, num_classes), the logits.

    Raises:
        ConfigError: texts shorter than the widest kernel.

    >>> TextCNN(num_classes=2, in_channels=50)(torch.ones(4, 7, dtype=torch.int64)).shape
    torch.Size([4, 2])
    """

    def __init__(
        self, num_classes: int = 2, in_channels: int = 18_765, image_size: int = 20, dropout: float = 0.5
    ) -> None:
        super().__init__()
        _check("image_size", image_size)
        self.embedding = nn.Embedding(in_channels, SIZE, padding_idx=PADDING)
        self.convs = nn.ModuleList(nn.Conv1d(SIZE, MAPS, width) for width in WIDTHS)
        self.dropout = Dropout(dropout)
        self.fc = nn.Linear(MAPS * len(WIDTHS), num_classes)

    def forward(self, x: Int64[Tensor, "B W"]) -> Float[Tensor, "B classes"]:
        """The logits.

        Raises:
            ConfigError: texts shorter than the widest kernel.
        """
        _check("the length of the texts", x.shape[1])
        words = self.embedding(x).transpose(1, 2)  # B 300 W
        found = [conv(words).relu().amax(2) for conv in self.convs]  # B 100 each
        return self.fc(self.dropout(torch.cat(found, dim=1)))


def _check(name: str, length: int) -> None:
    if length < max(WIDTHS):
        fix = f"pad shorter texts with token {PADDING}"
        raise ConfigError("textcnn", name, f">= {max(WIDTHS)} tokens", got=length, fix=fix)


@torch.no_grad()
def start(model: nn.Module, seed: int) -> None:
    """He's weights, and words uniform on +-0.25 but for the padding."""
    initialise(model, seed)
    words = model.get_parameter("embedding.weight")
    generator = torch.Generator().manual_seed(derive(seed, Purpose.INITIALISE, 0, 1))  # `initialise` draws at (n, 0)
    words.copy_(torch.empty(words.shape).uniform_(-BOUND, BOUND, generator=generator))
    words[PADDING] = 0


TEXTCNN = Card(
    builder=lambda o: TextCNN(o.classes, o.in_channels, o.image_size, o.p),
    usual=Options(num_classes=2, in_channels=18_765, image_size=20, dropout=0.5),
    source="Kim 2014, Convolutional neural networks for sentence classification",
    faithful="CNN-rand as published, but for the bound on the last layer's weights",
    sample=tokens,
    start=start,
)
