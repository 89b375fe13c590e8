"""Sets that are made and not read: small, the same everywhere, one for each kind of task."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from striate.data.generated.curve import curve, curve_few
from striate.data.generated.pictures import clips, shape_labels, shape_masks
from striate.data.generated.sentences import sentences
from striate.data.generated.vibrations import vibrations
from striate.data.record_set import Kind, Records


@dataclass(frozen=True, slots=True)
class Made:
    """How a set is made, and of what kind its targets are."""

    kind: Kind
    make: Callable[[], Records]


GENERATED: Mapping[str, Made] = {
    "curve": Made("numbers", curve),
    "curve-few": Made("numbers", curve_few),
    "vibrations": Made("classes", vibrations),
    "clips": Made("classes", clips),
    "sentences": Made("classes", sentences),
    "shape-masks": Made("masks", shape_masks),
    "shape-labels": Made("labels", shape_labels),
}
