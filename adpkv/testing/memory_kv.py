"""Conformance bodies of a memory: whether the KV in a lease's blocks is what it should be."""

from __future__ import annotations

from adpkv.testing.memory_rig import TOKENS, Rig, bodies_of, expecting

__all__ = ["BODIES"]


def check_kv_that_never_came_is_wrong(rig: Rig) -> None:
    """The transfer is said to be complete, and no byte arrived."""
    expecting(rig, 1, [0, 1])
    rig.memory.end_write(1, [0, 1])
    rig.memory.verify(9, [0, 1], [5, 6], 2 * TOKENS)
    assert rig.told() == ["wrong_kv"]


def check_a_part_of_the_kv_is_wrong(rig: Rig) -> None:
    """The transfer is said to be complete, and a part of its bytes is missing."""
    expecting(rig, 1, [0, 1])
    rig.arrive_partly(1, [0, 1], [5, 6])
    rig.memory.end_write(1, [0, 1])
    rig.memory.verify(9, [0, 1], [5, 6], 2 * TOKENS)
    assert rig.told() == ["wrong_kv"]


def check_what_came_for_a_former_owner_is_gone(rig: Rig) -> None:
    """KV of a former lease does not count for the next, though it is the same content."""
    expecting(rig, 1, [0])
    rig.arrive(1, [0], [5])
    rig.memory.end_write(1, [0])
    rig.memory.release([0])
    expecting(rig, 2, [0])
    rig.memory.end_write(2, [0])
    rig.memory.verify(9, [0], [5], TOKENS)
    assert rig.told() == ["wrong_kv"]


def check_kv_that_stays_is_right_at_the_end_too(rig: Rig) -> None:
    """What decoding writes does not change the prompt's KV."""
    expecting(rig, 1, [0, 1, 2])
    rig.arrive(1, [0, 1], [5, 6])
    rig.memory.end_write(1, [0, 1, 2])
    for _ in range(2):
        assert rig.memory.verify(9, [0, 1], [5, 6], 2 * TOKENS)
        assert rig.memory.verify_again(9, [0, 1], [5, 6], 2 * TOKENS)
    rig.memory.release([0, 1, 2])
    assert rig.told() == []


def check_kv_overwritten_after_arrival(rig: Rig) -> None:
    """Bytes for a former lease land while the request decodes."""
    expecting(rig, 2, [0, 1])
    rig.arrive(2, [0, 1], [5, 6])
    rig.memory.end_write(2, [0, 1])
    assert rig.memory.verify(9, [0, 1], [5, 6], 2 * TOKENS)
    rig.stray(1, [1])
    rig.memory.verify_again(9, [0, 1], [5, 6], 2 * TOKENS)
    assert rig.told()[-1] == "wrong_kv"
    rig.memory.release([0, 1])
    expecting(rig, 3, [0, 1])
    rig.arrive(3, [0, 1], [5, 6])
    rig.memory.end_write(3, [0, 1])
    assert rig.memory.verify_again(9, [0, 1], [5, 6], 2 * TOKENS), "a new owner starts clean"


BODIES = bodies_of(globals())
