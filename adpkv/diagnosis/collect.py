"""Collects the evidence about a stuck job from the processes of a host.

The rings say where every rank is and was, whatever state its process is in. What only the rank
knows, a thread of its process must write: it polls for the request, and writes a snapshot file
beside its ring. A rank that does not answer in time is suspended, has failed, or holds the
interpreter's lock. Where collectives go through shared memory, the slots say what each rank has
contributed last, ranks of other hosts too.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter_ns
from typing import Final

import msgspec

from adpkv.core.report import RankReport
from adpkv.core.topology import Topology
from adpkv.diagnosis.evidence import Evidence, Members, Position, RankState, State
from adpkv.diagnosis.rank_knowledge import NOTHING_KNOWN, RankKnowledge
from adpkv.errors import Place, StuckError, UsageError
from adpkv.executor.collectives import WORLD
from adpkv.flight_recorder.format import What
from adpkv.flight_recorder.processes import living_state
from adpkv.flight_recorder.reader import Record, Ring, Snapshot
from adpkv.flight_recorder.slot_layout import SlotPlace
from adpkv.flight_recorder.slot_reader import SlotTexts, is_untold, last_slots, of_other_hosts

__all__ = [
    "ASKED",
    "RankSnapshot",
    "claim",
    "gather_evidence",
    "is_asked",
    "snapshots",
    "write_snapshot",
]

ASKED: Final = "asked"
"""A file in the job's directory: while it exists, each rank shall write its snapshot."""

ANSWER_BOUND_S: Final = 0.6
"""How long the rank that makes the report waits for the others' snapshots: each polls a few times a
second."""

LOOK_S: Final = 0.02
REMEMBERED: Final = 96
"""Records of a ring, transfers and polls among them, in which to look for the last collectives."""

LAST_COLLECTIVES: Final = (What.COLLECTIVE, What.STEP, What.WAIT, What.PAUSE)
MOST_LAST: Final = 12


class RankSnapshot(msgspec.Struct, frozen=True):
    """What one rank reports of itself. `argument` and `plan` are of the collective that it is
    in."""

    rank: int
    argument: str = ""
    plan: str = ""
    local: RankKnowledge = NOTHING_KNOWN
    stack: tuple[str, ...] = ()
    coordinator: str = ""
    """On the coordinator's host: what the coordinator is doing."""
    unanswered: int | None = None
    """On the coordinator's host: how many requests have no answer."""
    report: RankReport | None = None
    """Its part of `summary.json`, as of now."""


def _path(folder: Path, rank: int) -> Path:
    return folder / f"rank-{rank}.snapshot"


def is_asked(folder: Path) -> bool:
    """Has some rank of this host asked for snapshots?"""
    return (folder / ASKED).exists()


def claim(folder: Path) -> bool:
    """Ask all ranks for snapshots, and become the rank that makes the report: true for the first
    rank of this host that calls this."""
    try:
        (folder / ASKED).touch(exist_ok=False)
    except OSError:
        return False
    return True


def write_snapshot(folder: Path, snapshot: RankSnapshot) -> None:
    """Write it atomically; do nothing if the folder is gone."""
    path = _path(folder, snapshot.rank)
    temporary = path.with_suffix(".tmp")
    with suppress(OSError):
        temporary.write_bytes(msgspec.json.encode(snapshot))
        temporary.replace(path)


def snapshots(folder: Path, ranks: Iterable[int]) -> list[RankSnapshot]:
    """The snapshots that have been written so far."""
    found = []
    for rank in ranks:
        with suppress(OSError, ValueError, RecursionError):
            found.append(msgspec.json.decode(_path(folder, rank).read_bytes(), type=RankSnapshot))
    return found


def gather_evidence(
    folder: Path,
    rings: Sequence[Ring],
    topology: Topology,
    error: StuckError,
    at_s: float,
    lost: Sequence[int] = (),
) -> Evidence:
    """The evidence from the rings and snapshots of all ranks of this host, which have been asked
    before. Waits up to `ANSWER_BOUND_S` for their snapshots. Ranks in `lost` failed earlier, and
    are members of no group."""
    from adpkv.diagnosis.report import noticed  # takes what no other rank needs

    owners = {ring.rank: ring.owner for ring in rings}
    states = {rank: living_state(o.pid, o.start_ticks) for rank, o in owners.items()}
    alive = [rank for rank, state in states.items() if state == "alive"]
    snapshots = _answers(folder, alive)
    places = {place.rank: place for place in error.places}
    now_ns = perf_counter_ns()
    seen = {ring.rank: ring.snapshot(REMEMBERED) for ring in rings}
    # After the rings: a rank writes its record before its slot.
    last_of_all = last_slots(folder)
    slots = {(slot.rank, slot.place.group): slot.place for slot in last_of_all}
    remote = of_other_hosts(last_of_all)
    texts = SlotTexts(list(seen.values()))
    # After the rings were read: the signal interrupts what many a rank hangs in.
    snapshots |= _stacks_of(folder, [rank for rank in alive if rank not in snapshots])
    rank_states = []
    for instance in topology.instances:
        for rank in instance.members:
            if rank in seen:
                said = snapshots.get(rank)
                one = _rank_state(seen[rank], states[rank], said, instance.index, now_ns, slots)
            else:
                one = _elsewhere(rank, instance.index, places.get(rank), remote.get(rank), texts)
            rank_states.append(one)
    living = [rank for rank in range(topology.ranks) if rank not in lost]
    members = [
        Members(i.index, i.name, tuple(rank for rank in i.members if rank in living))
        for i in topology.instances
    ]
    everybody = Members(WORLD, "the whole job", tuple(living))
    return Evidence(
        world="mpi",
        error=noticed(error),
        message=str(error),
        rank_states=tuple(rank_states),
        groups=(*members, everybody),
        group=error.group,
        at_s=at_s,
        coordinator=next((t.coordinator for t in snapshots.values() if t.coordinator), ""),
    )


def _answers(folder: Path, ranks: Sequence[int]) -> dict[int, RankSnapshot]:
    until_s = time.monotonic() + ANSWER_BOUND_S
    found: dict[int, RankSnapshot] = {}
    while True:
        for rank in ranks:
            if rank not in found:
                with suppress(OSError, ValueError, RecursionError):
                    said = _path(folder, rank).read_bytes()
                    found[rank] = msgspec.json.decode(said, type=RankSnapshot)
        if len(found) == len(ranks) or time.monotonic() > until_s:
            return found
        time.sleep(LOOK_S)


def _stacks_of(folder: Path, silent: Sequence[int]) -> dict[int, RankSnapshot]:
    """For ranks that did not answer, at least their stacks. C code that holds the interpreter's
    lock stops every Python thread, but the signal handler does not need the lock."""
    if not silent:
        return {}
    from adpkv.diagnosis.frames import dumped_stack
    from adpkv.inspect.snapshot import take_survey
    from adpkv.inspect.stacks import ask_stacks

    with suppress(UsageError):
        ranks = [one for one in take_survey(folder).ranks if one.rank in silent]
        told = ask_stacks(folder, ranks)
        return {rank: RankSnapshot(rank, stack=dumped_stack(text)) for rank, text in told.items()}
    return {}


def _rank_state(
    seen: Snapshot,
    process: str,
    said: RankSnapshot | None,
    group: int,
    now_ns: int,
    slots: Mapping[tuple[int, int], SlotPlace],
) -> RankState:
    current = seen.current
    slot = None if current is None else slots.get((seen.owner.rank, current.group))
    state, since_ns = _state(current, process, slot)
    collectives = [record for record in seen.records if record.what in LAST_COLLECTIVES]
    clock_ns = seen.owner.clock_ns
    last = tuple(
        _position(record, clock_ns) for record in collectives if record.what is not What.PAUSE
    )
    at = None if current is None else _position(current, clock_ns)
    told = said or RankSnapshot(seen.owner.rank)
    if at is not None and current is not None and not current.end_ns:
        plan = told.plan or _plan_in(slot, at.sequence)
        at = msgspec.structs.replace(at, argument=told.argument, plan=plan)
    return RankState(
        seen.owner.rank,
        group,
        state,
        at,
        (now_ns - since_ns) / 1e9 if since_ns else None,
        last[-MOST_LAST:],
        told.local.values,
        told.local.pins,
        told.local.peers,
        told.local.messages,
        told.stack,
    )


def _plan_in(slot: SlotPlace | None, sequence: int) -> str:
    """The digest of a rank's plan, as it has told the others in this collective."""
    told = slot is not None and slot.sequence == sequence and slot.digest
    return f"{slot.digest:08x}" if slot and told else ""


def _state(current: Record | None, process: str, slot: SlotPlace | None) -> tuple[State, int]:
    """The state of a rank, and since when (monotonic clock in nanoseconds; 0 if not known)."""
    since_ns = 0 if current is None else current.end_ns or current.begin_ns
    if process != "alive":
        return (State.STOPPED if process == "stopped" else State.FAILED), since_ns
    if current is None:
        return State.UNBEGUN, 0
    if current.end_ns:
        return State.MOVING, since_ns
    if current.what is What.PAUSE:
        return State.ALONE, since_ns
    if not current.ready_ns:
        return State.COMPUTING, since_ns
    if is_untold(current, slot):
        return State.MOVING, since_ns  # it is about to come, and has not
    return State.COLLECTIVE, since_ns


def _position(record: Record, clock_ns: int) -> Position:
    return Position(
        record.group,
        record.kind,
        record.site,
        record.iteration,
        0 if record.what is What.PAUSE else record.sequence,
        began_ns=record.begin_ns - clock_ns,
    )


def _elsewhere(
    rank: int, group: int, place: Place | None, slot: SlotPlace | None, texts: SlotTexts
) -> RankState:
    """A rank of another host: its place is known if the slots of a mismatch showed it; where it was
    last, if its slots come into this host's memory."""
    if place is not None and place.kind:
        site, _, argument = place.site.partition("[")
        at = Position(group, place.kind, site, place.iteration, argument=argument.rstrip("]"))
        return RankState(rank, group, State.COLLECTIVE, at)
    kind, site = texts.of(slot) if slot else ("", "")
    if slot is None or not kind or not site:
        return RankState(rank, group, State.SILENT)
    at = Position(slot.group, kind, site, slot.iteration, slot.sequence)
    return RankState(rank, group, State.SILENT, at, last=(at,))
