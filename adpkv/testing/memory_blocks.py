"""Conformance bodies of a memory: who has a block, who may write into it, and when it is free."""

from __future__ import annotations

from adpkv.testing.memory_rig import BLOCKS, TOKENS, Rig, bodies_of, expecting

__all__ = ["BODIES"]


def check_a_clean_life_says_nothing(rig: Rig) -> None:
    """Handed out, computed, written by a peer, verified, given back, many times over."""
    blocks, keys = (2, 5, 1), (11, 12, 13)
    for owner in range(1, 6):
        rig.memory.hand_out(owner, blocks, [])
        rig.memory.compute(blocks, keys, 0, 2 * TOKENS + 1)
        rig.memory.release(blocks)
    for owner in range(6, 11):
        expecting(rig, owner, blocks)
        rig.arrive(owner, blocks, keys)
        rig.memory.end_write(owner, blocks)
        assert rig.memory.verify(owner, blocks, keys, 2 * TOKENS + 1)
        rig.memory.release(blocks)
    rig.memory.close()
    assert rig.told() == []


def check_it_says_how_large_a_block_is(rig: Rig) -> None:
    """In tokens and in bytes: what posting and budgets are counted in."""
    assert rig.memory.block_tokens == TOKENS
    assert rig.memory.block_bytes > 0


def check_nothing_at_all_is_no_fault(rig: Rig) -> None:
    """Empty lists are fine wherever lists are."""
    rig.memory.hand_out(1, [], [])
    rig.memory.expect_write(1, [])
    rig.memory.end_write(1, [])
    rig.memory.release([])
    assert rig.told() == []


def check_blocks_may_go_back_in_parts_and_in_any_order(rig: Rig) -> None:
    """Shared prefixes outlive the lease that they were handed out to."""
    rig.memory.hand_out(1, [0, 1, 2, 3], [])
    rig.memory.release([3])
    rig.memory.release([0, 2])
    rig.memory.hand_out(2, [2, 3], [])
    rig.memory.release([1, 3, 2])
    rig.memory.hand_out(3, range(BLOCKS), [])
    assert rig.told() == []


def check_an_evicted_block_changes_its_owner_without_a_word(rig: Rig) -> None:
    """It still holds cached KV, and nobody gave it back."""
    rig.memory.hand_out(1, [0], [])
    rig.memory.compute([0], [5], 0, TOKENS)
    rig.memory.hand_out(2, [1], [0])
    rig.memory.release([0, 1])
    assert rig.told() == []


def check_two_owners(rig: Rig) -> None:
    """A block in use is given to another."""
    rig.memory.hand_out(1, [0, 1], [])
    rig.memory.hand_out(2, [1, 2], [])
    assert rig.told() == ["two_owners"]


def check_two_owners_in_one_go(rig: Rig) -> None:
    """The free list has a block twice."""
    rig.memory.hand_out(1, [3, 3], [])
    assert rig.told() == ["two_owners"]


def check_double_free(rig: Rig) -> None:
    """Given back twice."""
    rig.memory.hand_out(1, [0, 1], [])
    rig.memory.release([0, 1])
    rig.memory.release([1])
    assert rig.told() == ["double_free"]


def check_double_free_in_one_go(rig: Rig) -> None:
    """Given back twice in one list."""
    rig.memory.hand_out(1, [0], [])
    rig.memory.release([0, 0])
    assert rig.told() == ["double_free"]


def check_two_writers(rig: Rig) -> None:
    """A block that awaits one peer is advertised to another."""
    expecting(rig, 1, [0, 1])
    rig.memory.expect_write(2, [1])
    assert rig.told() == ["two_writers"]


def check_two_writers_for_one_lease(rig: Rig) -> None:
    """A second advertise for the same lease brings a second writer."""
    expecting(rig, 1, [0, 1])
    rig.memory.expect_write(1, [1])
    assert rig.told() == ["two_writers"]


def check_a_writer_whose_end_is_proven_is_none(rig: Rig) -> None:
    """Ended twice is ended once; then the block may await the next."""
    expecting(rig, 1, [0])
    rig.memory.end_write(1, [0])
    rig.memory.end_write(1, [0])
    rig.memory.expect_write(1, [0])
    rig.memory.end_write(1, [0])
    rig.memory.release([0])
    assert rig.told() == []


def check_only_the_lease_itself_ends_its_write(rig: Rig) -> None:
    """Ending a former lease's write is no proof for the present one."""
    expecting(rig, 2, [0])
    rig.memory.end_write(1, [0])
    rig.memory.release([0])
    assert rig.told() == ["freed_in_doubt"]


def check_freed_in_doubt(rig: Rig) -> None:
    """Given back while a peer may still write: reported before any byte lands."""
    expecting(rig, 1, [0, 1])
    rig.memory.end_write(1, [0])
    rig.memory.release([0, 1])
    assert rig.told() == ["freed_in_doubt"]


def check_evicted_in_doubt(rig: Rig) -> None:
    """Evicted while a peer may still write: reported once, and not for the block's next owner."""
    expecting(rig, 1, [0, 1])
    rig.memory.end_write(1, [0])
    rig.memory.hand_out(2, [], [0])
    assert rig.told() == []
    rig.memory.hand_out(3, [], [1])
    assert rig.told() == ["freed_in_doubt"]
    rig.memory.expect_write(3, [1])
    rig.memory.end_write(3, [1])
    rig.memory.release([0, 1])
    assert rig.told() == ["freed_in_doubt"]


def check_write_after_free(rig: Rig) -> None:
    """Freed while a peer may still write; then its bytes land in the free block."""
    expecting(rig, 1, [3, 4])
    rig.memory.release([3, 4])
    rig.stray(1, [3, 4])
    rig.memory.hand_out(2, [3, 4], [])
    assert rig.told() == ["freed_in_doubt", "write_after_free"]


def check_a_violation_is_not_told_for_ever(rig: Rig) -> None:
    """A violation is reported once, and not for the block's next owners."""
    expecting(rig, 1, [3])
    rig.memory.release([3])
    rig.stray(1, [3])
    rig.memory.hand_out(2, [3], [])
    rig.memory.release([3])
    told = rig.told()
    expecting(rig, 3, [3])
    rig.arrive(3, [3], [7])
    rig.memory.end_write(3, [3])
    assert rig.memory.verify(9, [3], [7], TOKENS)
    assert rig.told() == told


def check_free_blocks_are_left_alone_to_the_end(rig: Rig) -> None:
    """Used before, never used, and in use: none of it is a write after free."""
    expecting(rig, 1, [0, 1])
    rig.arrive(1, [0, 1], [5, 6])
    rig.memory.end_write(1, [0, 1])
    rig.memory.release([0])
    rig.memory.look_at_free()
    assert rig.told() == []


def check_write_after_free_is_seen_at_the_end(rig: Rig) -> None:
    """Into a block that is handed out to nobody before the end of the run."""
    expecting(rig, 1, [3, 4])
    rig.memory.end_write(1, [3, 4])
    rig.memory.release([3, 4])
    rig.stray(1, [4])
    rig.memory.look_at_free()
    assert rig.told() == ["write_after_free"]


BODIES = bodies_of(globals())
