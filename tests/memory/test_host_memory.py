"""Host memory keeps KV apart by key, layer and token, and sees each planted violation."""

from __future__ import annotations

import pytest

from adpkv.memory.host import HostMemory
from adpkv.memory.pattern import CANARY

BLOCKS, TOKENS = 8, 4


class Rig:
    """A memory, and what it reported."""

    def __init__(self, head_dim: int = 16, dtype_bytes: int = 2) -> None:
        self.told: list[tuple[str, str]] = []
        self.memory = HostMemory(
            BLOCKS,
            TOKENS,
            2,
            2,
            head_dim,
            dtype_bytes,
            lambda kind, detail, _: self.told.append((kind, detail)),
        )

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.told]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def copy(memory: HostMemory, source: int, target: int) -> None:
    memory.view(target, 1)[:] = memory.view(source, 1)


def test_a_block_is_one_contiguous_range(rig: Rig) -> None:
    assert rig.memory.block_bytes == 2 * 2 * TOKENS * 2 * 16 * 2
    assert len(rig.memory.view(2, 3)) == 3 * rig.memory.block_bytes
    rig.memory.view(2, 3)[:] = b"\7" * (3 * rig.memory.block_bytes)
    assert rig.memory.view(1, 1)[-1] == 0
    assert rig.memory.view(4, 1)[-1] == 7
    assert rig.memory.view(5, 1)[0] == 0


@pytest.mark.parametrize(("head_dim", "dtype_bytes"), [(16, 2), (3, 2), (1, 2), (5, 1)])
def test_what_was_computed_elsewhere_verifies(head_dim: int, dtype_bytes: int) -> None:
    rig = Rig(head_dim, dtype_bytes)
    keys = [11, 12, -3]
    rig.memory.compute([0, 5, 2], keys, 0, 6)
    rig.memory.compute([0, 5, 2], keys, 6, 10)
    for source, target in ((0, 6), (5, 3), (2, 7)):
        copy(rig.memory, source, target)
    assert rig.memory.verify(1, [6, 3, 7], keys, 10)
    assert rig.told == []


def test_only_the_prompt_tokens_of_the_last_block_count(rig: Rig) -> None:
    rig.memory.compute([0], [9], 0, 3)
    assert rig.memory.verify(1, [0], [9], 3)
    assert not rig.memory.verify(1, [0], [9], 4)


def test_equal_keys_are_equal_content_in_every_rank() -> None:
    one, other = Rig().memory, Rig().memory
    one.compute([0], [1 << 70], 0, TOKENS)
    other.compute([3], [1 << 70], 0, TOKENS)
    assert one.view(0, 1) == other.view(3, 1)


def test_no_two_keys_layers_or_tokens_have_equal_content(rig: Rig) -> None:
    rig.memory.compute([0, 1], [7, 8], 0, 2 * TOKENS)
    row = 2 * 16 * 2
    both = bytes(rig.memory.view(0, 2))
    rows = {both[at : at + row] for at in range(0, len(both), row)}
    assert len(rows) == len(both) // row


def test_one_wrong_byte_is_seen_and_named(rig: Rig) -> None:
    rig.memory.compute([4], [7], 0, TOKENS)
    rig.memory.view(4, 1)[rig.memory.block_bytes - 1] ^= 1
    assert not rig.memory.verify(31, [4], [7], TOKENS)
    assert rig.told == [("wrong_kv", f"blocks 4: request 31, {TOKENS} prompt tokens")]


def test_the_kv_of_another_request_is_wrong(rig: Rig) -> None:
    rig.memory.compute([0], [7], 0, TOKENS)
    assert not rig.memory.verify(2, [0], [8], TOKENS)
    assert rig.kinds == ["wrong_kv"]


@pytest.mark.parametrize("used_before", [False, True])
def test_write_after_free_shows_when_the_block_is_given_out(rig: Rig, used_before: bool) -> None:
    if used_before:
        rig.memory.hand_out(1, [3, 4], [])
        rig.memory.release([3, 4])
        assert set(rig.memory.view(3, 2)) == {CANARY}
    rig.memory.view(3, 1)[17] = 1
    rig.memory.hand_out(2, [3, 4], [])
    assert rig.told == [("write_after_free", "blocks 3: found when given to lease 2")]


def test_blocks_left_alone_are_given_out_in_peace(rig: Rig) -> None:
    for owner in range(3):
        rig.memory.hand_out(owner, [0, 1], [])
        rig.memory.compute([0, 1], [5, 6], 0, 2 * TOKENS)
        rig.memory.release([0, 1])
    assert rig.told == []


def test_evicted_blocks_may_hold_anything(rig: Rig) -> None:
    rig.memory.hand_out(1, [0], [])
    rig.memory.compute([0], [5], 0, TOKENS)
    rig.memory.hand_out(2, [], [0])
    assert rig.told == []


def test_double_free_is_seen(rig: Rig) -> None:
    rig.memory.hand_out(1, [0], [])
    rig.memory.release([0])
    rig.memory.release([0])
    assert rig.kinds == ["double_free"]


def test_a_block_in_use_given_out_again_is_seen(rig: Rig) -> None:
    rig.memory.hand_out(1, [0], [])
    rig.memory.hand_out(2, [0], [])
    assert rig.kinds == ["two_owners"]


def test_two_writers_of_a_block_are_seen(rig: Rig) -> None:
    rig.memory.hand_out(1, [0, 1], [])
    rig.memory.expect_write(1, [0, 1])
    rig.memory.expect_write(2, [1])
    assert rig.told == [("two_writers", "blocks 1: advertised by lease 2, not the first time")]


def test_a_writer_whose_writing_is_over_is_none(rig: Rig) -> None:
    rig.memory.hand_out(1, [0], [])
    rig.memory.expect_write(1, [0])
    rig.memory.end_write(1, [0])
    rig.memory.expect_write(2, [0])
    rig.memory.end_write(2, [0])
    rig.memory.release([0])
    assert rig.told == []


def test_freeing_what_a_peer_may_still_write_is_seen(rig: Rig) -> None:
    rig.memory.hand_out(1, [0], [])
    rig.memory.expect_write(1, [0])
    rig.memory.release([0])
    assert rig.kinds == ["freed_in_doubt"]


def test_a_report_of_many_blocks_is_short(rig: Rig) -> None:
    rig = Rig()
    rig.memory = HostMemory(
        20, 1, 1, 1, 8, 1, lambda kind, detail, _: rig.told.append((kind, detail))
    )
    rig.memory.release(range(20))
    assert rig.told == [
        ("double_free", "blocks 0, 1, 2, 3, 4, 5, 6, 7 and 12 more: released while free")
    ]


def test_closing_lets_the_bytes_go(rig: Rig) -> None:
    rig.memory.close()
    assert len(rig.memory.view(0, 1)) == 0


def test_many_blocks_at_once_are_checked_like_a_few() -> None:
    told: list[tuple[str, str, tuple[int, ...]]] = []
    memory = HostMemory(80, 2, 1, 1, 4, 2, lambda *one: told.append(one))
    memory.hand_out(1, range(60), [])
    memory.release(range(60))
    memory.view(17, 1)[3] = 1
    memory.view(70, 1)[0] = 1
    memory.hand_out(2, range(79), [])
    assert told == [("write_after_free", "blocks 17, 70: found when given to lease 2", (1, 0))]
    told.clear()
    memory.hand_out(3, range(40), [])
    assert [kind for kind, _, _ in told] == ["two_owners"]
    told.clear()
    memory.release(range(79))
    memory.hand_out(4, [*range(40), 5], [])
    assert told == [("two_owners", "blocks 5: given to lease 4 while in use", (3, 4))]
    told.clear()
    memory.release(range(40))
    memory.view(3, 1)[1] = 7
    memory.look_at_free()
    assert [(kind, leases) for kind, _, leases in told] == [("write_after_free", (4,))]
