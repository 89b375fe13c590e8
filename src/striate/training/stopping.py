"""Early stopping: when more epochs have ceased to help.  A pure function of the epochs so far, so a resumed run agrees.

Prechelt 1998, "Early stopping - but when?"; Goodfellow, Bengio and Courville 2016, algorithm 7.1.
"""

from collections.abc import Sequence


def should_stop(scores: Sequence[float], patience: int, min_delta: float = 0.0) -> bool:
    """Whether the last `patience` epochs have brought nothing.

    Args:
        scores: of every epoch so far, larger is better; NaN is no improvement.
        patience: epochs in a row without improvement to bear, >= 0; 0 never stops.
        min_delta: an improvement is more than this above the best before, >= 0.

    >>> should_stop([0.5, 0.7, 0.7, 0.6], patience=2)
    True
    """
    best, since = float("-inf"), 0
    for score in scores:
        better = score > best + min_delta  # never of NaN
        best, since = (score, 0) if better else (best, since + 1)
    return 0 < patience <= since
