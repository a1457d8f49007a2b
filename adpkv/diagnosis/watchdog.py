"""A thread per rank that sees when its rank has stood in one meeting for too long.

Slots show ranks that stand in different collectives. A rank that never comes, because it waits
alone for something or turns in a loop, shows nothing: the others wait for it in native code. So
a thread looks at the board (`diagnosis.board`), and says who is where.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Final

from adpkv.diagnosis.board import Board, Standing
from adpkv.errors import DeadlockError
from adpkv.executor.meetings import WORLD

__all__ = ["Watchdog", "judgement"]

LOOKS_PER_TIMEOUT: Final = 10
LONGEST_LOOK_S: Final = 0.2
NS_PER_S: Final = 1e9


class Watchdog:
    """Watches this rank; `speak(error)` is told once, on each rank that hangs, and `look` is called
    whenever it looks: another rank may ask for something. Must be started and stopped."""

    def __init__(
        self,
        board: Board,
        hang_ns: int,
        speak: Callable[[DeadlockError], None],
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self._board, self._hang_ns, self._speak, self._look = board, hang_ns, speak, look
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
        while not self._over.wait(look_s):
            self._look()
            own = self._board.own()
            if not _hangs(own, perf_counter_ns(), self._hang_ns):
                continue
            seen = self._board.standings()
            now_ns = perf_counter_ns()
            self._speak(judgement(own, seen, now_ns))
            return


def _hangs(standing: Standing, now_ns: int, hang_ns: int) -> bool:
    # In the job's last meeting a rank may wait for as long as another instance drains.
    in_meeting = standing.since_ns > 0 and standing.group != WORLD
    return in_meeting and now_ns - standing.since_ns > hang_ns


def judgement(own: Standing, seen: Sequence[Standing], now_ns: int) -> DeadlockError:
    """Who waits where, and who is somewhere else; as far as this host's ranks go."""
    waits_s = (now_ns - own.since_ns) / NS_PER_S
    lines = [
        f"ranks have waited for {waits_s:.1f} s in {own.place.kind} at {own.place.site},"
        f" iteration {own.place.iteration}, for one that does not come"
    ]
    lines += [f"  {_told(standing, now_ns)}" for standing in seen]
    return DeadlockError("\n".join(lines), [standing.place for standing in seen], own.group)


def _told(standing: Standing, now_ns: int) -> str:
    place = standing.place
    if not place.kind:
        return f"rank {place.rank} has not begun"
    where = f"{place.kind} at {place.site}, iteration {place.iteration}"
    if not standing.since_ns:
        return f"rank {place.rank} is on its way, last seen in {where}"
    since_s = (now_ns - standing.since_ns) / NS_PER_S
    return f"rank {place.rank} is in {where}, for {since_s:.1f} s"
