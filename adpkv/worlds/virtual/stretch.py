"""How long n steps in a row take, exactly: the arithmetic of quiet stretches.

The k-th step of a stretch takes rank r `base_r + k * slope_r` ticks, rounded to nanoseconds. The
group takes the maximum over its ranks: the upper envelope of lines, which is a few segments with
one line each (rounding is monotone, so the maximum may be taken first). The sum of n rounded steps
is a sum of floors of an arithmetic progression, which has a closed form too. The result equals
adding the steps up one by one, in O(log ticks).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

__all__ = [
    "Columns",
    "StepStretch",
    "WaitStretch",
    "columns_of",
    "envelope",
    "floor_sum",
    "lines_of",
]

Line = tuple[int, int]
"""(base, slope), in ticks."""

Columns = tuple[list[int], list[int], int]
"""(bases, slopes, steps made) of lines that are counted from a step before: their next steps are
those behind the ones made."""

Segment = tuple[int, int, int, int]
"""(first step, steps, base of its first step, slope)."""


def envelope(lines: Sequence[Line], most: int) -> list[Segment]:
    """The upper envelope of `lines` over the steps 0 .. most - 1. O(lines x segments)."""
    return raised_envelope(columns_of(lines), most, 0)


def columns_of(lines: Sequence[Line]) -> Columns:
    """The same lines as columns."""
    return [base for base, _ in lines], [slope for _, slope in lines], 0


def lines_of(columns: Columns) -> list[Line]:
    """The lines of the next steps."""
    bases, slopes, made = columns
    return [
        (base + made * slope if slope else base, slope)
        for base, slope in zip(bases, slopes, strict=True)
    ]


def raised_envelope(columns: Columns, most: int, more: int) -> list[Segment]:
    """The same of lines as columns, where each step takes so much more."""
    bases, slopes, made = columns
    base, slope = bases[0] + made * slopes[0], slopes[0]
    for place, other_slope in enumerate(slopes):
        other_base = bases[place]
        if other_slope:
            other_base += made * other_slope
        if other_base > base or (other_base == base and other_slope > slope):
            base, slope = other_base, other_slope
    if most == 1:
        return [(0, 1, base + more, slope)]
    found: list[Segment] = []
    at = 0
    while True:
        end = most
        next_base, next_slope = base, slope
        for place, other_slope in enumerate(slopes):
            if other_slope > slope:
                other_base = bases[place] + made * other_slope
                # The first step at which the other line is strictly above this one.
                cross = (base - other_base) // (other_slope - slope) + 1
                # Of several that cross at the same step the highest there goes on: not the
                # steepest, which may still be below it.
                if cross < end or (
                    cross == end < most
                    and (other_base + cross * other_slope, other_slope)
                    > (next_base + cross * next_slope, next_slope)
                ):
                    end, next_base, next_slope = cross, other_base, other_slope
        found.append((at, end - at, base + at * slope + more, slope))
        if end >= most:
            return found
        at = end
        base, slope = next_base, next_slope


def _sum(steps: int, base: int, slope: int) -> int:
    return steps * base + slope * (steps * (steps - 1) // 2)


def floor_sum(steps: int, base: int, slope: int, divisor: int) -> int:
    """The sum of (base + k * slope) // divisor over k = 0 .. steps - 1; no argument may be
    negative.

    Counts the lattice points under a line; Euclid's algorithm swaps the axes again and again
    (Graham, Knuth, Patashnik, Concrete Mathematics, 3.5).
    """
    total = 0
    while steps:
        total += _sum(steps, base // divisor, slope // divisor)
        base, slope = base % divisor, slope % divisor
        steps, base = divmod(base + steps * slope, divisor)
        divisor, slope = slope, divisor
    return total


def _steps_to_reach(span: int, base: int, slope: int) -> int:
    """The smallest n whose n steps take at least `span`; for span > 0 and a positive base."""
    if slope == 0:
        return -(-span // base)
    # slope/2 n^2 + (base - slope/2) n - span = 0, solved in integers, then corrected.
    p = 2 * base - slope
    n = max((isqrt(p * p + 8 * slope * span) - p) // (2 * slope) - 1, 1)
    while _sum(n, base, slope) < span:
        n += 1
    return n


class StepStretch:
    """At most `most` steps in a row from `began_ns` on. Each also costs `overhead_ns`, the time of
    the small collectives of its iteration. Columns are in ticks."""

    __slots__ = ("_end", "_segments", "began_ns", "ticks")

    def __init__(
        self,
        began_ns: int,
        overhead_ns: int,
        columns: Columns,
        most: int,
        ticks_per_ns: int = 1,
    ) -> None:
        self.began_ns = began_ns
        self.ticks = ticks_per_ns
        self._end: tuple[int, int] | None = None
        """The last answer of `end`."""
        # Half a nanosecond more, so that rounding becomes a floor.
        more = overhead_ns * ticks_per_ns + ticks_per_ns // 2
        self._segments = raised_envelope(columns, most, more)

    def end(self, until_ns: int) -> tuple[int, int]:
        """(steps, time in ns) of the first step boundary at or after `until_ns`, or of the last
        step. At least one step is made."""
        if self._end is not None and until_ns == self._end[1]:
            return self._end  # most are asked about twice: planned, then made
        began_ns, ticks = self.began_ns, self.ticks
        first_ns = self._segments[0][2] // ticks
        if until_ns <= began_ns:
            # Something is due already, and waits for one step. Also where steps take no time.
            return 1, began_ns + first_ns
        span = until_ns - began_ns
        at_ns, steps = began_ns, 0
        for _, count, base, slope in self._segments:
            total = base // ticks if count == 1 else self._sum_ns(count, base, slope)
            if total >= span:
                if count > 1:
                    count = self._reach(span, count, base, slope)
                    total = self._sum_ns(count, base, slope)
                steps, at_ns = steps + count, at_ns + total
                break
            steps += count
            at_ns += total
            span -= total
        found = steps, at_ns
        if first_ns:  # where steps take no time, several end at one boundary
            self._end = found
        return found

    def first_end_ns(self) -> int:
        """When the first step ends."""
        return self.began_ns + self._segments[0][2] // self.ticks

    def rows(self, made: int) -> list[tuple[int, int, int]]:
        """The first `made` steps as rows of (steps, base, slope), in ticks: the k-th step of a row
        takes (base + k * slope) // ticks nanoseconds, small collectives included."""
        found = []
        for first, steps, base, slope in self._segments:
            if first >= made:
                break
            found.append((steps if first + steps < made else made - first, base, slope))
        return found

    def _sum_ns(self, steps: int, base: int, slope: int) -> int:
        if self.ticks == 1:
            return _sum(steps, base, slope)
        return floor_sum(steps, base, slope, self.ticks)

    def _reach(self, span_ns: int, most: int, base: int, slope: int) -> int:
        """The smallest n whose n steps take at least `span_ns`; `most` steps are known to."""
        if self.ticks == 1:
            return _steps_to_reach(span_ns, base, slope)
        # Each step is rounded down by less than a nanosecond: not fewer steps than without, and
        # seldom many more.
        ticks = self.ticks
        low, stride = min(_steps_to_reach(span_ns * ticks, base, slope), most), 1
        high = low
        while self._sum_ns(high, base, slope) < span_ns:
            low, high, stride = high + 1, min(high + stride, most), 2 * stride
        while low < high:
            middle = (low + high) // 2
            if self._sum_ns(middle, base, slope) >= span_ns:
                high = middle
            else:
                low = middle + 1
        return low


class WaitStretch:
    """Equal bounded waits in a row from `began_ns` on. Each is `overhead_ns` of small collectives,
    then at most `limit_ns` of waiting, which any arrival ends at once."""

    __slots__ = ("_began_ns", "_cycle_ns", "_overhead_ns")

    def __init__(self, began_ns: int, overhead_ns: int, limit_ns: int) -> None:
        self._began_ns = began_ns
        self._overhead_ns = overhead_ns
        self._cycle_ns = overhead_ns + limit_ns

    def end(self, until_ns: int) -> int:
        """The time at which the first wait ends by its limit, at or after `until_ns`."""
        waits = -(-(until_ns - self._began_ns) // self._cycle_ns) if self._cycle_ns else 1
        return self._began_ns + max(waits, 1) * self._cycle_ns

    def arrival(self, at_ns: int) -> int:
        """The time at which the current wait ends if something arrives at `at_ns`."""
        if not self._cycle_ns:
            return at_ns
        waits, into_ns = divmod(at_ns - self._began_ns, self._cycle_ns)
        if into_ns == 0 and waits > 0:
            return at_ns  # it came just as a wait ended
        return max(at_ns, self._began_ns + waits * self._cycle_ns + self._overhead_ns)
