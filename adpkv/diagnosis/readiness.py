"""Is the job ready, is it alive? Pure functions of what rank 0 has heard and sees; no clock.

An HTTP server that answers says nothing about the loop beside it. So the judgement is made of
progress: an instance's loop turns only if all its ranks join it, on whatever hosts they are, and
its leader's word is the sign that it did. Which rank keeps the others waiting, the board says, as
far as this host's ranks go. Transceivers judge themselves (contract 4.2), and leaders pass it on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from adpkv.core.topology import Instance
from adpkv.diagnosis.board import Standing
from adpkv.executor.meetings import WORLD
from adpkv.executor.messages import Pulse

__all__ = ["Finding", "Reason", "Seen", "Word", "silences_ns", "unalive", "unready"]

NS_PER_S: Final = 1e9


class Reason(StrEnum):
    """What keeps a job from being ready; the last three are `TransceiverHealth.reasons`."""

    NOT_BEGUN = "not_begun"
    STOPPING = "stopping"
    SILENT = "silent"
    """Nothing was heard of an instance for too long: its loop does not turn."""
    STANDS = "stands"
    """A rank has stood in one meeting for too long."""
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


class Word(NamedTuple):
    """The last that was heard of an instance, and when."""

    at_ns: int
    pulse: Pulse


@dataclass(frozen=True, slots=True)
class Seen:
    """What rank 0 knows; all times are of one clock, nanoseconds."""

    began_ns: int
    now_ns: int
    instances: Sequence[Instance]
    words: Mapping[int, Word]
    """By the index of an instance."""
    standings: Sequence[Standing]
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
        word = seen.words.get(instance.index)
        if word is None:
            detail = "its leader was not heard of yet"
            found.append(Finding(Reason.NOT_BEGUN, instance.name, None, detail))
            continue
        if seen.now_ns - word.at_ns > timeout_ns:
            found.append(_silent(instance, word, seen.now_ns))
        found += _ill(instance, word.pulse)
    for instance in seen.instances:
        found += _standing(instance, seen, timeout_ns)
    return found


def unalive(seen: Seen, timeout_ns: int) -> list[Finding]:
    """Why rank 0's loop is dead: it has not turned for longer than `timeout_ns`, or not begun to.
    Empty while it lives. Rank 0 leads the first instance, so that instance's word is its own."""
    own = seen.instances[0]
    word = seen.words.get(own.index)
    if seen.over or silences_ns(seen)[own.index] <= timeout_ns:
        return []
    if word is None:
        waited_s = (seen.now_ns - seen.began_ns) / NS_PER_S
        return [Finding(Reason.NOT_BEGUN, own.name, own.leader, f"not begun for {waited_s:.1f} s")]
    return [_silent(own, word, seen.now_ns)._replace(rank=own.leader)]


def silences_ns(seen: Seen) -> dict[int, int]:
    """By the index of each instance: how long nothing was heard of it."""
    last = {index: word.at_ns for index, word in seen.words.items()}
    return {i.index: seen.now_ns - last.get(i.index, seen.began_ns) for i in seen.instances}


def _silent(instance: Instance, word: Word, now_ns: int) -> Finding:
    silent_s = (now_ns - word.at_ns) / NS_PER_S
    detail = f"nothing heard for {silent_s:.1f} s, last in iteration {word.pulse.iterations}"
    return Finding(Reason.SILENT, instance.name, None, detail)


def _ill(instance: Instance, pulse: Pulse) -> Iterator[Finding]:
    detail = f"its transceiver is unhealthy in iteration {pulse.iterations}"
    for ill in pulse.ill:
        for reason in ill.reasons:
            yield Finding(reason, instance.name, ill.rank, detail)


def _standing(instance: Instance, seen: Seen, timeout_ns: int) -> Iterator[Finding]:
    """Who of an instance stands still, and who is not where the others wait."""
    own = [s for s in seen.standings if s.place.rank in instance.members]
    standing = [s for s in own if _stands(s, seen.now_ns, timeout_ns)]
    for one in standing:
        stood_s = (seen.now_ns - one.since_ns) / NS_PER_S
        detail = f"in {_told(one)} for {stood_s:.1f} s"
        yield Finding(Reason.STANDS, instance.name, one.place.rank, detail)
    for one in own if standing else ():
        if one not in standing:
            last = f"last seen in {_told(one)}" if one.place.kind else "it has not begun"
            yield Finding(Reason.ABSENT, instance.name, one.place.rank, f"others wait; {last}")


def _stands(standing: Standing, now_ns: int, timeout_ns: int) -> bool:
    # In the job's last meeting a rank waits for as long as another instance drains.
    in_meeting = standing.since_ns > 0 and standing.group != WORLD
    return in_meeting and now_ns - standing.since_ns > timeout_ns


def _told(standing: Standing) -> str:
    place = standing.place
    return f"{place.kind} at {place.site}, iteration {place.iteration}"
