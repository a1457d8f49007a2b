"""A model that is not ours: what it raises is told as its own, and what it gives is checked."""

from __future__ import annotations

from typing import SupportsIndex

from adpkv.errors import UsageError
from adpkv.model.port import Batch, Model
from adpkv.plugins import raised

__all__ = ["OwnModel"]


class OwnModel:
    """A custom model, which is `who` in the text of an error. Implements `Model`.

    Raises:
        UsageError: (also of every method) the model has raised an error, or has given something
            else than the port says.
    """

    def __init__(self, who: str, inner: Model) -> None:
        self._who, self._inner = who, inner
        self.ticks_per_ns = _whole(inner.ticks_per_ns, 1, f"{who}: ticks_per_ns")

    def line(self, batch: Batch) -> tuple[int, int]:
        """The cost of steps over this batch: (base, slope), in ticks."""
        try:
            found: object = self._inner.line(batch)
        except (Exception, SystemExit) as error:
            raise UsageError(f"{self._who}: line {raised(error)}") from error
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
            raise UsageError(f"{self._who}: run {raised(error)}") from error


def _whole(value: object, least: int, what: str) -> int:
    """The value as an int; other integers, as numpy's, count too."""
    if type(value) is int and value >= least:
        return value
    if isinstance(value, SupportsIndex) and not isinstance(value, bool) and int(value) >= least:
        return int(value)
    raise UsageError(f"{what} is {value!r:.80}, not an integer of {least} or more")
