"""Who is behind after a rank failure, and who has what is missing."""

from __future__ import annotations

from adpkv.worlds.mpi.recovery.positions import RankPosition, sources, targets


def position(rank: int, **positions: int) -> RankPosition:
    names = {"world": -1, "context": 0, "generation": 1}
    return RankPosition(rank, {names[name]: at for name, at in positions.items()}, {}, {})


def test_all_go_to_where_the_furthest_stands() -> None:
    """Rank 1 missed collective 7; ranks 0 and 2 completed it, and rank 2 has waited since."""
    told = [
        position(0, world=1, context=8),
        position(1, world=1, context=7),
        position(2, world=1, context=9),
        position(3, world=1, generation=4),
        position(4, world=1, generation=4),
    ]
    assert targets(told) == {-1: 1, 0: 9, 1: 4}
    assert sources(told) == {0: (0, 7)}, "the first who has it"


def test_nobody_gives_where_all_stand_together() -> None:
    told = [position(0, world=1, context=3), position(1, world=1, context=3)]
    assert targets(told) == {-1: 1, 0: 3}
    assert sources(told) == {}


def test_the_last_collective_of_the_world_is_handed_on_too() -> None:
    told = [position(0, world=2, context=9), position(3, world=1, generation=4)]
    assert targets(told)[-1] == 2
    assert sources(told) == {-1: (0, 1)}
