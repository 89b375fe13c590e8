"""The contestants beside Striate, each as its own documentation writes it.

All train LeNet-5 (61,706 parameters) with SGD and momentum 0.9 on the same normalised pictures.  Those on torch
read them through PyTorch's Dataset and DataLoader; Keras and Flax get them as one float32 array, normalised before
the clock starts.  No option is tuned beyond what the documentation's own example sets.
"""

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from striate.data.split import Split

MEAN, STD, LR, MOMENTUM = 0.1307, 0.3081, 0.02, 0.9
PARAMETERS = 61_706
AT_ONCE = 1000  # pictures classified at a time, after the clock has stopped


@dataclass(frozen=True)
class Contestant:
    """A network with all that trains it.

    Args:
        epoch: trains one epoch, to its very end: nothing is still being computed when it returns.
        classify: pictures -> classes (N,), to see that the epochs have taught it something.
    """

    epoch: Callable[[], None]
    classify: Callable[[Split], np.ndarray]


Maker = Callable[[Split, int], Contestant]


@dataclass(frozen=True)
class Peer:
    """Who competes.

    Args:
        name: printed.
        make: (pictures to train on, batch size) -> contestant.
        modules: what it imports beyond Striate's own dependencies.
    """

    name: str
    make: Maker
    modules: tuple[str, ...] = ()

    def lacking(self) -> list[str]:
        """The modules that are not installed."""
        return [module for module in self.modules if find_spec(module) is None]


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


def shuffled(split: Split, batch_size: int, workers: int) -> DataLoader[tuple[Tensor, int]]:
    """The DataLoader of PyTorch's MNIST example; its workers stay for the next epoch."""
    return DataLoader(
        Pictures(split), batch_size=batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )


def pytorch_example(split: Split, batch_size: int, workers: int) -> Contestant:
    """Dataset, DataLoader and a plain loop, as in PyTorch's MNIST example."""
    loader = shuffled(split, batch_size, workers)
    model = lenet5()
    _same_network(sum(p.numel() for p in model.parameters()))
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)

    def epoch() -> None:
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()

    return Contestant(epoch, partial(torch_classes, model))


def lightning_trainer(split: Split, batch_size: int, workers: int) -> Contestant:
    """A LightningModule and a Trainer that neither logs nor saves, on the loader of the PyTorch example.

    Every epoch has a Trainer of its own: a few hundredths of a second each.
    """
    import lightning

    class LeNet5(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = lenet5()

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            x, y = batch
            return F.cross_entropy(self.network(x), y)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=LR, momentum=MOMENTUM)

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # else it prints the hardware every epoch
    warnings.filterwarnings("ignore", message=".*does not have many workers")  # with 0 workers that is meant
    loader = shuffled(split, batch_size, workers)
    model = LeNet5()
    _same_network(sum(p.numel() for p in model.parameters()))

    def epoch() -> None:
        trainer = lightning.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(model, loader)

    return Contestant(epoch, partial(torch_classes, model.network))


def keras_fit(split: Split, batch_size: int) -> Contestant:
    """Sequential, compile and fit on arrays, as in Keras's MNIST example, without metrics and on JAX."""
    os.environ["KERAS_BACKEND"] = "jax"  # read once, when Keras is imported
    import keras
    from keras import layers

    _quiet_fork()
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(6, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(16, 5, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(120, activation="relu"),
            layers.Dense(84, activation="relu"),
            layers.Dense(10),
        ]
    )
    _same_network(model.count_params())
    model.compile(
        optimizer=keras.optimizers.SGD(LR, momentum=MOMENTUM),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    x, y = normalised(split), split.labels.numpy()

    def epoch() -> None:
        model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0)

    def classify(pictures: Split) -> np.ndarray:
        return model.predict(normalised(pictures), batch_size=AT_ONCE, verbose=0).argmax(1)

    return Contestant(epoch, classify)


def flax_network() -> Any:
    """LeNet-5 as an nnx.Module; its padding "SAME" is 2 pixels on every side."""
    from flax import nnx

    class LeNet5(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.conv1 = nnx.Conv(1, 6, (5, 5), padding="SAME", rngs=rngs)
            self.conv2 = nnx.Conv(6, 16, (5, 5), padding="VALID", rngs=rngs)
            self.linear1 = nnx.Linear(400, 120, rngs=rngs)
            self.linear2 = nnx.Linear(120, 84, rngs=rngs)
            self.linear3 = nnx.Linear(84, 10, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            x = nnx.max_pool(nnx.relu(self.conv1(x)), (2, 2), strides=(2, 2))
            x = nnx.max_pool(nnx.relu(self.conv2(x)), (2, 2), strides=(2, 2))
            x = nnx.relu(self.linear1(x.reshape(len(x), -1)))
            return self.linear3(nnx.relu(self.linear2(x)))

    return LeNet5(nnx.Rngs(0))


def flax_step(split: Split, batch_size: int) -> Contestant:
    """The jitted train step of Flax's MNIST tutorial, cached as its page on performance advises for small networks."""
    import jax
    import optax
    from flax import nnx

    _quiet_fork()
    model = flax_network()
    _same_network(sum(p.size for p in jax.tree.leaves(nnx.state(model, nnx.Param))))
    optimizer = nnx.Optimizer(model, optax.sgd(LR, momentum=MOMENTUM), wrt=nnx.Param)

    @nnx.jit
    def train_step(model: Any, optimizer: Any, x: Any, y: Any) -> Any:
        def loss_fn(model: Any) -> Any:
            return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()

        loss, gradients = nnx.value_and_grad(loss_fn)(model)
        optimizer.update(model, gradients)
        return loss

    step = nnx.cached_partial(train_step, model, optimizer)
    forward = nnx.jit(lambda model, x: model(x))
    images, labels = normalised(split), split.labels.numpy()
    generator = np.random.default_rng(0)

    def epoch() -> None:
        order = generator.permutation(len(labels))
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            loss = step(images[chosen], labels[chosen])
        loss.block_until_ready()  # JAX returns before it has computed

    def classify(pictures: Split) -> np.ndarray:
        return np.concatenate([np.asarray(forward(model, x)).argmax(1) for x in in_parts(normalised(pictures))])

    return Contestant(epoch, classify)


def normalised(split: Split) -> np.ndarray:
    """All pictures at once, float32 (N, 28, 28, 1), as JAX's libraries read them."""
    return (split.images.permute(0, 2, 3, 1).numpy() / np.float32(255) - np.float32(MEAN)) / np.float32(STD)


def in_parts(images: np.ndarray) -> Iterator[np.ndarray]:
    """Pictures, AT_ONCE at a time."""
    return (images[start : start + AT_ONCE] for start in range(0, len(images), AT_ONCE))


@torch.inference_mode()
def torch_classes(model: nn.Module, pictures: Split) -> np.ndarray:
    """Classes by a network of torch."""
    model.eval()
    parts = in_parts(normalised(pictures).transpose(0, 3, 1, 2))
    classes = np.concatenate([model(torch.from_numpy(part)).argmax(1).numpy() for part in parts])
    model.train()  # Lightning trains what is in evaluation as it is
    return classes


def _same_network(parameters: int) -> None:
    assert parameters == PARAMETERS, f"{parameters:,} parameters are not LeNet-5's {PARAMETERS:,}"


def _quiet_fork() -> None:
    """JAX warns of the others' DataLoader workers; those never touch JAX."""
    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called", category=RuntimeWarning)


EXAMPLE = (
    Peer("PyTorch example, 0 workers", partial(pytorch_example, workers=0)),
    Peer("PyTorch example, 2 workers", partial(pytorch_example, workers=2)),
)
MORE = (
    Peer("Lightning, 0 workers", partial(lightning_trainer, workers=0), ("lightning",)),
    Peer("Lightning, 2 workers", partial(lightning_trainer, workers=2), ("lightning",)),
    Peer("Keras on JAX, fit", keras_fit, ("keras", "jax")),
    Peer("Flax nnx and optax, jitted step", flax_step, ("flax", "optax", "jax")),
)
