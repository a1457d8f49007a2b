"""The board of one host: each rank writes its own record, all read all."""

from __future__ import annotations

from pathlib import Path

from adpkv.diagnosis.board import Board, Standing
from adpkv.errors import Place
from adpkv.executor.meetings import Join


def join(kind: str, site: str, iteration: int = 7) -> Join:
    return Join(1, kind, site, iteration, None, ())


def test_a_rank_is_seen_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "board"
    Board.make(path, 2)
    own, other = Board(path, (4, 6), 6), Board(path, (4, 6), 4)
    path.unlink()
    assert own.standings()[1] == Standing(0, 0, Place(6, "", "", 0)), "it has not begun"
    own.enter(join("tp_gather", "flush"), 99)
    assert other.standings()[1] == Standing(99, 1, Place(6, "tp_gather", "flush", 7))
    assert own.own() == other.standings()[1]
    assert other.own().place.rank == 4
    own.leave()
    assert other.standings()[1] == Standing(0, 1, Place(6, "tp_gather", "flush", 7))


def test_long_names_are_cut_and_leave_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "board"
    Board.make(path, 1)
    board = Board(path, (0,), 0)
    board.enter(join("k" * 100, "s" * 100), 1)
    assert board.own().place == Place(0, "k" * 32, "s" * 64, 7)
    board.enter(join("tp_gather", "flush"), 2)
    assert board.own().place == Place(0, "tp_gather", "flush", 7)
