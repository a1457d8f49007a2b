"""Writes the last collectives of each rank in the dump format of PyTorch's Flight Recorder.

There is one file per rank, `rank_N`, so that PyTorch's own analyzer can read it: `torchfrtrace -p
rank_ RUN/fr_trace`. It is a pickle of plain values, because that tool reads nothing else;
docs/diagnosis.md says which version it was checked against. Waits and pauses are not collectives
and are left out; a step is written as a barrier; every slot has the same width.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from adpkv.diagnosis.evidence import Evidence, Members, Position, RankState
from adpkv.executor.collectives import WORLD
from adpkv.whole_files import write_whole

__all__ = ["VERSION", "dumps", "write_fr_trace"]

VERSION: Final = "2.10"
"""The version of the dump format."""

SLOT_BYTES: Final = 256
"""What each rank contributes to each collective."""

NAMES: Final = {
    "tp_broadcast": "broadcast",
    "tp_allgather": "all_gather",
    "tp_gather": "gather",
    "world_allgather": "all_gather",
    "step": "barrier",
}


def write_fr_trace(folder: Path, evidence: Evidence) -> None:
    """Write a file for each rank into `folder`.

    Raises:
        OSError: one cannot be written.
    """
    folder.mkdir(exist_ok=True)
    for rank, dump in dumps(evidence).items():
        write_whole(folder / f"rank_{rank}", pickle.dumps(dump, protocol=4))


def dumps(evidence: Evidence) -> dict[int, dict[str, Any]]:
    """Each rank's dump, as plain values."""
    groups = {group.index: group for group in evidence.groups}
    first = {index: _first(evidence, index) for index in groups}
    found = {}
    for rank_state in evidence.rank_states:
        entries = _entries(rank_state, groups, first)
        # Only the rank's groups: that of the whole job would list a thousand ranks in each file.
        joined = {
            rank_state.group,
            *(WORLD for e in entries if e["process_group"][0] == str(WORLD)),
        }
        own = [groups[index] for index in sorted(joined) if index in groups]
        found[rank_state.rank] = {
            "version": VERSION,
            "pg_config": {_uid(group): _config(group) for group in own},
            "pg_status": {_uid(group): _status(rank_state, group) for group in own},
            "entries": entries,
        }
    return found


def _uid(group: Members) -> str:
    return str(group.index)


def _config(group: Members) -> dict[str, str]:
    return {"name": _uid(group), "desc": group.name, "ranks": str(list(group.ranks))}


def _status(rank_state: RankState, group: Members) -> dict[str, Any]:
    done = [p for p in rank_state.last if p.group == group.index and p.kind in NAMES]
    at = rank_state.in_group(group.index)
    begun = [*done, *([at] if at is not None else [])]
    return {
        "last_enqueued_collective": _number(begun),
        "last_started_collective": _number(begun),
        "last_completed_collective": _number(done),
    }


def _number(places: Sequence[Position]) -> int:
    return places[-1].sequence if places else -1


def _first(evidence: Evidence, group: int) -> int:
    """The first collective that all members remember: the analyzer wants all ranks to begin with
    the same."""
    starts = []
    for member in evidence.of_group(group):
        known = [p.sequence for p in member.last if p.group == group and p.kind in NAMES]
        starts += [min(known)] if known else []
    return max(starts, default=0)


def _entries(
    rank_state: RankState, groups: dict[int, Members], first: dict[int, int]
) -> list[dict[str, Any]]:
    places = [(p, "completed") for p in rank_state.last]
    if rank_state.at is not None and rank_state.in_group(rank_state.at.group) is not None:
        places.append((rank_state.at, "started"))
    found: list[dict[str, Any]] = []
    for at, state in places:
        group = groups.get(at.group)
        if at.kind in NAMES and group is not None and at.sequence >= first[at.group]:
            frames = rank_state.stack if state == "started" else ()
            found.append(_entry(len(found), at, state, group, frames))
    return found


def _entry(
    number: int, at: Position, state: str, group: Members, stack: Sequence[str]
) -> dict[str, Any]:
    name = NAMES[at.kind]
    width = len(group.ranks) * SLOT_BYTES if name in ("all_gather", "gather") else SLOT_BYTES
    began_ns = at.began_ns or None
    return {
        "record_id": number,
        "pg_id": max(group.index, 0),
        "process_group": (_uid(group), group.name),
        "collective_seq_id": at.sequence,
        "p2p_seq_id": 0,
        "op_id": at.sequence,
        "profiling_name": f"nccl:{name}",
        "time_created_ns": at.began_ns,
        "time_discovered_started_ns": began_ns,
        "time_discovered_completed_ns": began_ns if state == "completed" else None,
        "input_sizes": [[SLOT_BYTES]],
        "input_dtypes": ["Byte"],
        "output_sizes": [[width]],
        "output_dtypes": ["Byte"],
        "state": state,
        "retired": state == "completed",
        "is_p2p": False,
        "timeout_ms": 0,
        "frames": [_frame(f"{at.site}:{at.iteration} {at.kind}"), *map(_frame, reversed(stack))],
    }


def _frame(line: str) -> dict[str, str]:
    """`file:line name` in the analyzer's form. The innermost frame comes first; before it, as a
    frame of its own, the call site and iteration of the collective."""
    where, _, name = line.partition(" ")
    file, _, number = where.rpartition(":")
    return {"name": name, "filename": file, "line": number}
