"""A model that is not ours: what it raises is told as its own, and what it gives is checked."""

from __future__ import annotations

from adpkv.errors import UsageError
from adpkv.model.port import Batch, Model
from adpkv.plugins import as_index, is_ours, raised

__all__ = ["OwnModel"]


class OwnModel:
    """A custom model, which is `who` in the text of an error. Implements `Model`.

    Raises:
        UsageError: (also of every method) the model has raised an error, or has given something
            else than the port says.
    """

    passes: tuple[type[BaseException], ...] = ()
    """The errors of `run` that are left as they are. The MPI world sets it: a step may meet other
    ranks inside MPI, and a recovery begins with the error that MPI raises there."""

    def __init__(self, who: str, inner: Model) -> None:
        self._who, self._inner = who, inner
        try:
            ticks: object = inner.ticks_per_ns
        except (Exception, SystemExit) as error:
            raise self._told("ticks_per_ns", error) from error
        self.ticks_per_ns = _whole(ticks, 1, f"{who}: ticks_per_ns")

    def line(self, batch: Batch) -> tuple[int, int]:
        """The cost of steps over this batch: (base, slope), in ticks."""
        try:
            found: object = self._inner.line(batch)
        except (Exception, SystemExit) as error:
            raise self._told("line", error) from error
        if not isinstance(found, tuple) or len(found) != 2:
            raise UsageError(f"{self._who}: line returned {found!r:.80}, not (base, slope)")
        base, slope = found
        return (
            _whole(base, 0, f"{self._who}: the base that line returned"),
            _whole(slope, 0, f"{self._who}: the slope that line returned"),
        )

    def run(self, batch: Batch) -> None:
        """Do this rank's part of one step for real."""
        try:
            self._inner.run(batch)
        except (Exception, SystemExit) as error:
            if isinstance(error, self.passes):
                raise
            raise self._told("run", error) from error

    def _told(self, what: str, error: BaseException) -> UsageError:
        """The error as the model's own; one of adpkv's is raised as it is."""
        if is_ours(error):
            raise error
        return UsageError(f"{self._who}: {what} {raised(error)}")


def _whole(value: object, least: int, what: str) -> int:
    """The value as an int; other integers, as numpy's, count too."""
    found = as_index(value)
    if found is None or found < least:
        raise UsageError(f"{what} is {value!r:.80}, not an integer of {least} or more")
    return found
