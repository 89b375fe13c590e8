"""The contestants beside Striate, each as its own documentation writes it.

Every maker takes a split of uint8 pictures and a batch size and returns a function that trains one epoch.
A peer that is not installed is left out, and said.
"""

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from striate.data.split import Split

Epoch = Callable[[], None]
MEAN, STD, LR = 0.1307, 0.3081, 0.02


def lenet5() -> nn.Sequential:
    """The same network; the border of 2 is the first convolution's padding, as it is usually written."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, 10),
    )


class Pictures(Dataset[tuple[Tensor, int]]):
    """What torchvision's MNIST with ToTensor and Normalize does for one picture: Pillow, float, scale."""

    def __init__(self, split: Split) -> None:
        self.images = split.images[:, 0].numpy()
        self.labels = split.labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        pixels = np.array(Image.fromarray(self.images[number]), copy=True)
        tensor = torch.from_numpy(pixels)[None].to(torch.float32).div(255)
        return tensor.sub_(MEAN).div_(STD), self.labels[number]


def pytorch_example(split: Split, batch_size: int, workers: int) -> Epoch:
    """Dataset, DataLoader and a plain loop, as in PyTorch's MNIST example."""
    loader = DataLoader(Pictures(split), batch_size=batch_size, shuffle=True, num_workers=workers)
    model = lenet5()
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=0.9)

    def epoch() -> None:
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()

    return epoch


EXAMPLE: dict[str, Callable[[Split, int], Epoch]] = {
    "PyTorch example, 0 workers": lambda split, batch_size: pytorch_example(split, batch_size, 0),
    "PyTorch example, 2 workers": lambda split, batch_size: pytorch_example(split, batch_size, 2),
}
MORE: dict[str, Callable[[Split, int], Epoch]] = {}
