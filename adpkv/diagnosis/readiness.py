"""Is the job ready, is it alive? Pure functions of what rank 0 has received and observed; no clock.

An HTTP server that answers proves nothing about the loop beside it. So both answers are derived
from progress. An instance's loop advances only if all its ranks take part, on whatever hosts they
are; the leader's pulse message shows that it did. The board shows which of this host's ranks keep
the others waiting. Each transceiver reports its own health (contract 4.2), and the leaders pass it
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

__all__ = ["Finding", "JobObservation", "LastPulse", "Reason", "silences_ns", "unalive", "unready"]

NS_PER_S: Final = 1e9


class Reason(StrEnum):
    """Why a job is not ready; the last three are `TransceiverHealth.reasons`."""

    NOT_BEGUN = "not_begun"
    STOPPING = "stopping"
    SILENT = "silent"
    """No pulse came from an instance for too long: its loop does not advance."""
    STANDS = "stands"
    """A rank has been in one collective for too long."""
    ABSENT = "absent"
    """The other ranks of its group wait in a collective, and this rank is not in it."""
    NO_PROGRESS = "no_progress"
    STUCK_IN_QUARANTINE = "stuck_in_quarantine"
    QUARANTINE_OVER_BUDGET = "quarantine_over_budget"


class Finding(NamedTuple):
    """One reason. `rank` is None where a whole instance is meant; `instance` is empty for the whole
    job."""

    reason: str
    instance: str
    rank: int | None
    detail: str


class LastPulse(NamedTuple):
    """The last pulse of an instance, and when it came."""

    at_ns: int
    pulse: Pulse


@dataclass(frozen=True, slots=True)
class JobObservation:
    """What rank 0 knows. All times are nanoseconds of one clock."""

    began_ns: int
    now_ns: int
    instances: Sequence[Instance]
    last_pulses: Mapping[int, LastPulse]
    """By the index of the instance."""
    entries: Sequence[BoardEntry]
    """The board entries of this host's ranks."""
    ending: str = ""
    """Why no request is admitted any more; empty while they are."""
    forgiven: frozenset[int] = frozenset()
    """The instances whose ill health is dealt with: they are out of service, or stuck with others
    that are."""
    over: bool = False
    """Rank 0's own loop has ended, and what is left is cleaning up."""


def unready(seen: JobObservation, timeout_ns: int) -> list[Finding]:
    """Every reason why the job is not ready; empty if it is. An instance or rank without progress
    for longer than `timeout_ns` is not ready."""
    found = [Finding(Reason.STOPPING, "", None, seen.ending)] if seen.ending else []
    for instance in seen.instances:
        latest = seen.last_pulses.get(instance.index)
        if latest is None:
            detail = "its leader was not heard of yet"
            found.append(Finding(Reason.NOT_BEGUN, instance.name, None, detail))
            continue
        if seen.now_ns - latest.at_ns > timeout_ns:
            found.append(_silent(instance, latest, seen.now_ns))
        if instance.index not in seen.forgiven:
            found += _unhealthy_ranks(instance, latest.pulse)
    for instance in seen.instances:
        found += _stuck_ranks(instance, seen, timeout_ns)
    return found


def unalive(seen: JobObservation, timeout_ns: int) -> list[Finding]:
    """Why rank 0's loop counts as hung: it has not advanced, or not begun, for longer than
    `timeout_ns`. Empty while it is alive. Rank 0 leads the first instance, so that instance's pulse
    is its own."""
    own = seen.instances[0]
    latest = seen.last_pulses.get(own.index)
    if seen.over or silences_ns(seen)[own.index] <= timeout_ns:
        return []
    if latest is None:
        waited_s = (seen.now_ns - seen.began_ns) / NS_PER_S
        return [Finding(Reason.NOT_BEGUN, own.name, own.leader, f"not begun for {waited_s:.1f} s")]
    return [_silent(own, latest, seen.now_ns)._replace(rank=own.leader)]


def silences_ns(seen: JobObservation) -> dict[int, int]:
    """By the index of the instance: for how long no pulse came from it."""
    last = {index: latest.at_ns for index, latest in seen.last_pulses.items()}
    return {i.index: seen.now_ns - last.get(i.index, seen.began_ns) for i in seen.instances}


def _silent(instance: Instance, latest: LastPulse, now_ns: int) -> Finding:
    silent_s = (now_ns - latest.at_ns) / NS_PER_S
    detail = f"nothing heard for {silent_s:.1f} s, last in iteration {latest.pulse.iterations}"
    return Finding(Reason.SILENT, instance.name, None, detail)


def _unhealthy_ranks(instance: Instance, pulse: Pulse) -> Iterator[Finding]:
    detail = f"its transceiver is unhealthy in iteration {pulse.iterations}"
    for unhealthy in pulse.unhealthy:
        for reason in unhealthy.reasons:
            yield Finding(reason, instance.name, unhealthy.rank, detail)


def _stuck_ranks(instance: Instance, seen: JobObservation, timeout_ns: int) -> Iterator[Finding]:
    """Which ranks of an instance hang, and which are not where the others wait."""
    own = [s for s in seen.entries if s.place.rank in instance.members]
    entry = [s for s in own if _is_stuck(s, seen.now_ns, timeout_ns)]
    for one in entry:
        stood_s = (seen.now_ns - one.since_ns) / NS_PER_S
        detail = f"in {_describe(one)} for {stood_s:.1f} s"
        yield Finding(Reason.STANDS, instance.name, one.place.rank, detail)
    for one in own if entry else ():
        if one not in entry:
            last = f"last seen in {_describe(one)}" if one.place.kind else "it has not begun"
            yield Finding(Reason.ABSENT, instance.name, one.place.rank, f"others wait; {last}")


def _is_stuck(entry: BoardEntry, now_ns: int, timeout_ns: int) -> bool:
    # In the job's last collective a rank may wait until another instance has drained.
    in_collective = entry.since_ns > 0 and entry.group != WORLD
    return in_collective and now_ns - entry.since_ns > timeout_ns


def _describe(entry: BoardEntry) -> str:
    place = entry.place
    return f"{place.kind} at {place.site}, iteration {place.iteration}"
