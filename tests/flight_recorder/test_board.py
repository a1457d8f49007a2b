"""The board of one host: each rank writes its own ring, all read all."""

from __future__ import annotations

from pathlib import Path

from adpkv.errors import Place
from adpkv.flight_recorder.board import BoardEntry
from tests.flight_recorder.rings import collective, host


def test_a_rank_is_seen_where_it_stands(tmp_path: Path) -> None:
    (_, writer), (other, own) = host(tmp_path, 4, 6)
    writer.remove()  # what is mapped stays
    assert own.entries()[1] == BoardEntry(0, 0, Place(6, "", "", 0)), "it has not begun"
    writer.enter(collective("tp_gather", "flush"), 1, 99)
    assert other.entries()[1] == BoardEntry(99, 1, Place(6, "tp_gather", "flush", 7))
    assert own.own() == other.entries()[1]
    assert other.own().place.rank == 4
    writer.leave(100)
    assert other.entries()[1] == BoardEntry(0, 1, Place(6, "tp_gather", "flush", 7))


def test_ranks_are_told_in_their_order(tmp_path: Path) -> None:
    _, (board, *_) = host(tmp_path, 11, 2)
    assert [entry.place.rank for entry in board.entries()] == [2, 11]
