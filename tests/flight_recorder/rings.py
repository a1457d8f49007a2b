"""Flight recorders of a made-up host, for the tests of what reads them."""

from __future__ import annotations

from pathlib import Path

from adpkv.executor.collectives import Collective
from adpkv.flight_recorder.board import Board
from adpkv.flight_recorder.job_directory import ring_path
from adpkv.flight_recorder.writer import FlightRecorder


def recorder(folder: Path, rank: int = 0, *, size: int = 2, records: int = 16) -> FlightRecorder:
    return FlightRecorder(
        ring_path(folder, rank),
        rank=rank,
        size=size,
        host="here",
        experiment="made-up",
        records=records,
    )


def host(folder: Path, *ranks: int) -> tuple[list[FlightRecorder], list[Board]]:
    """The recorders of these ranks, and the board as each of them has it."""
    made = [recorder(folder, rank, size=max(ranks) + 1) for rank in ranks]
    return made, [Board.open(folder, ranks, rank) for rank in ranks]


def collective(kind: str = "tp_allgather", site: str = "sync", iteration: int = 7) -> Collective:
    return Collective(1, kind, site, iteration, None, ())
