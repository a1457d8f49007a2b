"""A thread per rank that sees when its rank has stood in one collective for too long.

Slots show ranks that stand in different collectives. A rank that never comes, because it waits
alone for something or turns in a loop, shows nothing: the others wait for it in native code. So
a thread looks at the board (`flight_recorder.board`), and says who is where.

It must never speak where all is well. What it allows: time in which it could not look itself
(`diagnosis.suspension`), the job's last collective, and a rank that is still being made.
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

__all__ = ["StuckTimer", "Watchdog", "judgement"]

LOOKS_PER_TIMEOUT: Final = 10
LONGEST_LOOK_S: Final = 0.2
LOOKS_PER_TURN: Final = 2
"""A look may be late by one: on a machine where others want the cores too, it is."""

START_BOUND_NS: Final = 120_000_000_000
"""How long a rank may be in the making (its memory, its files) while others wait for it. Nothing in
its own ring tells that from standing still, and it happens once."""

NS_PER_S: Final = 1e9


class StuckTimer:
    """For how long this rank has been *seen* to stand in one collective. `turn_ns` is the longest
    time between two looks of one that is let run."""

    def __init__(self, turn_ns: int, now_ns: int) -> None:
        self._turn_ns, self._suspension = turn_ns, SuspensionClock(turn_ns, now_ns)
        self._came_ns = self._since_ns = 0

    def stood_ns(self, own: BoardEntry, now_ns: int) -> int:
        """A look at it: 0 where it may stand for as long as it likes."""
        missed_ns = self._suspension.missed(now_ns)
        # In the job's last collective a rank may wait for as long as another instance drains.
        if not own.since_ns or own.group == WORLD:
            return 0
        if own.since_ns != self._came_ns:
            # Another one than at the last look: nobody saw what it was like before.
            self._came_ns = own.since_ns
            self._since_ns = max(own.since_ns, now_ns - self._turn_ns)
        else:
            self._since_ns += missed_ns
        return now_ns - self._since_ns


class Watchdog:
    """Watches this rank; `speak(error)` is told once, on each rank that hangs, and `look` is called
    whenever it looks: another rank may ask for something. Must be started and stopped."""

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
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        look_s = min(self._hang_ns / LOOKS_PER_TIMEOUT / NS_PER_S, LONGEST_LOOK_S)
        patience = StuckTimer(int(LOOKS_PER_TURN * look_s * NS_PER_S), perf_counter_ns())
        while not self._over.wait(look_s):
            self._look()
            own = self._board.own()
            stood_ns = patience.stood_ns(own, perf_counter_ns())
            if stood_ns <= self._hang_ns:
                continue
            seen = self._board.entries()
            if stood_ns <= self._start_ns and any(not _begun(entry) for entry in seen):
                continue
            self._speak(judgement(own, seen, perf_counter_ns()))
            return


def _begun(entry: BoardEntry) -> bool:
    """Has this rank come to a collective yet?"""
    return bool(entry.place.kind)


def judgement(own: BoardEntry, seen: Sequence[BoardEntry], now_ns: int) -> DeadlockError:
    """Who waits where, and who is somewhere else; as far as this host's ranks go."""
    waits_s = (now_ns - own.since_ns) / NS_PER_S
    lines = [
        f"ranks have waited for {waits_s:.1f} s in {own.place.kind} at {own.place.site},"
        f" iteration {own.place.iteration}, for one that does not come"
    ]
    lines += [f"  {_told(entry, now_ns)}" for entry in seen]
    return DeadlockError("\n".join(lines), [entry.place for entry in seen], own.group)


def _told(entry: BoardEntry, now_ns: int) -> str:
    place = entry.place
    if not _begun(entry):
        return f"rank {place.rank} has not begun"
    where = f"{place.kind} at {place.site}, iteration {place.iteration}"
    if not entry.since_ns:
        return f"rank {place.rank} is on its way, last seen in {where}"
    since_s = (now_ns - entry.since_ns) / NS_PER_S
    return f"rank {place.rank} is in {where}, for {since_s:.1f} s"
