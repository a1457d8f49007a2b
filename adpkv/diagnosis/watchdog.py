"""A thread per rank that notices when its rank has been in one collective for too long.

The slots of a collective (`worlds.mpi.slots`) show ranks that are in different collectives. They do
not show a rank that never comes, because it waits alone for something or loops without end: the
others wait for it in native code. So a thread reads the board (`flight_recorder.board`) and reports
which rank is where.

It must not raise a false alarm. It ignores time in which it was suspended itself
(`diagnosis.suspension`), the job's last collective, and ranks that have not finished starting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Final

from adpkv.diagnosis.suspension import SuspensionClock
from adpkv.errors import DeadlockError
from adpkv.executor.collectives import WORLD
from adpkv.flight_recorder.board import Board, BoardEntry

__all__ = ["StuckTimer", "Watchdog", "deadlock_error"]

LOOKS_PER_TIMEOUT: Final = 10
LONGEST_LOOK_S: Final = 0.2
LOOKS_PER_TURN: Final = 2
"""The gap between two polls may be this many intervals: on a machine with too few cores it is."""

START_BOUND_NS: Final = 120_000_000_000
"""How long a rank may take to start (its memory, its files) while others wait for it. Its ring does
not tell starting from hanging, and it starts only once."""

NS_PER_S: Final = 1e9


class StuckTimer:
    """For how long this rank has been observed in one collective. `turn_ns` is the longest normal
    time between two polls of a thread that is not suspended."""

    def __init__(self, turn_ns: int, now_ns: int) -> None:
        self._turn_ns, self._suspension = turn_ns, SuspensionClock(turn_ns, now_ns)
        self._came_ns = self._since_ns = 0

    def stuck_ns(self, own: BoardEntry, now_ns: int) -> int:
        """To be called at each poll: for how long the rank has been in its collective, in
        nanoseconds. 0 where no limit applies: between collectives, and in the job's last one."""
        missed_ns = self._suspension.missed(now_ns)
        # In the job's last collective a rank may wait for as long as another instance drains.
        if not own.since_ns or own.group == WORLD:
            return 0
        if own.since_ns != self._came_ns:
            # Another collective than at the last poll: its time before this poll was not observed.
            self._came_ns = own.since_ns
            self._since_ns = max(own.since_ns, now_ns - self._turn_ns)
        else:
            self._since_ns += missed_ns
        return now_ns - self._since_ns


class Watchdog:
    """Watches this rank. `speak(error)` is called once, on each rank that hangs. `look()` is called
    at each poll, for requests of another rank. Must be started and stopped."""

    def __init__(
        self,
        board: Board,
        hang_ns: int,
        speak: Callable[[DeadlockError], None],
        look: Callable[[], None] = lambda: None,
        *,
        start_ns: int = START_BOUND_NS,
    ) -> None:
        self._board, self._hang_ns, self._speak, self._look = board, hang_ns, speak, look
        self._start_ns = start_ns
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and wait for its end."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        look_s = min(self._hang_ns / LOOKS_PER_TIMEOUT / NS_PER_S, LONGEST_LOOK_S)
        patience = StuckTimer(int(LOOKS_PER_TURN * look_s * NS_PER_S), perf_counter_ns())
        while not self._over.wait(look_s):
            self._look()
            own = self._board.own()
            stuck_ns = patience.stuck_ns(own, perf_counter_ns())
            if stuck_ns <= self._hang_ns:
                continue
            seen = self._board.entries()
            if stuck_ns <= self._start_ns and any(not _begun(entry) for entry in seen):
                continue
            self._speak(deadlock_error(own, seen, perf_counter_ns()))
            return


def _begun(entry: BoardEntry) -> bool:
    """Has this rank come to any collective yet?"""
    return bool(entry.place.kind)


def deadlock_error(own: BoardEntry, seen: Sequence[BoardEntry], now_ns: int) -> DeadlockError:
    """The error that lists which rank waits where and which is elsewhere, as far as this host's
    ranks go."""
    waits_s = (now_ns - own.since_ns) / NS_PER_S
    lines = [
        f"ranks have waited for {waits_s:.1f} s in {own.place.kind} at {own.place.site},"
        f" iteration {own.place.iteration}, for one that does not come"
    ]
    lines += [f"  {_describe(entry, now_ns)}" for entry in seen]
    return DeadlockError("\n".join(lines), [entry.place for entry in seen], own.group)


def _describe(entry: BoardEntry, now_ns: int) -> str:
    place = entry.place
    if not _begun(entry):
        return f"rank {place.rank} has not begun"
    where = f"{place.kind} at {place.site}, iteration {place.iteration}"
    if not entry.since_ns:
        return f"rank {place.rank} is on its way, last seen in {where}"
    since_s = (now_ns - entry.since_ns) / NS_PER_S
    return f"rank {place.rank} is in {where}, for {since_s:.1f} s"
