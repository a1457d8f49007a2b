"""Joins the records of ranks to the collectives of groups: the same from both worlds.

A real rank records itself, so that a collective is put together from the records of its members.
The virtual world records a stretch of a whole group, which is taken apart into its iterations.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from adpkv.executor.collectives import WORLD
from adpkv.timeline.format import OPEN
from adpkv.timeline.reader import Joined, Paused, Record, RecordReader, Stretch

__all__ = ["GroupCollective", "Presence", "collectives", "count_slices"]

STALE: Final = 16
"""A collective that not all members have come to is passed on when so many younger ones of its
group are there: some of its members had failed."""


class Presence(NamedTuple):
    """A member in a collective: from `ready_ns` on it waits or exchanges only."""

    rank: int
    begin_ns: int
    ready_ns: int
    end_ns: int
    prefill_tokens: int = 0
    sequences: int = 0
    batch: tuple[int, int, int, int] = (0, 0, 0, 0)


class GroupCollective(NamedTuple):
    """A collective of a group; `steps` of a step is more than 1 where they are folded into one."""

    group: int
    iteration: int
    kind: str
    site: str
    steps: int
    present: tuple[Presence, ...]

    @property
    def last(self) -> Presence:
        """The member for which all others waited: the last that was ready."""
        return max(self.present, key=lambda one: (one.ready_ns, one.rank))

    @property
    def is_together(self) -> bool:
        """Whether its members wait for each other: not in waits and pauses."""
        return self.kind not in ("wait", "pause") and len(self.present) > 1


def collectives(
    readers: Sequence[RecordReader], sizes: dict[int, int], *, fold: bool
) -> Iterator[GroupCollective]:
    """All collectives; those of one group in their order.

    Args:
        readers: the files of the run.
        sizes: how many members each group has at most.
        fold: steps that the virtual world made as one stay one.
    """
    joined = heapq.merge(*(_joined(reader) for reader in readers), key=lambda one: one.begin_ns)
    yield from _matched(joined, sizes)
    for reader in readers:
        for record in reader:
            if isinstance(record, Stretch):
                yield from _folded(record) if fold else _unfolded(record)
            elif isinstance(record, Paused):
                yield _pause(record)


def count_slices(readers: Sequence[RecordReader]) -> int:
    """How many slices the collectives make if none are folded, roughly."""
    return sum(_slices(record) for reader in readers for record in reader)


def _slices(record: Record) -> int:
    if isinstance(record, Stretch):
        return max(record.steps, 1) * len(record.members) * (len(record.collectives) + 3)
    return 2 if isinstance(record, Joined) else 0


def _joined(reader: RecordReader) -> Iterator[Joined]:
    return (record for record in reader if isinstance(record, Joined))


def _matched(records: Iterable[Joined], sizes: dict[int, int]) -> Iterator[GroupCollective]:
    """Collectives whole and in order; of failed ranks what there is."""
    open_ones: dict[int, dict[int, list[Joined]]] = {}
    for record in records:
        waiting = open_ones.setdefault(record.group, {})
        waiting.setdefault(record.sequence, []).append(record)
        yield from _ready(waiting, sizes.get(record.group, 1))
    for group in sorted(open_ones, key=lambda number: (number == WORLD, number)):
        for sequence in sorted(open_ones[group]):
            yield from _collective(open_ones[group][sequence])


def _ready(waiting: dict[int, list[Joined]], size: int) -> Iterator[GroupCollective]:
    while waiting:
        oldest = min(waiting)
        if len(waiting[oldest]) < size and len(waiting) <= STALE:
            return
        yield from _collective(waiting.pop(oldest))


def _collective(records: Sequence[Joined]) -> Iterator[GroupCollective]:
    """One collective; where ranks came to different ones with the same number, one of each."""
    by_place: dict[tuple[int, str, str], list[Presence]] = {}
    for one in sorted(records, key=lambda record: record.rank):
        there = Presence(
            one.rank, one.begin_ns, one.ready_ns, one.end_ns, one.batch[0], one.batch[2], one.batch
        )
        by_place.setdefault((one.iteration, one.kind, one.site), []).append(there)
    for (iteration, kind, site), present in by_place.items():
        steps = int(kind == "step")
        yield GroupCollective(records[0].group, iteration, kind, site, steps, tuple(present))


def _pause(record: Paused) -> GroupCollective:
    there = Presence(record.rank, record.begin_ns, record.begin_ns, record.end_ns)
    return GroupCollective(record.group, -1, "pause", record.site, 0, (there,))


def _unfolded(stretch: Stretch) -> Iterator[GroupCollective]:
    """Every iteration of a stretch."""
    if not stretch.steps:
        yield from _iteration(stretch, 0, 1, stretch.begin_ns, stretch.end_ns)
        return
    spent = [_took_ns(stretch, step) for step in range(stretch.steps)]
    # What else there was (noise) is spread over the steps: their boundaries are not recorded.
    more = stretch.end_ns - stretch.begin_ns - sum(spent)
    at_ns = stretch.begin_ns
    for step, took_ns in enumerate(spent):
        share = more * (step + 1) // stretch.steps - more * step // stretch.steps
        end_ns = at_ns + took_ns + share
        yield from _iteration(stretch, step, 1, at_ns, end_ns)
        at_ns = end_ns


def _folded(stretch: Stretch) -> Iterator[GroupCollective]:
    yield from _iteration(stretch, 0, stretch.steps, stretch.begin_ns, stretch.end_ns)


def _took_ns(stretch: Stretch, step: int) -> int:
    """An iteration's time, rounded as the world rounds it (`worlds.virtual.stretch`)."""
    most = max(one.base + step * one.slope for one in stretch.members)
    ticks = stretch.ticks
    more_ns = stretch.paid * stretch.each_ns + stretch.besides_ns
    return (most + more_ns * ticks + ticks // 2) // ticks


def _iteration(
    stretch: Stretch, step: int, steps: int, begin_ns: int, end_ns: int
) -> Iterator[GroupCollective]:
    """An iteration, or several as one: the small collectives, then the step or the wait."""
    *small, (kind, site) = stretch.collectives
    at_ns, each_ns = begin_ns, stretch.each_ns * max(steps, 1)
    last_ns = begin_ns if end_ns == OPEN else end_ns
    for small_kind, small_site in small:
        end = min(at_ns + each_ns, last_ns)
        spans = [(at_ns, at_ns, end)] * len(stretch.members)
        yield _all_at(stretch, small_kind, small_site, 0, spans)
        at_ns = end
    spans = []
    for one in stretch.members:
        own = steps * one.base + one.slope * (steps * (steps - 1) // 2 + step * steps)
        ready_ns = at_ns + (own + stretch.ticks // 2) // stretch.ticks
        spans.append((at_ns, ready_ns if end_ns == OPEN else min(ready_ns, end_ns), end_ns))
    if not stretch.steps:
        spans = [(at_ns, at_ns, end_ns)] * len(stretch.members)
    yield _all_at(stretch, kind, site, steps if stretch.steps else 0, spans)


def _all_at(
    stretch: Stretch, kind: str, site: str, steps: int, spans: Sequence[tuple[int, int, int]]
) -> GroupCollective:
    present = tuple(
        Presence(one.rank, *span, one.prefill_tokens, one.sequences)
        for one, span in zip(stretch.members, spans, strict=True)
    )
    return GroupCollective(stretch.group, stretch.iteration, kind, site, steps, present)
