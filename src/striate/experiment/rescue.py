"""A run folder that vanishes while the run goes on: the position is kept in another folder, which can be resumed."""

import itertools
from pathlib import Path

from striate.base.errors import ResourceError
from striate.base.files import make_folder, shell_name
from striate.data.cache_folder import cache_path
from striate.experiment.history import History
from striate.experiment.notes import write_notes
from striate.experiment.run_folder import RunFolder
from striate.experiment.wiring import Wired
from striate.training.checkpoint import Checkpoint, save_checkpoint


def rescued(lost: RunFolder, checkpoint: Checkpoint, wired: Wired, history: History) -> ResourceError:
    """Save a checkpoint below the cache folder, with what `striate resume` needs beside it.

    Args:
        lost: the folder that has vanished.
        checkpoint: where the run stands.
        wired: the run.
        history: its epochs so far.

    Returns:
        The error to raise: it says where the run can be resumed, or that it is lost.
    """
    step = checkpoint.step
    try:
        folder = RunFolder(_first_free(cache_path("rescued"), lost.path.name))
        make_folder(folder.checkpoints)
        write_notes(folder, wired)
        save_checkpoint(folder.checkpoints, checkpoint, best_step=None)
        folder.write("metrics.csv", history.as_csv())
    except ResourceError as error:
        got = f"gone, and step {step} could not be saved elsewhere ({error.got}): the run is lost"
        fix = "find out what removed the folder, then start the run again"
    else:
        got = f"gone; step {step} was saved to {folder.path}"
        fix = f"continue with: striate resume {shell_name(folder.path)}; that folder may be moved before"
    return ResourceError("training", f"the run folder {lost.path}", "there until the run ends", got=got, fix=fix)


def _first_free(root: Path, name: str) -> Path:
    names = itertools.chain([name], (f"{name}-{number:03d}" for number in itertools.count(2)))
    return next(path for path in (root / free for free in names) if not path.exists())
