"""Errors that a person can act on, each with the exit code of the command that meets it.

Text:  `Where: what must hold, got what came.` then `  Fix: what to do.`
"""


class StriateError(ValueError):
    """Something that the user can put right.

    Args:
        where: the layer, file or command that refuses.
        what: the option or thing that is wrong.
        must: what has to hold, read after "must be".
        got: what came, as a value or a description.
        fix: what to do, in the imperative.
    """

    exit_code = 1

    def __init__(self, where: str, what: str, must: str, *, got: object, fix: str) -> None:
        self.where, self.what, self.must, self.got, self.fix = where, what, must, got, fix
        super().__init__(f"{where}: {what} must be {must}, got {got}.\n  Fix: {fix}")


class ConfigError(StriateError):
    """Usage or configuration: an option, a recipe, a network that cannot be."""

    exit_code = 2


class ShapeError(ConfigError):
    """An operation that does not fit where it stands in a network.

    Args:
        where: the operation and its place, for people.
        fault: what its own rule refuses.
        place: "3", or "3.1.0" within branches.
        shape: of the input that it gets, without the batch.
    """

    def __init__(self, where: str, fault: StriateError, *, place: str, shape: tuple[int, ...]) -> None:
        super().__init__(where, fault.what, fault.must, got=fault.got, fix=fault.fix)
        self.place, self.shape = place, shape


class DataError(StriateError):
    """Pictures, labels or splits that cannot be trusted."""

    exit_code = 3


class ModelFileError(StriateError):
    """A checkpoint or bundle that is damaged, foreign or does not fit."""

    exit_code = 4


class NumericError(StriateError):
    """A number that is no longer one: NaN or infinity."""

    exit_code = 5


class ResourceError(StriateError):
    """The machine: disk, memory, permission."""

    exit_code = 6


class Stopped(Exception):  # noqa: N818 - no fault: somebody asked
    """A signal asked the work to end; everything is saved.

    Args:
        message: what was reached and the command that continues.
        signal_number: 2 (SIGINT) or 15 (SIGTERM).
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
