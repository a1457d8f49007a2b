"""What every memory must do, and which violations it must notice, as bodies for any implementation.

A body gets a `Rig`: a memory of `BLOCKS` blocks, the violations that it reported so far, and the
part of the link: KV that arrives as it should, and bytes that arrive too late. One memory notices a
write as it lands, another only at the next hand-out of the block; so a body that plants a violation
ends with the hand-out at which it must have been noticed at the latest.

Only the kinds of the reported violations are checked; which request is named, and how often, is up
to each memory. So is whether `verify` knows what is wrong at once, or answers True and reports it
later (`memory.port`): a rig's `told` waits for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from adpkv.memory.port import Memory, ReuseWatch

__all__ = ["BLOCKS", "BODIES", "TOKENS", "Rig"]

BLOCKS = 8
TOKENS = 4
"""Tokens of a block."""


class Rig(Protocol):
    """A memory under test. Lease numbers begin at 1, as the pool's do."""

    memory: Memory

    def told(self) -> list[str]:
        """The kinds of the violations reported so far, each once, in order of the first. What a
        memory finds out later is waited for here."""
        ...

    def arrive(self, owner: int, blocks: Sequence[int], keys: Sequence[int]) -> None:
        """A peer's whole KV for these keys lands for a lease that expects it."""
        ...

    def arrive_partly(self, owner: int, blocks: Sequence[int], keys: Sequence[int]) -> None:
        """All but the last block's bytes land; then the peer stops."""
        ...

    def stray(self, owner: int, blocks: Sequence[int]) -> None:
        """Bytes that were meant for a former lease of these blocks land, too late."""
        ...


def _expecting(rig: Rig, owner: int, blocks: Sequence[int]) -> None:
    rig.memory.hand_out(owner, blocks, [])
    rig.memory.expect_write(owner, blocks)


def check_a_clean_life_says_nothing(rig: Rig) -> None:
    """Handed out, computed, written by a peer, verified, given back, many times over."""
    blocks, keys = (2, 5, 1), (11, 12, 13)
    for owner in range(1, 6):
        rig.memory.hand_out(owner, blocks, [])
        rig.memory.compute(blocks, keys, 0, 2 * TOKENS + 1)
        rig.memory.release(blocks)
    for owner in range(6, 11):
        _expecting(rig, owner, blocks)
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
    _expecting(rig, 1, [0, 1])
    rig.memory.expect_write(2, [1])
    assert rig.told() == ["two_writers"]


def check_two_writers_for_one_lease(rig: Rig) -> None:
    """A second advertise for the same lease brings a second writer."""
    _expecting(rig, 1, [0, 1])
    rig.memory.expect_write(1, [1])
    assert rig.told() == ["two_writers"]


def check_a_writer_whose_end_is_proven_is_none(rig: Rig) -> None:
    """Ended twice is ended once; then the block may await the next."""
    _expecting(rig, 1, [0])
    rig.memory.end_write(1, [0])
    rig.memory.end_write(1, [0])
    rig.memory.expect_write(1, [0])
    rig.memory.end_write(1, [0])
    rig.memory.release([0])
    assert rig.told() == []


def check_only_the_lease_itself_ends_its_write(rig: Rig) -> None:
    """Ending a former lease's write is no proof for the present one."""
    _expecting(rig, 2, [0])
    rig.memory.end_write(1, [0])
    rig.memory.release([0])
    assert rig.told() == ["freed_in_doubt"]


def check_freed_in_doubt(rig: Rig) -> None:
    """Given back while a peer may still write: reported before any byte lands."""
    _expecting(rig, 1, [0, 1])
    rig.memory.end_write(1, [0])
    rig.memory.release([0, 1])
    assert rig.told() == ["freed_in_doubt"]


def check_evicted_in_doubt(rig: Rig) -> None:
    """Evicted while a peer may still write: reported once, and not for the block's next owner."""
    _expecting(rig, 1, [0, 1])
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
    _expecting(rig, 1, [3, 4])
    rig.memory.release([3, 4])
    rig.stray(1, [3, 4])
    rig.memory.hand_out(2, [3, 4], [])
    assert rig.told() == ["freed_in_doubt", "write_after_free"]


def check_a_violation_is_not_told_for_ever(rig: Rig) -> None:
    """A violation is reported once, and not for the block's next owners."""
    _expecting(rig, 1, [3])
    rig.memory.release([3])
    rig.stray(1, [3])
    rig.memory.hand_out(2, [3], [])
    rig.memory.release([3])
    told = rig.told()
    _expecting(rig, 3, [3])
    rig.arrive(3, [3], [7])
    rig.memory.end_write(3, [3])
    assert rig.memory.verify(9, [3], [7], TOKENS)
    assert rig.told() == told


def check_kv_that_never_came_is_wrong(rig: Rig) -> None:
    """The transfer is said to be complete, and no byte arrived."""
    _expecting(rig, 1, [0, 1])
    rig.memory.end_write(1, [0, 1])
    rig.memory.verify(9, [0, 1], [5, 6], 2 * TOKENS)
    assert rig.told() == ["wrong_kv"]


def check_a_part_of_the_kv_is_wrong(rig: Rig) -> None:
    """The transfer is said to be complete, and a part of its bytes is missing."""
    _expecting(rig, 1, [0, 1])
    rig.arrive_partly(1, [0, 1], [5, 6])
    rig.memory.end_write(1, [0, 1])
    rig.memory.verify(9, [0, 1], [5, 6], 2 * TOKENS)
    assert rig.told() == ["wrong_kv"]


def check_what_came_for_a_former_owner_is_gone(rig: Rig) -> None:
    """KV of a former lease does not count for the next, though it is the same content."""
    _expecting(rig, 1, [0])
    rig.arrive(1, [0], [5])
    rig.memory.end_write(1, [0])
    rig.memory.release([0])
    _expecting(rig, 2, [0])
    rig.memory.end_write(2, [0])
    rig.memory.verify(9, [0], [5], TOKENS)
    assert rig.told() == ["wrong_kv"]


def check_kv_that_stays_is_right_at_the_end_too(rig: Rig) -> None:
    """What decoding writes does not change the prompt's KV."""
    _expecting(rig, 1, [0, 1, 2])
    rig.arrive(1, [0, 1], [5, 6])
    rig.memory.end_write(1, [0, 1, 2])
    for _ in range(2):
        assert rig.memory.verify(9, [0, 1], [5, 6], 2 * TOKENS)
        assert rig.memory.verify_again(9, [0, 1], [5, 6], 2 * TOKENS)
    rig.memory.release([0, 1, 2])
    assert rig.told() == []


def check_kv_overwritten_after_arrival(rig: Rig) -> None:
    """Bytes for a former lease land while the request decodes."""
    _expecting(rig, 2, [0, 1])
    rig.arrive(2, [0, 1], [5, 6])
    rig.memory.end_write(2, [0, 1])
    assert rig.memory.verify(9, [0, 1], [5, 6], 2 * TOKENS)
    rig.stray(1, [1])
    rig.memory.verify_again(9, [0, 1], [5, 6], 2 * TOKENS)
    assert rig.told()[-1] == "wrong_kv"
    rig.memory.release([0, 1])
    _expecting(rig, 3, [0, 1])
    rig.arrive(3, [0, 1], [5, 6])
    rig.memory.end_write(3, [0, 1])
    assert rig.memory.verify_again(9, [0, 1], [5, 6], 2 * TOKENS), "a new owner starts clean"


def check_free_blocks_are_left_alone_to_the_end(rig: Rig) -> None:
    """Used before, never used, and in use: none of it is a write after free."""
    _expecting(rig, 1, [0, 1])
    rig.arrive(1, [0, 1], [5, 6])
    rig.memory.end_write(1, [0, 1])
    rig.memory.release([0])
    rig.memory.look_at_free()
    assert rig.told() == []


def check_write_after_free_is_seen_at_the_end(rig: Rig) -> None:
    """Into a block that is handed out to nobody before the end of the run."""
    _expecting(rig, 1, [3, 4])
    rig.memory.end_write(1, [3, 4])
    rig.memory.release([3, 4])
    rig.stray(1, [4])
    rig.memory.look_at_free()
    assert rig.told() == ["write_after_free"]


def _kept(rig: Rig, *readers: int) -> ReuseWatch | None:
    """KV of keys 5 and 6 came into blocks 0 and 1 of lease 1, which are kept, and read by these
    leases; lease 1 is over. None if the memory does not watch that."""
    memory = rig.memory
    if not isinstance(memory, ReuseWatch):
        return None
    _expecting(rig, 1, [0, 1])
    rig.arrive(1, [0, 1], [5, 6])
    memory.end_write(1, [0, 1])
    assert memory.verify(9, [0, 1], [5, 6], 2 * TOKENS)
    memory.keep([0, 1], [5, 6])
    for reader in readers:
        memory.pin(reader, [0, 1], [5, 6, 7])
    assert rig.told() == []
    return memory


def check_kept_blocks_are_read_by_several(rig: Rig) -> None:
    """What is missing comes behind them; when nobody reads them any more they are evicted."""
    watch = _kept(rig, 2, 3)
    if watch is None:
        return
    for reader, block in ((2, 2), (3, 4)):
        _expecting(rig, reader, [block])
        rig.arrive(reader, [block], [7])
        rig.memory.end_write(reader, [block])
        assert rig.memory.verify(reader, [0, 1, block], [5, 6, 7], 2 * TOKENS + 1)
        assert rig.memory.verify(reader, [0, 1], [5, 6], 2 * TOKENS), "nothing is missing"
        assert rig.memory.verify_again(reader, [0, 1, block], [5, 6, 7], 2 * TOKENS + 1)
        watch.unpin(reader, [0, 1])
        rig.memory.release([block])
    rig.memory.hand_out(4, [], [1, 0])
    rig.memory.expect_write(4, [0, 1])
    rig.memory.end_write(4, [0, 1])
    assert rig.told() == []


def check_a_kept_block_is_advertised(rig: Rig) -> None:
    """A sender is told the address of KV that others may read."""
    if _kept(rig):
        rig.memory.expect_write(2, [2, 1])
        assert rig.told() == ["shared_block"]


def check_a_pinned_block_is_evicted(rig: Rig) -> None:
    """Another lease gets it while one reads it; which the other reader's end does not excuse."""
    watch = _kept(rig, 2, 3)
    if watch is not None:
        watch.unpin(3, [0, 1])
        rig.memory.hand_out(4, [], [1])
        assert rig.told() == ["shared_block"]


def check_a_pinned_block_is_freed(rig: Rig) -> None:
    """It becomes free while a lease reads it."""
    if _kept(rig, 2):
        rig.memory.release([0])
        assert rig.told() == ["shared_block"]


def check_a_pinned_block_holds_something_else(rig: Rig) -> None:
    """The index of the cache is wrong: found under another content, or evicted long ago."""
    watch = _kept(rig)
    if watch is not None:
        watch.pin(2, [0], [6])
        assert rig.told() == ["wrong_kv"]


def check_an_evicted_block_is_pinned(rig: Rig) -> None:
    """The index of the cache still names a block that another lease has."""
    watch = _kept(rig)
    if watch is not None:
        rig.memory.hand_out(2, [], [1])
        assert rig.told() == []
        watch.pin(3, [0, 1], [5, 6])
        assert rig.told() == ["wrong_kv"]


def check_a_kept_block_is_overwritten_that_nobody_reads(rig: Rig) -> None:
    """It is noticed when another lease gets the block, which had no canary."""
    if _kept(rig):
        rig.stray(8, [1])
        rig.memory.hand_out(4, [], [1])
        assert rig.told() in (["write_after_free"], ["wrong_kv"])


def check_a_kept_block_is_overwritten_and_stays(rig: Rig) -> None:
    """It is noticed at the end of the run."""
    if _kept(rig):
        rig.stray(8, [0])
        rig.memory.look_at_free()
        assert rig.told() in (["write_after_free"], ["wrong_kv"])


def check_a_kept_block_is_overwritten(rig: Rig) -> None:
    """Bytes for a former lease land in a block that another lease reads."""
    if _kept(rig, 2):
        rig.stray(8, [1])
        rig.memory.verify_again(9, [0, 1], [5, 6], 2 * TOKENS)
        assert rig.told()[-1] == "wrong_kv"


BODIES: dict[str, Callable[[Rig], None]] = {
    name.removeprefix("check_"): body
    for name, body in sorted(globals().items())
    if name.startswith("check_")
}
"""Every body by its name."""
