"""Small networks of every build: residual, with branches, in one to three dimensions, of functional calls alone."""

import torch
import torch.nn.functional as F
from torch import nn


class Bottleneck(nn.Module):
    """He et al. 2016, arXiv:1512.03385, figure 5, the stride in the 3x3 convolution."""

    def __init__(self, inputs, width, stride):
        super().__init__()
        outputs = 4 * width
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        shorter = [nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)]
        self.downsample = nn.Sequential(*shorter) if inputs != outputs or stride != 1 else nn.Identity()

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet(nn.Module):
    """Bottlenecks in four stages: (3, 4, 6, 3) is ResNet-50."""

    def __init__(self, counts, classes=1000):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for stage, count in enumerate(counts):
            width = 64 * 2**stage
            blocks = [
                Bottleneck(inputs if n == 0 else 4 * width, width, 2 if n == 0 < stage else 1) for n in range(count)
            ]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
            inputs = 4 * width
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.fc(torch.flatten(self.avgpool(x), 1))


class Inception(nn.Module):
    """Four branches, joined along the channels: Szegedy et al. 2015, arXiv:1409.4842, figure 2 b."""

    def __init__(self):
        super().__init__()
        self.branch1 = nn.Sequential(nn.Conv2d(16, 8, 1), nn.ReLU())
        self.branch2 = nn.Sequential(nn.Conv2d(16, 8, 1), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU())
        self.branch3 = nn.Sequential(nn.Conv2d(16, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 5, padding=2), nn.ReLU())
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(16, 4, 1), nn.ReLU())

    def forward(self, x):
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Functional(nn.Module):
    """No layer at all."""

    def __init__(self):
        super().__init__()
        self.w, self.b = nn.Parameter(torch.randn(8, 3, 3, 3)), nn.Parameter(torch.zeros(8))
        self.m = nn.Parameter(torch.randn(8 * 15 * 15, 10))

    def forward(self, x):
        y = F.avg_pool2d(F.relu(F.conv2d(x, self.w, self.b, padding=1)), 3, 2)
        return F.log_softmax(y.flatten(1) @ self.m, 1)


class SideBySide(nn.Module):
    """Three convolutions of the same input."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))

    def forward(self, x):
        return torch.cat([conv(x) for conv in self.convs], 1)


def vgg(stages, pictures=32):
    """3x3 convolutions, doubled after every pooling: Simonyan and Zisserman 2015, arXiv:1409.1556."""
    layers, inputs = [], 3
    for stage, count in enumerate(stages):
        for _ in range(count):
            layers += [nn.Conv2d(inputs, 8 * 2**stage, 3, padding=1), nn.ReLU()]
            inputs = 8 * 2**stage
        layers.append(nn.MaxPool2d(2))
    side = pictures // 2 ** len(stages)
    return nn.Sequential(nn.Sequential(*layers), nn.Flatten(), nn.Linear(inputs * side * side, 10))


def signal():
    """One axis."""
    layers = [nn.Conv1d(2, 16, 9, stride=2, padding=4), nn.BatchNorm1d(16), nn.ReLU(), nn.MaxPool1d(2)]
    return nn.Sequential(
        *layers, nn.Conv1d(16, 32, 5, dilation=2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 4)
    )


def volume():
    """Three axes."""
    layers = [nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(8, 16, (1, 3, 3))]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, 3))


def on_meta(build, *arguments):
    """A network without numbers."""
    with torch.device("meta"):
        return build(*arguments)
