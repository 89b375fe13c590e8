"""AlexNet and GoogLeNet, as published and in the form that is trained, take steps on real photographs."""

from functools import partial
from math import log

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from striate.base.random import StepRandomness, step_randomness
from striate.models.catalogue import MODELS, build, training_form

COUNT = 16  # photographs, half of them of ants
SIDE = 224


def photographs(folder):
    files = [path for name in ("ants", "bees") for path in sorted((folder / name).iterdir())[: COUNT // 2]]
    pixels = [np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE))) for path in files]
    x = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float()
    mean, std = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
    return (x - mean) / std, torch.arange(COUNT) // (COUNT // 2)


OPTIMISERS = {  # AlexNet's wide layers swing at anything faster
    "alexnet": partial(torch.optim.SGD, lr=3e-4),
    "googlenet": partial(torch.optim.AdamW, lr=1e-3),
}
LOSSES = {"alexnet": 1.0, "googlenet": 1.6}  # how often the classes are judged: once, and by heads of 0.3


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMISERS)
def test_the_loss_on_photographs_falls(name, real_data):
    x, labels = photographs(real_data / "photos-hymenoptera")
    model = training_form(name, build(name, num_classes=2, dropout=0.0), seed=0).train()
    optimiser = OPTIMISERS[name](model.parameters())
    own, losses = MODELS[name].loss, []
    criterion = own(F.cross_entropy) if own else F.cross_entropy
    for step in range(12):
        with step_randomness(StepRandomness(seed=0, step=step)):
            loss = criterion(model(x), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-4:]) < np.mean(losses[4:8]) < np.mean(losses[:4])
    assert losses[-1] < LOSSES[name] * log(2)  # what guessing costs
