"""All ranks of a job at one moment, read from their rings and `/proc` without disturbing them.

Ranks that do the same are folded into one class, so that a thousand ranks fit a screen. Those that
differ from most of their group come first.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from time import perf_counter_ns

from adpkv.errors import UsageError
from adpkv.flight_recorder.format import What
from adpkv.flight_recorder.job_directory import JobInfo, read_info, ring_path, ring_paths
from adpkv.flight_recorder.processes import LivingState, living_state
from adpkv.flight_recorder.reader import LAST, Record, Ring, Snapshot
from adpkv.flight_recorder.slot_layout import SlotPlace
from adpkv.flight_recorder.slot_reader import SlotTexts, is_untold, last_slots, of_other_hosts

__all__ = ["Doing", "Elsewhere", "RankObservation", "Survey", "folded", "take_survey"]


class Doing(StrEnum):
    """What a rank is doing, as its ring says."""

    NOTHING = "has not begun"
    COMPUTING = "computing"
    """It is at its own part of a step."""
    COLLECTIVE = "in"
    """It is in a collective and waits for the other ranks of its group."""
    ALONE = "alone in"
    ON_ITS_WAY = "on its way, last in"


@dataclass(frozen=True, slots=True)
class RankObservation:
    """One rank. `since_ns` is for how long it has been doing what it does, in nanoseconds."""

    rank: int
    pid: int
    start_ticks: int
    host: str
    process: LivingState
    doing: Doing
    group: int
    kind: str
    site: str
    iteration: int
    sequence: int
    since_ns: int
    written: int
    empty_polls: int
    records: tuple[Record, ...]
    instance: str = ""
    """Its instance's name; empty if the job's `run.json` does not say."""
    slot: SlotPlace | None = None
    """What it has contributed last to the group of its collective; None where that is not in shared
    memory, or it has contributed nothing yet."""
    untold: bool = False
    """It has come to a collective, and has not contributed to it yet."""

    @property
    def where(self) -> str:
        """What it is doing and where, for people."""
        if self.doing is Doing.NOTHING:
            return self.doing.value
        told = ", told nobody yet" if self.untold else ""
        return f"{self.doing.value} {self.kind} at {self.site}{told}"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What a rank of another host has contributed last, as this host has it."""

    rank: int
    kind: str
    site: str
    slot: SlotPlace


@dataclass(frozen=True, slots=True)
class Survey:
    """A job, as far as this host's ranks go.

    `running`: some process of it still exists. If none does, durations are as of the last time that
    any rank wrote down. `age_ns` is the reading of the run's clock.
    """

    folder: Path
    experiment: str
    size: int
    running: bool
    age_ns: int
    ranks: tuple[RankObservation, ...]
    damage: tuple[str, ...] = ()
    """Rings that could not be read, with the reason; their ranks are missing in `ranks`."""
    elsewhere: tuple[Elsewhere, ...] = ()
    """Ranks of other hosts that are in a group with ranks of this one."""


def take_survey(folder: Path, last: int = LAST) -> Survey:
    """Survey a job now, with the `last` newest records of each rank.

    Raises:
        UsageError: there are no rings, or none of them can be read.
    """
    seen: list[Snapshot] = []
    damage: list[str] = []
    for path in ring_paths(folder):
        # The rank may leave at this moment, and take its ring away.
        with suppress(FileNotFoundError):
            try:
                seen.append(_opened(path).snapshot(last))
            except UsageError as error:
                damage.append(str(error))
    if not seen:
        raise UsageError("\n".join(damage) or f"{folder}: the job is over")
    # After the rings: a rank writes its record before its slot.
    last_of_all = last_slots(folder)
    slots = {(slot.rank, slot.place.group): slot.place for slot in last_of_all}
    texts = SlotTexts(seen)
    host = socket.gethostname()
    states = [_state(one, host) for one in seen]
    running = any(state in ("alive", "stopped") for state in states)
    now_ns = perf_counter_ns() if running else max(map(_last_sign_ns, seen))
    began_ns = min(one.owner.clock_ns for one in seen)
    note = read_info(folder)
    ranks = [
        _rank(one, state, now_ns, note, slots) for one, state in zip(seen, states, strict=True)
    ]
    return Survey(
        folder,
        seen[0].owner.experiment,
        seen[0].owner.size,
        running,
        max(0, now_ns - began_ns) if began_ns else 0,
        tuple(sorted(ranks, key=lambda one: one.rank)),
        tuple(damage),
        tuple(
            Elsewhere(rank, *texts.of(place), place)
            for rank, place in of_other_hosts(last_of_all).items()
        ),
    )


def _opened(path: Path) -> Ring:
    """The ring at this path; it must belong to the rank in the file's name."""
    try:
        ring = Ring.open(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if path.name != ring_path(path.parent, ring.rank).name:
        raise UsageError(f"{path}: the ring of another rank, {ring.rank}")
    return ring


def _state(one: Snapshot, host: str) -> LivingState:
    owner = one.owner
    # Process ids mean nothing on another host.
    return living_state(owner.pid, owner.start_ticks) if owner.host == host else "gone"


def _last_sign_ns(one: Snapshot) -> int:
    found = [record for record in (one.current, *one.records) if record is not None]
    return max((max(r.begin_ns, r.ready_ns, r.end_ns) for r in found), default=one.owner.clock_ns)


def _rank(
    one: Snapshot,
    process: LivingState,
    now_ns: int,
    note: JobInfo | None,
    slots: Mapping[tuple[int, int], SlotPlace],
) -> RankObservation:
    current, owner = one.current, one.owner
    slot = slots.get((owner.rank, current.group)) if current else None
    doing, from_ns = _doing(current)
    return RankObservation(
        rank=owner.rank,
        pid=owner.pid,
        start_ticks=owner.start_ticks,
        host=owner.host,
        process=process,
        doing=doing,
        group=current.group if current else 0,
        kind=current.kind if current else "",
        site=current.site if current else "",
        iteration=current.iteration if current else 0,
        sequence=current.sequence if current else 0,
        since_ns=max(0, now_ns - (from_ns or owner.clock_ns or now_ns)),
        written=one.written,
        empty_polls=one.empty_polls,
        records=one.records,
        instance=note.instance_of(owner.rank) if note else "",
        slot=slot,
        untold=current is not None and is_untold(current, slot),
    )


def _doing(current: Record | None) -> tuple[Doing, int]:
    if current is None:
        return Doing.NOTHING, 0
    if current.end_ns:
        return Doing.ON_ITS_WAY, current.end_ns
    if current.what is What.PAUSE:
        return Doing.ALONE, current.begin_ns
    if not current.ready_ns:
        return Doing.COMPUTING, current.begin_ns
    return Doing.COLLECTIVE, current.ready_ns


def folded(ranks: Sequence[RankObservation]) -> list[list[RankObservation]]:
    """Ranks that do the same, grouped into classes. The classes that are the smallest part of their
    group come first."""
    members: dict[int, int] = {}
    classes: dict[tuple[object, ...], list[RankObservation]] = {}
    for one in ranks:
        members[one.group] = members.get(one.group, 0) + 1
        key = (one.process, one.group, one.where, one.iteration)
        classes.setdefault(key, []).append(one)
    return sorted(
        classes.values(),
        key=lambda found: (len(found) / members[found[0].group], len(found), found[0].rank),
    )
