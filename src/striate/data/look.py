"""What the headers of many pictures tell together: channels, kind and size, and a note where they differ."""

from collections import Counter
from collections.abc import Sequence

from striate.data.decode import Header
from striate.data.kinds import Kind

Common = tuple[int, Kind, tuple[int, int] | None, list[str]]


def common(found: Sequence[Header]) -> Common:
    """Channels and kind that all pictures can be brought to, the size if they share one, and notes on mixtures."""
    channels = Counter(picture.channels for picture in found)
    kinds = Counter(picture.kind for picture in found)
    sizes = {picture.size for picture in found}
    kind: Kind = next(iter(kinds)) if len(kinds) == 1 else "uint8"
    number = next(iter(channels)) if len(channels) == 1 else 3
    return number, kind, sizes.pop() if len(sizes) == 1 else None, _mixtures(channels, kinds)


def _mixtures(channels: Counter[int], kinds: Counter[Kind]) -> list[str]:
    notes = []
    if len(channels) > 1 and set(channels) != {1, 3}:
        told = ", ".join(f"{count} of {number}" for number, count in sorted(channels.items()))
        notes.append(f"pictures of unequal channels, which only 1 and 3 of them can be brought to: {told}")
    if len(kinds) > 1:
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        notes.append(f"pictures of unequal kinds, all brought to uint8 where that can be: {told}")
    return notes
