"""The board of one host: each rank writes its own ring, all read all."""

from __future__ import annotations

from pathlib import Path

from adpkv.diagnosis.board import Standing
from adpkv.errors import Place
from tests.diagnosis.rings import host, join


def test_a_rank_is_seen_where_it_stands(tmp_path: Path) -> None:
    (_, writer), (other, own) = host(tmp_path, 4, 6)
    writer.remove()  # what is mapped stays
    assert own.standings()[1] == Standing(0, 0, Place(6, "", "", 0)), "it has not begun"
    writer.enter(join("tp_gather", "flush"), 1, 99)
    assert other.standings()[1] == Standing(99, 1, Place(6, "tp_gather", "flush", 7))
    assert own.own() == other.standings()[1]
    assert other.own().place.rank == 4
    writer.leave(100)
    assert other.standings()[1] == Standing(0, 1, Place(6, "tp_gather", "flush", 7))


def test_ranks_are_told_in_their_order(tmp_path: Path) -> None:
    _, (board, *_) = host(tmp_path, 11, 2)
    assert [standing.place.rank for standing in board.standings()] == [2, 11]
