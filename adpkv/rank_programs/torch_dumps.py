"""A failed schedule as dumps of PyTorch's Flight Recorder, one a rank, for torch's own analyser:

    python -m torch.distributed.flight_recorder.fr_trace DIR

The format is that of `torch.distributed.flight_recorder` (version 2.10 of it): what each rank has
begun, with shapes, dtypes, state and frames. It knows neither roots nor reductions: ranks that
differ in these alone look alike there. torch is not needed to write them.
"""

from __future__ import annotations

import pickle
import re
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from adpkv.errors import UsageError
from adpkv.rank_programs.choices import Recorded
from adpkv.rank_programs.members import Group, Rank
from adpkv.rank_programs.operations import Arrival
from adpkv.rank_programs.own_world import EPOCH_S
from adpkv.rank_programs.session import Session
from adpkv.rank_programs.world import World
from adpkv.whole_files import write_whole

__all__ = ["PREFIX", "VERSION", "check_folder", "write_dumps"]

VERSION: Final = "2.10"
PREFIX: Final = "nccl_trace_rank_"
"""What the analyser takes off a file's name to find its rank."""

MOST_FRAMES: Final = 32

_NAMES: Final = {
    "monitored_barrier": "barrier",
    "init_process_group": "barrier",
    "tp_gather": "gather",
    "tp_allgather": "all_gather",
    "tp_broadcast": "broadcast",
    "shrink": "split",
    "agree": "all_reduce",
    "bcast": "broadcast",
    "allgather": "all_gather",
    "allgatherv": "all_gather",
    "gatherv": "gather",
    "scatterv": "scatter",
    "allreduce": "all_reduce",
    "alltoall": "all_to_all",
    "alltoallv": "all_to_all",
    "reduce_scatter_block": "reduce_scatter",
    "scan": "_reduce_oop",
    "exscan": "_reduce_oop",
    "split": "split",
    "dup": "split",
    "create": "split",
    "create_group": "split",
}
"""By our kind, in lower letters: the collective that the analyser knows."""

_DTYPES: Final = {
    "float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16",
    "int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte",
    "bool": "Bool",
}  # fmt: skip

_PEER: Final = re.compile(r"\b(to|from) rank (\d+)")

Entry = dict[str, Any]


def check_folder(folder: Path) -> None:
    """Make the folder.

    Raises:
        UsageError: it cannot be written, or there is something in it: old dumps would be read with
            the new ones.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(f"--flight-recorder {folder}: it must be a new or an empty folder")
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        told = error.strerror or error
        raise UsageError(f"--flight-recorder {folder}: cannot write here: {told}") from error


def write_dumps(session: Session, choices: Sequence[int], folder: Path) -> list[Path]:
    """Perform a failing schedule once more, and write what each rank has begun.

    Raises:
        OSError: not all can be written. None is left: of some ranks alone the analyser would say
            that the others are missing.
    """
    recorder = _Recorder(session)
    world = session.perform(Recorded(choices), prepare=recorder.prepare)
    found: list[Path] = []
    try:
        for rank in world.ranks:
            file = folder / f"{PREFIX}{rank.number}"
            write_whole(file, pickle.dumps(recorder.dump(world, rank.number)))
            found.append(file)
    except OSError:
        for file in found:
            with suppress(OSError):
                file.unlink()
        raise
    return found


class _Recorder:
    """Keeps what the ranks begin."""

    def __init__(self, session: Session) -> None:
        self._files = session.files
        self._entries: dict[int, list[Entry]] = {}
        self._places: dict[int, list[tuple[Group, int] | None]] = {}
        self._pairs: dict[tuple[int, int, int], int] = {}
        """How many messages of a sender to a receiver the one or the other has begun."""
        self._world: World

    def prepare(self, world: World) -> None:
        """The schedule begins."""
        self._world = world
        self._entries = {rank.number: [] for rank in world.ranks}
        self._places = {rank.number: [] for rank in world.ranks}
        world.on_arrival, world.on_note = self._arrived, self._noted

    def _arrived(self, rank: Rank, arrival: Arrival, group: Group) -> None:
        kind = arrival.operation.kind.lower()
        kind = _NAMES.get(kind, kind)
        given, into, dtypes = _sizes(arrival.payload, kind, len(group.ranks))
        entry = self._entry(rank, group.name, kind, arrival.position)
        entry |= {
            "input_sizes": given,
            "output_sizes": into,
            "input_dtypes": dtypes,
            "output_dtypes": dtypes,
        }
        self._places[rank.number].append((group, arrival.position))

    def _noted(self, rank: Rank, arrival: Arrival) -> None:
        operation = arrival.operation
        found = _PEER.search(f"{operation.kind} {operation.text}")
        if found is None:
            return  # from any rank: nobody's turn
        peer, sends = int(found[2]), found[1] == "to"
        pair = (rank.number, peer) if sends else (peer, rank.number)
        number = self._pairs.get((rank.number, *pair), 0) + 1
        self._pairs[(rank.number, *pair)] = number
        mine, theirs = int(rank.number > peer), int(peer > rank.number)
        name = f"send {mine}->{theirs}" if sends else f"recv {mine}<-{theirs}"
        entry = self._entry(rank, _pair(*pair), name, number)
        entry |= {"is_p2p": True, "p2p_seq_id": number}
        self._places[rank.number].append(None)

    def _entry(self, rank: Rank, group: str, name: str, number: int) -> Entry:
        entries = self._entries[rank.number]
        at_ns = EPOCH_S * 10**9 + self._world.clock_ns
        entry: Entry = {
            "record_id": len(entries),
            "pg_id": 0,
            "process_group": (group, group),
            "collective_seq_id": number,
            "p2p_seq_id": 0,
            "op_id": number,
            "profiling_name": f"gloo:{name}",
            "time_created_ns": at_ns,
            "time_discovered_started_ns": at_ns,
            "time_discovered_completed_ns": None,
            "input_sizes": [[1]],
            "output_sizes": [[1]],
            "input_dtypes": ["Byte"],
            "output_dtypes": ["Byte"],
            "state": "started",
            "retired": False,
            "timeout_ms": 0,
            "is_p2p": False,
            "frames": self._frames(),
        }
        entries.append(entry)
        return entry

    def _frames(self) -> list[dict[str, Any]]:
        """The program's own, innermost first."""
        found = []
        for frame in self._files.frames(sys._getframe(1)):
            code = frame.f_code
            found.append(
                {"name": code.co_qualname, "filename": code.co_filename, "line": frame.f_lineno}
            )
        return found[:MOST_FRAMES]

    def dump(self, world: World, rank: int) -> dict[str, Any]:
        """What the rank's process would have written."""
        entries = self._entries[rank]
        groups = {group.name: group.ranks for group in world.groups if rank in group.ranks}
        for _, sender, receiver in self._pairs:
            if rank in (sender, receiver):
                groups[_pair(sender, receiver)] = tuple(sorted((sender, receiver)))
        for place, entry in zip(self._places[rank], entries, strict=True):
            waits = world.ranks[rank].on is not None and entry is entries[-1]
            done = not waits if place is None else place[1] not in place[0].open
            if done:
                entry["state"], entry["retired"] = "completed", True
                entry["time_discovered_completed_ns"] = entry["time_created_ns"]
        return {
            "version": VERSION,
            "pg_config": {
                name: {"name": name, "desc": name, "ranks": str(list(ranks))}
                for name, ranks in sorted(groups.items())
            },
            "pg_status": {},
            "entries": entries,
        }


def _pair(sender: int, receiver: int) -> str:
    """The group of two for messages in one direction: each has its own order."""
    return f"rank {sender} to rank {receiver}"


def _sizes(
    payload: Any, kind: str, members: int
) -> tuple[list[list[int]], list[list[int]], list[str]]:
    """Shapes that are given and written, and their dtypes; what is no tensor counts as one byte."""
    given, into = _arrays(payload)
    shapes = [list(map(int, one.shape)) for one in given]
    written = [list(map(int, one.shape)) for one in into]
    dtypes = [_dtype(one) for one in (*given, *into)][:1] or ["Byte"]
    if kind in ("all_gather", "gather") and shapes:
        written = [[members, *shapes[0]]]  # one tensor, as NCCL has it
    elif kind in ("reduce_scatter", "scatter") and written:
        shapes = [[members, *written[0]]]
    if not shapes and not written:
        shapes = written = [[1]]
        if kind == "all_gather":
            written = [[members]]
    return shapes or written, written or shapes, dtypes


def _arrays(payload: Any) -> tuple[list[Any], list[Any]]:
    """What a payload has of tensors (outputs and inputs) or numpy's arrays (inputs and outputs)."""
    if not isinstance(payload, tuple) or len(payload) != 2:
        return [], []
    first, second = ([one for one in part if hasattr(one, "shape")] for part in map(_each, payload))
    tensors = any(hasattr(one, "numel") for one in (*first, *second))
    return (second, first) if tensors else (first, second)


def _each(part: Any) -> Sequence[Any]:
    return part if isinstance(part, list | tuple) else ()


def _dtype(array: Any) -> str:
    name = str(array.dtype).removeprefix("torch.")
    return _DTYPES.get(name, name.title())
