"""What must be alike on all ranks, said in one sentence."""

from __future__ import annotations

from adpkv.transport.cards import Card, difference

ALIKE = (("NIXL", "1.5.1"), ("back end", "UCX"))


def test_nothing_is_said_where_all_are_alike() -> None:
    assert difference([Card("nixl", ALIKE, host) for host in ("a", "b", "a")]) == ""
    assert difference([Card("mpi")]) == ""


def test_other_transports_are_named_with_their_ranks() -> None:
    assert difference([Card("nixl", ALIKE), Card("nixl", ALIKE), Card("mpi")]) == (
        "transceiver.transport: rank 0 has nixl, rank 2 has mpi: all ranks of a job need the same"
    )


def test_another_version_is_named_with_its_host() -> None:
    other = (("NIXL", "1.6.0"), ("back end", "UCX"))
    assert difference([Card("nixl", ALIKE, "a"), Card("nixl", other, "b")]) == (
        "transceiver.transport: nixl: rank 0 on a has NIXL 1.5.1, rank 1 on b has 1.6.0: all ranks"
        " of a job need the same"
    )
