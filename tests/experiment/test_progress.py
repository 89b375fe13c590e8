import csv
import io
import math
import os
import pty
import subprocess
import sys

import pytest

from striate.experiment.events import EpochEnded
from striate.experiment.history import EpochRow, History
from striate.experiment.progress import epoch_line


def row(**changes):
    values = {
        "epoch": 2,
        "step": 12,
        "seconds": 20.0,
        "lr": 0.01,
        "train_loss": 0.5,
        "validation_loss": 0.4,
        "validation_score": 0.9,
        "images_per_second": 1234.5,
    }
    return EpochRow(**{**values, **changes})


def test_an_epochs_line_says_all_and_what_is_left():
    line = epoch_line(EpochEnded(row=row(), epochs=10, best=True))
    assert line == (
        "epoch  2/10  loss 0.5000  validation loss 0.4000  accuracy 0.9000 best  1,234 pictures/s  0:01:20 left"
    )
    assert "validation loss not available" in epoch_line(
        EpochEnded(row=row(validation_loss=float("nan")), epochs=10, best=False)
    )


def test_the_best_is_the_most_accurate_then_the_smaller_loss_then_the_earlier_and_never_nan():
    history = History()
    for epoch, (accuracy, loss) in enumerate([(0.5, 1.0), (0.7, 0.9), (0.7, 0.8), (0.7, 0.8)], start=1):
        history.rows.append(row(epoch=epoch, validation_score=accuracy, validation_loss=loss))
    history.rows.append(row(epoch=5, validation_score=0.99, validation_loss=float("nan")))
    assert history.best.epoch == 3
    history.lost.append(3)
    assert history.best.epoch == 4
    assert History.from_dict(history.as_dict()).best.epoch == 4


def test_a_bad_score_is_better_than_none_and_without_any_score_the_loss_decides():
    history = History(metric="r2")
    for epoch, (score, loss) in enumerate([(math.nan, 0.1), (-7.5, 9.0), (math.nan, 0.05)], start=1):
        history.rows.append(row(epoch=epoch, validation_score=score, validation_loss=loss))
    history.rows.append(row(epoch=4, validation_score=math.nan, validation_loss=math.nan))
    assert history.best.epoch == 2
    history.lost.append(2)
    assert history.best.epoch == 3


def test_the_metrics_name_the_score_and_read_back_exactly():
    history = History(metric="r2", rows=[row(validation_score=1 / 3)])
    (line,) = csv.DictReader(io.StringIO(history.as_csv()))
    assert list(line) == "epoch,step,seconds,lr,train_loss,validation_loss,validation_r2,images_per_second".split(",")
    assert float(line["validation_r2"]) == 1 / 3
    assert History().as_csv().rstrip().split(",")[-2] == "validation_accuracy"


def test_an_epochs_loss_is_the_mean_over_pictures_with_a_ragged_last_batch():
    history = History()
    history.add_batch(1.0, 6, 0.1)
    history.add_batch(4.0, 2, 0.1)
    ended = history.end_epoch(step=2, lr=0.1, validation_loss=1.0, validation_score=0.5)
    assert ended.train_loss == pytest.approx((6 * 1.0 + 2 * 4.0) / 8)
    assert ended.images_per_second == pytest.approx(40)


def test_on_a_terminal_there_is_a_bar_and_lines_that_stay(shapes, tmp_path):
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "striate", "train", "--data", str(shapes), "--epochs", "2", "--json"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, cwd=tmp_path, env=environment)
    os.close(slave)
    shown = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        shown += chunk
    assert child.communicate()[0].count(b"\n") == 1
    assert child.returncode == 0
    text = shown.decode()
    assert "epoch 1/2" in text
    assert "pictures/s" in text
    assert "━" in text
    assert "validation loss" in text
