"""World ranks are laid out consecutively, context instances first."""

from __future__ import annotations

import pytest

from adpkv.core.topology import Kind, Topology


@pytest.fixture
def topology() -> Topology:
    return Topology.of(context=(2, 3), generation=(1, 4))


def test_instances_lie_side_by_side(topology: Topology) -> None:
    assert [(i.name, list(i.members)) for i in topology.instances] == [
        ("context-0", [0, 1, 2]),
        ("context-1", [3, 4, 5]),
        ("generation-2", [6, 7, 8, 9]),
    ]
    assert topology.ranks == 10


def test_without_instances_there_are_no_ranks() -> None:
    assert Topology(()).ranks == 0
    with pytest.raises(IndexError, match="rank 0 of 0"):
        Topology(()).instance_of(0)


def test_a_rank_finds_its_instance_and_leader(topology: Topology) -> None:
    for rank in range(topology.ranks):
        instance = topology.instance_of(rank)
        assert rank in instance.members
        assert instance.leader == instance.members[0]


def test_instances_of_a_kind(topology: Topology) -> None:
    assert [i.index for i in topology.of_kind(Kind.CONTEXT)] == [0, 1]
    assert [i.index for i in topology.of_kind(Kind.GENERATION)] == [2]


def test_a_rank_of_nobody_is_an_error(topology: Topology) -> None:
    for rank in (-1, 10):
        with pytest.raises(IndexError, match=f"rank {rank} of 10"):
            topology.instance_of(rank)
