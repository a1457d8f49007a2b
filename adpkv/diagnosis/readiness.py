"""Is the job ready, is it alive? Pure functions of what rank 0 has heard and sees; no clock.

An HTTP server that answers says nothing about the loop beside it. So the judgement is made of
progress: an instance's loop turns only if all its ranks join it, on whatever hosts they are, and
its leader's message is the sign that it did. Which rank keeps the others waiting, the board says,
as far as this host's ranks go. Transceivers judge themselves (contract 4.2), and leaders pass it
on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from adpkv.core.topology import Instance
from adpkv.executor.collectives import WORLD
from adpkv.executor.messages import Pulse
from adpkv.flight_recorder.board import BoardEntry

__all__ = ["Finding", "LastHeard", "Reason", "Seen", "silences_ns", "unalive", "unready"]

NS_PER_S: Final = 1e9


class Reason(StrEnum):
    """What keeps a job from being ready; the last three are `TransceiverHealth.reasons`."""

    NOT_BEGUN = "not_begun"
    STOPPING = "stopping"
    SILENT = "silent"
    """Nothing was heard of an instance for too long: its loop does not turn."""
    STANDS = "stands"
    """A rank has stood in one collective for too long."""
    ABSENT = "absent"
    """The others of its group stand, and this rank is not there."""
    NO_PROGRESS = "no_progress"
    STUCK_IN_QUARANTINE = "stuck_in_quarantine"
    QUARANTINE_OVER_BUDGET = "quarantine_over_budget"


class Finding(NamedTuple):
    """One reason; `rank` is None where a whole instance is meant, `instance` empty for the job."""

    reason: str
    instance: str
    rank: int | None
    detail: str


class LastHeard(NamedTuple):
    """The last that was heard of an instance, and when."""

    at_ns: int
    pulse: Pulse


@dataclass(frozen=True, slots=True)
class Seen:
    """What rank 0 knows; all times are of one clock, nanoseconds."""

    began_ns: int
    now_ns: int
    instances: Sequence[Instance]
    last_heard: Mapping[int, LastHeard]
    """By the index of an instance."""
    entries: Sequence[BoardEntry]
    """Of the ranks of this host."""
    ending: str = ""
    """Why nothing is admitted any more."""
    over: bool = False
    """Rank 0's own loop has come to its end, and the rest is tidying up."""


def unready(seen: Seen, timeout_ns: int) -> list[Finding]:
    """Everything that keeps the job from being ready; empty if it is. Who has not moved for longer
    than `timeout_ns` is not ready."""
    found = [Finding(Reason.STOPPING, "", None, seen.ending)] if seen.ending else []
    for instance in seen.instances:
        heard = seen.last_heard.get(instance.index)
        if heard is None:
            detail = "its leader was not heard of yet"
            found.append(Finding(Reason.NOT_BEGUN, instance.name, None, detail))
            continue
        if seen.now_ns - heard.at_ns > timeout_ns:
            found.append(_silent(instance, heard, seen.now_ns))
        found += _ill(instance, heard.pulse)
    for instance in seen.instances:
        found += _entry(instance, seen, timeout_ns)
    return found


def unalive(seen: Seen, timeout_ns: int) -> list[Finding]:
    """Why rank 0's loop has failed: it has not turned for longer than `timeout_ns`, or not begun
    to. Empty while it lives. Rank 0 leads the first instance, so that instance's message is its
    own."""
    own = seen.instances[0]
    heard = seen.last_heard.get(own.index)
    if seen.over or silences_ns(seen)[own.index] <= timeout_ns:
        return []
    if heard is None:
        waited_s = (seen.now_ns - seen.began_ns) / NS_PER_S
        return [Finding(Reason.NOT_BEGUN, own.name, own.leader, f"not begun for {waited_s:.1f} s")]
    return [_silent(own, heard, seen.now_ns)._replace(rank=own.leader)]


def silences_ns(seen: Seen) -> dict[int, int]:
    """By the index of each instance: how long nothing was heard of it."""
    last = {index: heard.at_ns for index, heard in seen.last_heard.items()}
    return {i.index: seen.now_ns - last.get(i.index, seen.began_ns) for i in seen.instances}


def _silent(instance: Instance, heard: LastHeard, now_ns: int) -> Finding:
    silent_s = (now_ns - heard.at_ns) / NS_PER_S
    detail = f"nothing heard for {silent_s:.1f} s, last in iteration {heard.pulse.iterations}"
    return Finding(Reason.SILENT, instance.name, None, detail)


def _ill(instance: Instance, pulse: Pulse) -> Iterator[Finding]:
    detail = f"its transceiver is unhealthy in iteration {pulse.iterations}"
    for unhealthy in pulse.unhealthy:
        for reason in unhealthy.reasons:
            yield Finding(reason, instance.name, unhealthy.rank, detail)


def _entry(instance: Instance, seen: Seen, timeout_ns: int) -> Iterator[Finding]:
    """Who of an instance stands still, and who is not where the others wait."""
    own = [s for s in seen.entries if s.place.rank in instance.members]
    entry = [s for s in own if _stands(s, seen.now_ns, timeout_ns)]
    for one in entry:
        stood_s = (seen.now_ns - one.since_ns) / NS_PER_S
        detail = f"in {_told(one)} for {stood_s:.1f} s"
        yield Finding(Reason.STANDS, instance.name, one.place.rank, detail)
    for one in own if entry else ():
        if one not in entry:
            last = f"last seen in {_told(one)}" if one.place.kind else "it has not begun"
            yield Finding(Reason.ABSENT, instance.name, one.place.rank, f"others wait; {last}")


def _stands(entry: BoardEntry, now_ns: int, timeout_ns: int) -> bool:
    # In the job's last collective a rank waits for as long as another instance drains.
    in_collective = entry.since_ns > 0 and entry.group != WORLD
    return in_collective and now_ns - entry.since_ns > timeout_ns


def _told(entry: BoardEntry) -> str:
    place = entry.place
    return f"{place.kind} at {place.site}, iteration {place.iteration}"
