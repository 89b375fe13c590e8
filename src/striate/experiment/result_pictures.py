"""Pictures of what was learnt: numbers against numbers, a fitted curve, masks, reconstructions, labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Num

from striate.base.marks import shown
from striate.evaluate.multilabel import Multilabel
from striate.experiment.pictures import BLUE, GREY, ORANGE, canvas, png

PANELS = 6  # numbers that are drawn


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Some (x, y)."""

    x: Num[np.ndarray, " N"]
    y: Num[np.ndarray, " N"]


def _plain(axes: Any) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def predicted_against_true(
    predicted: Num[np.ndarray, "N K"], true: Num[np.ndarray, "N K"], names: tuple[str, ...]
) -> bytes:
    """A panel for each of the first numbers: on the diagonal is right."""
    count = min(PANELS, len(names))
    figure = canvas(1 + 3.4 * count, 3.8)
    for number, axes in enumerate(figure.subplots(1, count, squeeze=False)[0]):
        t, y = true[:, number], predicted[:, number]
        ends = [float(min(t.min(), y.min())), float(max(t.max(), y.max()))]
        axes.plot(ends, ends, color=GREY, lw=0.8)
        axes.scatter(t, y, s=8, color=BLUE, alpha=0.5, linewidths=0)
        axes.set(xlabel="true", ylabel="predicted")
        axes.set_title(shown(names[number]), parse_math=False)
        _plain(axes)
    return png(figure)


def fitted_curve(train: Points, test: Points, told: Points, name: str) -> bytes:
    """What the network tells all over the range, and the points."""
    figure = canvas(7.0, 4.2)
    axes = figure.subplots()
    axes.scatter(test.x, test.y, s=8, color=GREY, alpha=0.5, linewidths=0, label="test")
    axes.scatter(train.x, train.y, s=14, color=ORANGE, linewidths=0, label="training")
    axes.plot(told.x, told.y, color=BLUE, label="network")
    axes.set(xlabel="x")
    axes.set_ylabel(shown(name), parse_math=False)
    axes.legend(frameon=False)
    _plain(axes)
    return png(figure)


def label_bars(result: Multilabel) -> bytes:
    """Precision and recall of every label."""
    labels = result.per_label
    figure = canvas(7.0, 1.2 + 0.42 * len(labels))
    axes = figure.subplots()
    places = np.arange(len(labels))
    for values, shift, colour, name in (
        ([e.precision for e in labels], -0.2, BLUE, "precision"),
        ([e.recall for e in labels], 0.2, ORANGE, "recall"),
    ):
        axes.barh(places + shift, [0.0 if v is None else v for v in values], 0.36, color=colour, label=name)
    axes.set_yticks(places, [shown(e.name) for e in labels], parse_math=False)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), title=f"F1 {result.f1:.4f}, mean over the labels")
    axes.legend(frameon=False, loc="lower right")
    _plain(axes)
    return png(figure)


def masks_beside(
    pictures: Num[np.ndarray, "N C H W"],
    true: Num[np.ndarray, "N H W"],
    told: Num[np.ndarray, "N H W"],
    classes: tuple[str, ...],
) -> bytes:
    """Three rows: pictures, what is true, what is told."""
    from matplotlib.patches import Patch

    columns = len(pictures)
    figure = canvas(1.2 * columns, 4.2)
    colours = figure_colours(len(classes))
    rows = (_lookable(pictures), colours[true], colours[told])
    grid = figure.subplots(3, columns, squeeze=False)
    for name, images, line in zip(("picture", "truth", "network"), rows, grid, strict=True):
        for image, axes in zip(images, line, strict=True):
            axes.imshow(image)
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    patches = [Patch(color=colours[i], label=shown(name)) for i, name in enumerate(classes[:20])]
    figure.legend(handles=patches, loc="outside lower center", ncols=min(6, len(patches)), frameon=False)
    return png(figure)


def figure_colours(count: int) -> Num[np.ndarray, "count 3"]:
    """Colours of classes: the first is dark, for it is often the background."""
    from matplotlib import colormaps

    name = "tab10" if count <= 10 else "tab20"  # whose neighbours are alike
    others = np.array([colormaps[name](i % 20)[:3] for i in range(count)])
    others[:1] = 0.15
    return others


def samples_beside(x: Num[np.ndarray, "N C H W"], y: Num[np.ndarray, "N C H W"]) -> bytes:
    """Two rows: samples, and what comes back of them."""
    columns = len(x)
    figure = canvas(1.0 * columns, 2.4)
    low, high = float(x.min()), float(x.max())
    grid = figure.subplots(2, columns, squeeze=False)
    for name, images, line in zip(("sample", "network"), (x, y), grid, strict=True):
        for image, axes in zip(_lookable(images, low, high), line, strict=True):
            axes.imshow(image)
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    return png(figure)


def _lookable(
    images: Num[np.ndarray, "N C H W"], low: float | None = None, high: float | None = None
) -> Num[np.ndarray, "N H W 3"]:
    """Numbers from `low` (or the least) to `high` (or the largest) as grey or colour in [0, 1]."""
    least = float(images.min()) if low is None else low
    most = float(images.max()) if high is None else high
    scaled = ((images.astype(np.float64) - least) / max(most - least, 1e-12)).clip(0, 1)
    colour = scaled if images.shape[1] == 3 else np.repeat(scaled[:, :1], 3, axis=1)
    return colour.transpose(0, 2, 3, 1)
