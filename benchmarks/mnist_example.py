"""MNIST as PyTorch's example trains it, until the test split is classified as well as asked.

    python benchmarks/mnist_example.py DATA [--accuracy 0.99] [--epochs 14] [--seed 1]

The network, the optimiser, its rates, the sizes of the batches and the way of the pictures are the example's: 3x3
convolutions to 32 and 64 channels, max-pooling, dropout 0.25, 128 hidden units, dropout 0.5; Adadelta at 1.0, times 0.7
an epoch; batches of 64; a Dataset whose pictures go through Pillow, ToTensor and Normalize one by one, in a DataLoader
without workers.  Unlike the example it ends with the first epoch that is good enough.  Nothing of Striate is in it.
"""

import argparse
import gzip
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

MEAN, STD = 0.1307, 0.3081
BATCH, TEST_BATCH = 64, 1000
LR, GAMMA = 1.0, 0.7


class Net(nn.Module):
    """1,199,882 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logarithms of the probabilities."""
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = self.dropout1(F.max_pool2d(x, 2)).flatten(1)
        return F.log_softmax(self.fc2(self.dropout2(F.relu(self.fc1(x)))), dim=1)


class Digits(Dataset[tuple[Tensor, int]]):
    """What torchvision's MNIST with ToTensor and Normalize gives."""

    def __init__(self, folder: Path, part: str) -> None:
        self.images = read(folder, f"{part}-images-idx3-ubyte")
        self.labels = read(folder, f"{part}-labels-idx1-ubyte").tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        pixels = np.array(Image.fromarray(self.images[number]), copy=True)
        tensor = torch.from_numpy(pixels)[None].to(torch.float32).div(255)
        return tensor.sub_(MEAN).div_(STD), self.labels[number]


def read(folder: Path, name: str) -> np.ndarray:
    """The numbers of an IDX file, packed or not: 4 bytes of kind and axes, 4 for each size, then the bytes."""
    plain = folder / name
    content = plain.read_bytes() if plain.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
    axes = content[3]
    sizes = np.frombuffer(content, ">u4", axes, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(sizes)


def train(model: Net, loader: DataLoader[tuple[Tensor, int]], optimizer: torch.optim.Optimizer) -> None:
    """One epoch."""
    model.train()
    for x, y in loader:
        optimizer.zero_grad()
        loss = F.nll_loss(model(x), y)
        loss.backward()
        optimizer.step()


@torch.no_grad()
def accuracy(model: Net, loader: DataLoader[tuple[Tensor, int]]) -> float:
    """Share of the pictures that are classified as they are labelled."""
    model.eval()
    return sum(int((model(x).argmax(1) == y).sum()) for x, y in loader) / len(loader.dataset)  # type: ignore[arg-type]


def main() -> int:
    """0 where the accuracy was reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of MNIST's IDX files")
    parser.add_argument("--accuracy", type=float, default=0.99)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)
    model = Net()
    loader = DataLoader(Digits(asked.data, "train"), BATCH, shuffle=True)
    tests = DataLoader(Digits(asked.data, "t10k"), TEST_BATCH)
    optimizer = torch.optim.Adadelta(model.parameters(), lr=LR)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=GAMMA)
    for epoch in range(1, asked.epochs + 1):
        train(model, loader, optimizer)
        reached = accuracy(model, tests)
        print(f"epoch {epoch} accuracy {reached:.4f}", flush=True)
        if reached >= asked.accuracy:
            return 0
        schedule.step()
    return 1


if __name__ == "__main__":
    sys.exit(main())
