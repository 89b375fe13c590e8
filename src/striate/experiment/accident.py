"""What happened to an update, told with what a person needs: the epoch, the pictures of the batch, what to try."""

from collections.abc import Iterator
from contextlib import contextmanager

from striate.base.errors import ConfigError, NumericError, ResourceError
from striate.base.memory import is_out_of_memory
from striate.data.batches import epoch_samples
from striate.experiment.picture_material import PictureMaterial
from striate.experiment.wiring import Wired

SHOWN = 3  # pictures
SINGLE = (  # torch's words, and those of the explicit network
    "Expected more than 1 value per channel when training",
    "batch_norm: numbers of a channel must be >= 2 in training",
)


@contextmanager
def explained(wired: Wired, epoch: int) -> Iterator[None]:
    """Add to the errors of an epoch's updates where they happened.

    Args:
        wired: the run; `wired.state.step` is the update that failed.
        epoch: counted from 0.

    Raises:
        NumericError: with epoch and pictures.
        ResourceError: memory ran out, with the batch size to try.
        ConfigError: batch normalisation got a single number of each channel, which has no variance.
    """
    try:
        yield
    except NumericError as error:
        what = f"{error.what} in epoch {epoch + 1} ({_batch(wired, epoch)})"
        raise NumericError(error.where, what, error.must, got=error.got, fix=error.fix) from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise _out_of_memory(wired, epoch) from error
    except ValueError as error:
        if not any(words in str(error) for words in SINGLE):
            raise
        raise _single(wired, epoch) from error


def _single(wired: Wired, epoch: int) -> ConfigError:
    rest = wired.material.count("train") % wired.batch_size
    if wired.recipe.update.accumulate > 1:
        fix = "lower update.accumulate, or take a larger batch_size"
    else:
        fix = f"take another batch_size: {wired.material.count('train')} samples leave {rest} for the last batch"
    return ConfigError(
        "training",
        "a batch, or a piece of one, before batch normalisation",
        "of two samples or more",
        got=f"a single one in epoch {epoch + 1} at step {wired.state.step}",
        fix=fix,
    )


def _out_of_memory(wired: Wired, epoch: int) -> ResourceError:
    size = wired.batch_size
    less = f"--batch-size {size // 2}" if size > 1 else "a smaller preprocess.image_size"
    return ResourceError(
        "training",
        "memory",
        "enough for a batch",
        got=f"out of memory at batch size {size}, in epoch {epoch + 1} at step {wired.state.step}",
        fix=f"try {less} in a new run; this one's checkpoint is intact, to be resumed where there is more memory",
    )


def _batch(wired: Wired, epoch: int) -> str:
    """The batch under way, by the names of its first pictures."""
    number, size = wired.state.step - epoch * wired.steps_per_epoch, wired.batch_size
    if not isinstance(wired.material, PictureMaterial):
        return f"batch {number + 1}"
    feed = wired.material.feed
    rows = epoch_samples(feed, epoch)[number * size : (number + 1) * size] % len(feed.split)
    names = [feed.split.names[row] for row in rows[:SHOWN]]
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"batch of {', '.join(names)}{more}"
