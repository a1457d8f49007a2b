"""The coordinator's thread beside world rank 0.

A hand-over between instances must not wait for rank 0's forward step, hence a thread; and it needs
mail alone, hence a loop that only knows `Receive`. It polls politely: a blocking receive would spin
a core under Open MPI.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine
from typing import Any

from adpkv.errors import AdpkvError
from adpkv.executor.meetings import Receive
from adpkv.executor.ports import Clock, Mailbox
from adpkv.worlds.mpi.driver import guarded
from adpkv.worlds.mpi.naps import Nap

__all__ = ["CoordinatorThread"]


class CoordinatorThread:
    """Runs the coordinator program to its end; what escapes from it ends the job."""

    def __init__(self, program: Coroutine[Any, Any, None], mailbox: Mailbox, clock: Clock) -> None:
        self._program, self._mailbox, self._clock = program, mailbox, clock
        # A daemon: should the main thread die, the process must not stay for this one.
        self._thread = threading.Thread(target=self._guarded, name="coordinator", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def join(self, bound_s: float) -> None:
        """Wait for its end.

        Raises:
            AdpkvError: it did not end within the bound.
        """
        self._thread.join(bound_s)
        if self._thread.is_alive():
            raise AdpkvError(f"the coordinator did not end within {bound_s} s after its ranks")

    def _guarded(self) -> None:
        guarded("the coordinator (beside rank 0)", self._run)

    def _run(self) -> None:
        send: Callable[[Any], Any] = self._program.send
        mail: Any = None
        while True:
            try:
                op = send(mail)
            except StopIteration:
                return
            if not isinstance(op, Receive):
                raise AdpkvError(f"the coordinator awaited {type(op).__name__}, not Receive")
            mail = self._receive(op.until_ns)

    def _receive(self, until_ns: int) -> list[Any]:
        nap = Nap()
        while not self._mailbox.ready():
            left_ns = until_ns - self._clock()
            if left_ns <= 0:
                break
            nap.take(left_ns)
        return list(self._mailbox.receive())
