"""The ledger: each violation is shown to fire, and clean work says nothing."""

from __future__ import annotations

import pytest

from adpkv.memory.virtual import LedgerMemory


class Rig:
    """A ledger of eight blocks, and what it reported."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.memory = LedgerMemory(
            8, 16, 64, lambda kind, detail, _: self.told.append((kind, detail))
        )

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.told]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_clean_life(rig: Rig) -> None:
    memory = rig.memory
    memory.hand_out(1, [0, 1, 2], [])
    memory.compute([0, 1, 2], [5, 6, 7], 0, 40)
    memory.expect_write(1, [0, 1, 2])
    assert memory.awaited([0]) == 1
    memory.land(1, [0, 1], whole=False)
    memory.land(1, [2], whole=True)
    memory.end_write(1, [0, 1, 2])
    assert memory.verify(9, [0, 1, 2], [5, 6, 7], 40)
    memory.release([0, 1, 2])
    memory.hand_out(2, [2, 1, 0], [])
    memory.close()
    assert rig.told == []


def test_a_block_that_is_named_twice_ends_no_other(rig: Rig) -> None:
    rig.memory.hand_out(1, [0, 1], [])
    rig.memory.expect_write(1, [0, 1])
    rig.memory.end_write(1, [0, 0])
    assert rig.memory.awaited([1]) == 1
    rig.memory.release([0, 1])
    assert rig.told == [("freed_in_doubt", "block 1 was freed while lease 1 awaits a write")]


def test_a_lease_without_new_blocks_leaves_nothing(rig: Rig) -> None:
    rig.memory.hand_out(1, [0, 1], [])
    rig.memory.hand_out(2, [], [])
    rig.memory.expect_write(2, [])
    rig.memory.end_write(2, [])
    assert rig.memory._given == {1: [0, 1]}
    assert not rig.memory._awaited
    assert not rig.memory._writer
    rig.memory.release([0, 1])
    assert rig.memory._given == {}
    assert rig.told == []


def test_two_owners(rig: Rig) -> None:
    rig.memory.hand_out(1, [0, 1], [])
    rig.memory.hand_out(2, [1, 2], [])
    assert rig.told == [("two_owners", "block 1 of lease 1 given to 2")]


def test_an_evicted_block_changes_its_owner_without_a_word(rig: Rig) -> None:
    rig.memory.hand_out(1, [0], [])
    rig.memory.hand_out(2, [], [0])
    assert rig.told == []


def test_double_free(rig: Rig) -> None:
    rig.memory.hand_out(1, [0, 1], [])
    rig.memory.release([0, 1])
    rig.memory.release([1])
    assert rig.told == [("double_free", "block 1 was free already")]


def test_two_writers(rig: Rig) -> None:
    rig.memory.hand_out(1, [0], [])
    rig.memory.expect_write(1, [0])
    rig.memory.expect_write(2, [0])
    assert rig.told == [("two_writers", "block 0 awaits lease 1 and 2")]


def test_two_writers_by_one_lease_and_the_last_is_the_writer(rig: Rig) -> None:
    rig.memory.hand_out(1, [0, 1], [])
    rig.memory.expect_write(1, [0, 0])
    rig.memory.expect_write(2, [1, 0])
    assert rig.told == [
        ("two_writers", "block 0 awaits lease 1 and 1"),
        ("two_writers", "block 0 awaits lease 1 and 2"),
    ]
    assert rig.memory.awaited([0]) == 2
    rig.memory.end_write(1, [0])
    rig.memory.land(2, [1, 0], whole=True)
    rig.memory.end_write(2, [1, 0])
    assert rig.memory.awaited([0]) == 0
    assert len(rig.told) == 2


def test_an_evicted_block_in_doubt(rig: Rig) -> None:
    rig.memory.hand_out(1, [0, 1], [])
    rig.memory.expect_write(1, [0, 1])
    rig.memory.hand_out(2, [], [1])
    rig.memory.hand_out(3, [], [1])
    assert rig.told == [("freed_in_doubt", "block 1 was evicted while lease 1 awaits a write")]
    rig.memory.land(1, [0], whole=True)
    assert len(rig.told) == 1


def test_an_evicted_block_that_is_named_twice_has_two_writers(rig: Rig) -> None:
    rig.memory.hand_out(1, [0], [])
    rig.memory.hand_out(2, [], [0, 0])
    rig.memory.expect_write(2, [0, 0])
    assert rig.told == [("two_writers", "block 0 awaits lease 2 and 2")]


def test_blocks_of_two_leases_that_are_freed_at_once(rig: Rig) -> None:
    rig.memory.hand_out(1, [0], [])
    rig.memory.hand_out(2, [1], [])
    rig.memory.expect_write(2, [1])
    rig.memory.release([0, 1])
    assert rig.told == [("freed_in_doubt", "block 1 was freed while lease 2 awaits a write")]


def test_a_lease_still_awaits_the_rest_when_a_part_has_ended(rig: Rig) -> None:
    rig.memory.hand_out(1, [0, 1], [])
    rig.memory.hand_out(2, [2], [])
    rig.memory.expect_write(1, [0, 1])
    rig.memory.expect_write(2, [2])
    rig.memory.end_write(1, [0])
    assert [rig.memory.awaited([block]) for block in (0, 1, 2)] == [0, 1, 2]
    rig.memory.land(2, [2], whole=True)
    rig.memory.end_write(2, [2])
    rig.memory.land(1, [1, 0], whole=True)
    assert rig.kinds == ["write_after_free"]


def test_a_writer_that_ended_is_none(rig: Rig) -> None:
    rig.memory.hand_out(1, [0], [])
    rig.memory.expect_write(1, [0])
    rig.memory.end_write(1, [0])
    rig.memory.end_write(1, [0])
    rig.memory.expect_write(1, [0])
    assert rig.told == []


def test_somebody_else_cannot_end_a_write(rig: Rig) -> None:
    rig.memory.hand_out(1, [0], [])
    rig.memory.expect_write(1, [0])
    rig.memory.end_write(2, [0])
    assert rig.memory.awaited([0]) == 1


def test_freed_in_doubt(rig: Rig) -> None:
    """Blocks go back although a peer may still write: a violation before any byte lands."""
    rig.memory.hand_out(1, [0, 1], [])
    rig.memory.expect_write(1, [1])
    rig.memory.release([0, 1])
    assert rig.told == [("freed_in_doubt", "block 1 was freed while lease 1 awaits a write")]


@pytest.mark.parametrize("next_owner", [0, 2])
def test_write_after_free(rig: Rig, next_owner: int) -> None:
    rig.memory.hand_out(1, [0], [])
    rig.memory.expect_write(1, [0])
    rig.memory.release([0])
    if next_owner:
        rig.memory.hand_out(next_owner, [0], [])
        rig.memory.expect_write(next_owner, [0])
    rig.memory.land(1, [0], whole=True)
    kind, detail = rig.told[-1]
    assert kind == "write_after_free"
    assert detail == f"bytes for lease 1 landed in block 0, which lease {next_owner} holds now"


def test_a_write_that_nobody_expects(rig: Rig) -> None:
    rig.memory.hand_out(1, [0], [])
    rig.memory.land(1, [0], whole=True)
    assert rig.kinds == ["write_after_free"]


@pytest.mark.parametrize("whole", [None, False])
def test_wrong_kv(rig: Rig, whole: bool | None) -> None:
    """Nothing landed, or only a part of it: a completion that lied."""
    rig.memory.hand_out(1, [0, 1], [])
    rig.memory.expect_write(1, [0, 1])
    if whole is not None:
        rig.memory.land(1, [0], whole=whole)
    assert not rig.memory.verify(9, [0, 1], [5, 6], 20)
    assert rig.told == [("wrong_kv", "request 9: its KV never came into lease 1")]


def test_what_landed_for_a_former_owner_is_forgotten(rig: Rig) -> None:
    rig.memory.hand_out(1, [0], [])
    rig.memory.expect_write(1, [0])
    rig.memory.land(1, [0], whole=True)
    rig.memory.end_write(1, [0])
    rig.memory.release([0])
    rig.memory.hand_out(2, [0], [])
    assert not rig.memory.verify(9, [0], [5], 10)
