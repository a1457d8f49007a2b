"""Steps that take what real ones were measured to take: with noise, and with what held them up.

The noise of a step is drawn by the seed, the group and the number of the step in the run of its
group. So a run that makes many steps as one gets the same noise as one that makes each by itself.
A row of steps has no closed sum then: they are added up one by one, as far as they are asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from adpkv.worlds.virtual.draws import Draw
from adpkv.worlds.virtual.stretch import Line, StepStretch, WaitStretch

__all__ = ["MeasuredStretch", "NoticedWaits", "Past"]

Past = Callable[[int, int], int]
"""(beginning, duration) -> end, in nanoseconds: what stalls make of it."""


class NoticedWaits(WaitStretch):
    """Waits that end some time after something has arrived, but not later than by their limit.

    Real ranks look less often the longer they wait, until they have waited for `backoff_ns`. So
    what comes sooner is noticed sooner, in proportion. `past`: the stalls in which it is not
    noticed.
    """

    __slots__ = ("_backoff_ns", "_group", "_notice", "_past")

    def __init__(
        self,
        began_ns: int,
        overhead_ns: int,
        limit_ns: int,
        notice: Draw,
        group: int,
        past: Past | None = None,
        backoff_ns: int = 0,
    ) -> None:
        super().__init__(began_ns, overhead_ns, limit_ns)
        self._notice, self._group, self._past = notice, group, past
        self._backoff_ns = backoff_ns

    def arrival(self, at_ns: int) -> int:
        """The time at which the current wait ends if something arrives at `at_ns`. The delay is
        drawn by that time, which no way through the run changes."""
        if at_ns <= self._began_ns:
            return super().arrival(self._began_ns)
        ends_ns = super().arrival(at_ns)
        if ends_ns != at_ns or not self._cycle_ns:
            return ends_ns  # it came before the wait, and is seen as that begins
        waits, into_ns = divmod(at_ns - self._began_ns, self._cycle_ns)
        if not into_ns:
            return at_ns
        limit_ns = self._began_ns + (waits + 1) * self._cycle_ns
        notice_ns = self._notice(self._group, at_ns)
        waited_ns = into_ns - self._overhead_ns
        if waited_ns < self._backoff_ns:
            notice_ns = notice_ns * max(waited_ns, 0) // self._backoff_ns
        noticed_ns = at_ns + notice_ns if self._past is None else self._past(at_ns, notice_ns)
        return min(noticed_ns, limit_ns)


class MeasuredStretch(StepStretch):
    """A stretch whose k-th step also takes the noise of step `first + k`; the first one also takes
    `held_ns`. `past`: the stalls that the steps meet."""

    __slots__ = (
        "_ends", "_first", "_held_ns", "_jitter", "_lines", "_more", "_most", "_past", "_ticks",
    )  # fmt: skip

    def __init__(
        self,
        began_ns: int,
        overhead_ns: int,
        lines: Sequence[Line],
        most: int,
        ticks_per_ns: int,
        *,
        jitter: Callable[[int], int],
        first: int,
        held_ns: int,
        past: Past | None = None,
    ) -> None:
        self.began_ns, self.ticks = began_ns, 1
        self._ticks, self._lines, self._most = ticks_per_ns, lines, most
        self._more = overhead_ns * ticks_per_ns + ticks_per_ns // 2
        self._jitter, self._first, self._held_ns = jitter, first, held_ns
        self._past = past
        self._ends: list[int] = []
        """When each step ends, of those that were asked for so far."""

    def end(self, until_ns: int) -> tuple[int, int]:
        """(steps, time in ns) of the first step boundary at or after `until_ns`, or of the last
        step. At least one step is made."""
        ends = self._ends
        while not ends or (ends[-1] < until_ns and len(ends) < self._most):
            self._extend()
        place = min(bisect_left(ends, until_ns), len(ends) - 1)
        if until_ns <= self.began_ns:
            place = 0
        return place + 1, ends[place]

    def first_end_ns(self) -> int:
        """When the first step ends."""
        return self.end(0)[1]

    def rows(self, made: int) -> list[tuple[int, int, int]]:
        """The first `made` steps as rows of one step each, in nanoseconds."""
        begins = [self.began_ns, *self._ends]
        return [(1, end - begin, 0) for begin, end in zip(begins, self._ends[:made], strict=False)]

    def _extend(self) -> None:
        step = len(self._ends)
        line = max([base + step * slope for base, slope in self._lines])
        took_ns = (line + self._more) // self._ticks + self._jitter(self._first + step)
        if not step:
            took_ns += self._held_ns
        begin_ns = self._ends[-1] if step else self.began_ns
        past = self._past
        self._ends.append(begin_ns + took_ns if past is None else past(begin_ns, took_ns))
