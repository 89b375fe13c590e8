"""Pictures of a run: its curves, its confusion matrix, samples of what the network sees."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from striate.base.marks import shown
from striate.data.kinds import Planes
from striate.evaluate.classification import Classification
from striate.experiment.history import EpochRow, History

BLUE, ORANGE, GREY = "#2563a8", "#d9731a", "#7a7a7a"
SHOWN_UPDATES = 4000  # points of a curve: more than the picture has pixels
NAMED_CLASSES = 40  # with more, names and numbers in the matrix could not be read


def canvas(width: float, height: float) -> Any:
    """An empty figure, in inches."""
    from matplotlib.figure import Figure  # no pyplot: no window system, no global state

    return Figure(figsize=(width, height), layout="constrained")


def png(figure: Any) -> bytes:
    """A figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def curves(history: History, best: EpochRow, lr_at: Callable[[int], float]) -> bytes:
    """Losses and validation score of the epochs, and the learning rate of every update, as PNG.

    Args:
        history: at least one finished epoch.
        best: the epoch whose model is kept.
        lr_at: the learning rate of an update, from the number of updates before it.
    """
    figure = canvas(12.0, 3.4)
    loss, score, rate = figure.subplots(1, 3)
    rows, metric = history.rows, history.metric
    epochs = [row.epoch for row in rows]
    mark = "o" if len(rows) < 30 else None
    loss.plot(epochs, [row.train_loss for row in rows], color=BLUE, marker=mark, ms=3, label="training")
    loss.plot(epochs, [row.validation_loss for row in rows], color=ORANGE, marker=mark, ms=3, label="validation")
    positive = all(value > 0 for row in rows for value in (row.train_loss, row.validation_loss))
    loss.set(xlabel="epoch", ylabel="loss", yscale="log" if positive else "linear")
    loss.legend(frameon=False)
    score.plot(epochs, [row.validation_score for row in rows], color=ORANGE, marker=mark, ms=3)
    score.axvline(best.epoch, color=GREY, lw=0.8, ls=":")
    score.set(
        xlabel="epoch", ylabel=f"validation {metric}", title=f"best {best.validation_score:.4f}, epoch {best.epoch}"
    )
    at, rates = schedule(rows[-1], lr_at)
    rate.plot(at, rates, color=GREY, lw=1.0)
    rate.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None), title=f"{rows[-1].step:,} updates")
    for axes in (loss, score, rate):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return png(figure)


def schedule(last: EpochRow, lr_at: Callable[[int], float]) -> tuple[list[float], list[float]]:
    """The learning rates of a run's updates, and where in the run they were made, in epochs.

    Of more updates than a picture could show every few are taken, the first and the last among them.

    Args:
        last: the last finished epoch.
        lr_at: the learning rate of an update, from the number of updates before it.
    """
    every = -(-last.step // SHOWN_UPDATES)
    updates = sorted({*range(0, last.step, every), last.step - 1})
    return [update * last.epoch / last.step for update in updates], [lr_at(update) for update in updates]


def confusion_matrix(result: Classification) -> bytes:
    """Rows: the class; columns: what it was taken for; shade: share of the row to the power 0.35, as PNG."""
    counts = np.array(result.confusion)
    names = [shown(entry.name) for entry in result.per_class]
    k = len(names)
    side = min(12.0, 2.4 + 0.42 * k)
    figure = canvas(side, side)
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    shade = share**0.35  # so that one picture in a hundred can be seen
    axes.imshow(shade, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="taken for", ylabel="is", title=f"accuracy {result.accuracy:.4f} on {result.count} pictures")
    if k <= NAMED_CLASSES:
        axes.set_xticks(range(k), names, rotation=90 if max(map(len, names)) > 2 else 0, parse_math=False)
        axes.set_yticks(range(k), names, parse_math=False)  # a class may be called $5
        for (row, column), count in np.ndenumerate(counts):
            if count:
                dark = shade[row, column] > 0.6
                axes.text(
                    column, row, str(count), ha="center", va="center", fontsize=8, color="white" if dark else "black"
                )
    return png(figure)


def sample_file(image: Planes) -> tuple[str, bytes]:
    """One picture as a file, with its name's ending: PNG where that holds it, else NumPy's .npy, H W C."""
    buffer, pixels = io.BytesIO(), np.ascontiguousarray(image.transpose(1, 2, 0))
    grey = image.shape[0] == 1
    if (image.dtype == np.uint8 and image.shape[0] in (1, 3)) or (image.dtype == np.uint16 and grey):
        Image.fromarray(pixels[..., 0] if grey else pixels).save(buffer, "PNG")
        return "png", buffer.getvalue()
    np.save(buffer, pixels, allow_pickle=False)
    return "npy", buffer.getvalue()
