"""What the native engine would do with a network, in words and as JSON has it; or why it cannot train it."""

from dataclasses import dataclass
from typing import Any

from striate.base.errors import ConfigError
from striate.cli.subject import Subject
from striate.experiment.native_steps import left_to_torch
from striate.native.library import library
from striate.native.outline import Outline, outline


@dataclass(frozen=True, slots=True)
class NativePlan:
    """The plan, or the reason why there is none.

    Args:
        outline: what the engine does; None where it cannot train the network.
        reason: why not, or why the network is left to torch all the same; "" where the engine takes it.
        own: whether it is the user's own, from a file, which torch alone trains.
    """

    outline: Outline | None
    reason: str
    own: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        if self.outline is None:
            return {"trains": False, "reason": self.reason}
        return {
            "trains": not (self.outline.absence or self.own),
            "reason": self.outline.absence or self.reason,
        } | self.outline.as_dict()

    def __str__(self) -> str:
        if self.outline is None:
            return f"native engine: cannot train this network, so the torch engine does: {self.reason}"
        who = "training" if self.own else "`--engine auto`"
        left = f"\n\n{who} leaves it to the torch engine all the same: {self.reason}" if self.reason else ""
        return f"{self.outline}{left}"


def native_plan(chosen: Subject) -> NativePlan:
    """The plan for a network.

    Raises:
        ConfigError: `STRIATE_NATIVE` asks for what cannot be.
    """
    found = library()
    try:
        network = chosen.in_a_row()
        reason = "it comes from a file" if chosen.own else left_to_torch(network.parameter_shapes().values())
        return NativePlan(outline(network, found), reason, chosen.own)
    except ConfigError as error:
        return NativePlan(None, str(error).splitlines()[0].removeprefix("native engine: ").rstrip("."), chosen.own)
