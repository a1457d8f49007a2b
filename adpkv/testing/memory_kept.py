"""Conformance bodies of a memory that watches blocks which are kept, and read by several."""

from __future__ import annotations

from adpkv.memory.port import ReuseWatch
from adpkv.testing.memory_rig import TOKENS, Rig, bodies_of, expecting

__all__ = ["BODIES"]


def _kept(rig: Rig, *readers: int) -> ReuseWatch | None:
    """KV of keys 5 and 6 came into blocks 0 and 1 of lease 1, which are kept, and read by these
    leases; lease 1 is over. None if the memory does not watch that."""
    memory = rig.memory
    if not isinstance(memory, ReuseWatch):
        return None
    expecting(rig, 1, [0, 1])
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
        expecting(rig, reader, [block])
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


BODIES = bodies_of(globals())
