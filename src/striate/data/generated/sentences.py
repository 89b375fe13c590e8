"""`sentences`: 1,000 sentences of praise or complaint from a small grammar.

    sentence   subject verb adverb adjective . | i thought subject verb adverb adjective . | subject that is adverb
               adjective , i say .
    adverb     really | quite | so | always | not | never | hardly

The adjective is good or bad, and "not", "never" or "hardly" turn it round: no single word tells the class.
"""

import numpy as np

from striate.data.generated.draws import Chance
from striate.data.record_set import Records, all_rows

CLASSES = ("complaint", "praise")
COUNT = 1000
SUBJECTS = tuple(
    f"{article} {noun}"
    for article in ("the", "this", "their")
    for noun in ("film", "story", "music", "food", "service", "room", "garden", "book", "ending", "host")
)
VERBS = ("was", "is", "seemed", "looked", "felt")
PLAIN = ("really", "quite", "so", "always")
TURNING = ("not", "never", "hardly")
GOOD = ("good", "lovely", "funny", "fresh", "clever", "warm", "beautiful", "charming")
BAD = ("bad", "dull", "cold", "stale", "silly", "dirty", "ugly", "tedious")
PATTERNS = (
    "{subject} {verb} {adverb} {adjective} .",
    "i thought {subject} {verb} {adverb} {adjective} .",
    "{subject} that {verb} {adverb} {adjective} , i say .",
)


def sentences() -> Records:
    """1,000 texts in two classes."""
    chance = Chance(7, COUNT)
    words = (PATTERNS, SUBJECTS, VERBS, PLAIN, TURNING, GOOD, BAD)
    pick = np.stack([chance.whole(len(choices))[:, 0] for choices in words], axis=1)
    good, turned = (chance.uniform(0, 1, 2) < 0.5).T
    texts = np.empty(COUNT, dtype=object)
    texts[:] = [
        _sentence([choices[i] for choices, i in zip(words, row, strict=True)], bool(g), bool(t))
        for row, g, t in zip(pick, good, turned, strict=True)
    ]
    return Records(
        name="sentences",
        location="sentences",
        kind="classes",
        inputs=texts,
        targets=(good != turned).astype(np.int64),
        classes=CLASSES,
        parts=all_rows(COUNT),
    )


def _sentence(words: list[str], good: bool, turned: bool) -> str:
    pattern, subject, verb, plain, turning, praise, blame = words
    adverb, adjective = turning if turned else plain, praise if good else blame
    return pattern.format(subject=subject, verb=verb, adverb=adverb, adjective=adjective)
