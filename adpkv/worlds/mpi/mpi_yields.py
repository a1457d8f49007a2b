"""Whether a call of MPI that finds nothing gives this process's core away.

On a host with fewer cores than ranks it should, as long as ranks wait inside MPI
(`oversubscription`). But where all collectives go through shared memory nobody waits there, and a
rank only polls: for messages, for transfers. Then each poll that found nothing gave the core away
in the middle of the rank's own work, and its whole group waited until it had its next turn. So
while ranks only poll, this is off; `exchange.shared` yields where a rank does wait.

Open MPI reads the setting once, as it is initialized. Later only the function can change it that
Open MPI itself uses for that. It is not a part of MPI's interface, so where it is not found nothing
changes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from mpi4py import MPI

__all__ = ["MpiYields"]

SETTER: Final = "opal_progress_set_yield_when_idle"
"""`bool (bool)`: sets it, and returns what it was; in Open MPI since its version 1."""


class MpiYields:
    """This process's setting; `on` is what it is now. Several of these see the same one."""

    def __init__(self) -> None:
        self._set = _setter()
        self.on: bool | None = None
        """None: it cannot be known, so who waits gives the core away itself."""
        if self._set is not None:
            self.on = self._set(False)
            self._set(self.on)
        self._wanted = bool(self.on)

    def only_polls(self, polls: bool) -> None:
        """From now on this process only `polls`, or waits inside MPI again."""
        on = self._wanted and not polls
        if self._set is not None and on != self.on:
            self._set(on)
            self.on = on

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Waits inside MPI in here, then goes on as before."""
        polled = self._wanted and not self.on
        self.only_polls(False)
        try:
            yield
        finally:
            self.only_polls(polled)


def _setter() -> Callable[[bool], bool] | None:
    """Open MPI's function, in what mpi4py has loaded; None with another MPI."""
    with suppress(OSError, AttributeError):
        found = ctypes.CDLL(MPI.__file__)[SETTER]
        found.argtypes, found.restype = [ctypes.c_bool], ctypes.c_bool
        return found
    return None
