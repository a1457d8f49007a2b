"""An iteration of a real group, and the work that its ranks did in it beside their step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

__all__ = ["COLUMNS", "WORK", "Iteration", "Made", "features", "work_ns"]

Array = np.ndarray[Any, np.dtype[np.float64]]

WORK: Final = ("posted", "sent", "received", "advertised", "answered", "assigned")
"""What ranks do beside steps. The first three come before the sync, where all of them meet. Of the
last two nothing is known when messages of the iteration go out."""

BEFORE: Final = 3
ANSWERED: Final = WORK.index("answered")

COLUMNS: Final = (
    "sequences", "prefill once", "prefill blocks", "prefill KiB",
    *(f"{what} {part}" for what in WORK for part in ("once", "each", "blocks", "KiB")),
)  # fmt: skip
"""What makes an iteration longer, each for itself."""

_FIRST: Final = COLUMNS.index("posted once")


class Made(NamedTuple):
    """How often a rank did something, with how many blocks and KiB of KV in all."""

    times: float = 0
    blocks: float = 0
    kib: float = 0


NOTHING: Final = Made()


@dataclass(slots=True)
class Iteration:
    """From its intake to the next one's; one without a step until it waits."""

    group: int
    ranks: int
    begin_ns: int
    took_ns: int = 0
    lines: tuple[tuple[float, tuple[int, int, int, int]], ...] = ()
    """Of each rank: what its step costs by the model, and its batch; none without a step."""
    prefill: Made = NOTHING
    """The KV that the rank with most prompt tokens made."""
    done: dict[tuple[str, int], Made] = field(default_factory=dict)
    """By work and rank."""

    def add(self, what: str, rank: int, blocks: float, kib: float) -> None:
        """A rank did this once more."""
        had = self.done.get((what, rank), NOTHING)
        self.done[what, rank] = Made(had.times + 1, had.blocks + blocks, had.kib + kib)

    def copied(self) -> Iteration:
        """As it is now."""
        return Iteration(
            self.group, self.ranks, self.begin_ns, self.took_ns, self.lines, self.prefill,
            dict(self.done),
        )  # fmt: skip


def features(them: Sequence[Iteration], costs: Array) -> Array:
    """A row for each iteration: how much of each of `COLUMNS` it has. Of KV that is what the
    slowest rank has, by these costs, in each half of the iteration."""
    found = np.zeros((len(them), len(COLUMNS)))
    for row, one in zip(found, them, strict=True):
        row[0] = max((batch[2] for _, batch in one.lines), default=0)
        row[1:_FIRST] = one.prefill.times, one.prefill.blocks, one.prefill.kib
        if one.done:
            _add_work(row, one, costs)
    return found


def _add_work(row: Array, one: Iteration, costs: Array) -> None:
    own: dict[tuple[bool, int], Array] = {}
    for (what, rank), made in one.done.items():
        number = WORK.index(what)
        at = _FIRST + 4 * number
        row[at] = 1
        row[at + 1] += made.times
        half = own.setdefault((number < BEFORE, rank), np.zeros(len(row)))
        half[at + 2 : at + 4] += made.blocks, made.kib
    for early in (True, False):
        mine = [half for (when, _), half in own.items() if when == early]
        if mine:
            row += max(mine, key=lambda half: float(half @ costs))


def work_ns(one: Iteration, costs: Array, rank: int | None = None) -> float:
    """How long its ranks had worked when its messages went out; one of a single rank goes out when
    that rank has done its own."""
    there = {
        (what, other): made
        for (what, other), made in one.done.items()
        if WORK.index(what) < BEFORE or (WORK.index(what) < ANSWERED and rank in (None, other))
    }
    if not there:
        return 0.0
    row = np.zeros(len(COLUMNS))
    _add_work(row, Iteration(one.group, one.ranks, one.begin_ns, done=there), costs)
    return float(row @ costs)
