"""Flight recorders of a made-up host, for the tests of what reads them."""

from __future__ import annotations

from pathlib import Path

from adpkv.executor.collectives import Collective
from adpkv.flight_recorder.board import Board
from adpkv.flight_recorder.job_directory import ring_path, slot_path
from adpkv.flight_recorder.slot_layout import HEAD, ROUND, TOKEN_BYTES, Layout
from adpkv.flight_recorder.writer import FlightRecorder
from adpkv.worlds.mpi.exchange.segment import Segment
from adpkv.worlds.mpi.slots import code


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


class Slots:
    """What the members of a group on this host have contributed; the first `here` of `ranks` are on
    this host."""

    def __init__(self, folder: Path, group: int, ranks: tuple[int, ...], here: int) -> None:
        self.layout = Layout(group, 0, ranks, tuple(range(here)))
        token = bytes(TOKEN_BYTES)
        self._made = Segment.create(slot_path(folder, group, 0, token), self.layout, token)

    def told(
        self, member: int, round_: int, op: Collective, sequence: int, digest: int = 0
    ) -> None:
        """A member has contributed to a collective in this round; a member elsewhere as it came."""
        codes = code(op.kind), code(op.site)
        place = (self.layout.group, 0, sequence, op.iteration, *codes, digest)
        at = self.layout.head(round_, member).start
        HEAD.pack_into(self._made.memory, at, 1, 0, *place, round_)
        if member >= len(self.layout.here):
            self._made.words[self.layout.across + ROUND] = round_


def collective(kind: str = "tp_allgather", site: str = "sync", iteration: int = 7) -> Collective:
    return Collective(1, kind, site, iteration, None, ())
