"""The picture of a range test: the loss against the learning rate, and the rate that is taken."""

import io

from striate.training.lr_range import RangeTest

BLUE, ORANGE, GREY = "#2563a8", "#d9731a", "#7a7a7a"


def lr_picture(test: RangeTest) -> bytes:
    """Loss of each step and smoothed loss over the rate, and the rate taken, as PNG."""
    from matplotlib.figure import Figure  # no pyplot: no window system, no global state

    figure = Figure(figsize=(5.4, 3.4), layout="constrained")
    axes = figure.subplots()
    rates = [point.lr for point in test.points]
    smoothed = [point.smoothed for point in test.points]
    axes.plot(rates, [point.loss for point in test.points], color=GREY, lw=0.8, alpha=0.6, label="of the batch")
    axes.plot(rates, smoothed, color=BLUE, label="smoothed")
    axes.axvline(test.lr, color=ORANGE, ls="--", label=f"taken: {test.lr:.3g}")
    low, first = min(smoothed), smoothed[0]
    rise = max(first - low, 1e-9)
    axes.set_ylim(low - 0.3 * rise, first + 0.6 * rise)  # what comes after the loss has run away tells nothing
    axes.set(xlabel="learning rate", ylabel="loss, nats", xscale="log")
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
