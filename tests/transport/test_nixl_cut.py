"""How a transfer over NIXL is cut into writes: by bytes, and by the descriptors of each."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from adpkv.transport.nixl_opened import MANY, Piece, Send, begins, numbers
from adpkv.transport.port import Transfer

BLOCKS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60)


def sent(source: list[int], target: list[int]) -> Send:
    return Send(Transfer(1, 0, 0, 1, 1, source, target, 0))


def apart(source: list[int], target: list[int]) -> list[int]:
    """Where a block does not follow the one before, looked at one by one."""
    places = range(1, len(source))
    return [p for p in places if source[p] - source[p - 1] != 1 or target[p] - target[p - 1] != 1]


@given(BLOCKS, st.integers(1, 9), st.data())
def test_pieces_are_the_whole_transfer_and_within_both_limits(
    blocks: list[tuple[int, int]], most_blocks: int, data: st.DataObject
) -> None:
    """However many descriptors each of them may have."""
    source, target = [one for one, _ in blocks], [other for _, other in blocks]
    send, breaks = sent(source, target), apart(source, target)
    while not send.is_posted():
        rest = [place for place in breaks if place > send.posted]
        assert send.rest() == 1 + len(rest)
        most = data.draw(st.integers(1, 9))
        first, end, descriptors = send.next(most_blocks, most)
        assert first == send.posted < end <= len(blocks)
        assert end - first <= most_blocks
        assert descriptors == 1 + sum(place < end for place in rest) <= most
        full = end - first == most_blocks or (end in rest and descriptors == most)
        assert full or end == len(blocks), "no larger one was allowed"
        send.posted = end


@given(st.lists(st.integers(1, 60), min_size=8, max_size=20))
def test_long_transfers_are_looked_at_by_numpy_as_short_ones_are(runs: list[int]) -> None:
    source = [1000 * number + at for number, run in enumerate(runs) for at in range(run)]
    source = source * (1 + MANY // len(source))
    target = list(range(len(source)))
    assert len(source) >= MANY
    assert begins(source, target) == apart(source, target)


def test_numbers_are_what_they_are() -> None:
    for blocks in (range(3, 9), (5, 1, 2**31 - 1), [4], ()):
        assert numbers(blocks).tolist() == list(blocks)


def test_adjacent_blocks_are_one_descriptor() -> None:
    send = sent(list(range(10)), list(range(20, 30)))
    assert send.rest() == 1
    assert send.next(8, 1) == Piece(0, 8, 1)
    send.posted = 8
    assert send.next(8, 1) == Piece(8, 10, 1)
    assert sent([1, 2, 7, 8], [1, 2, 3, 4]).next(8, 8) == Piece(0, 4, 2)


def test_a_notice_goes_with_the_last_piece_only_if_all_others_have_ended() -> None:
    """It is the receiver's proof, and nothing else orders the writes."""
    send = sent([0, 5], [0, 5])
    assert not send.ends_with(send.next(1, 1))
    send.posted = 1
    assert send.ends_with(send.next(1, 1))
    send.handles.append((7, 1))
    assert not send.ends_with(send.next(1, 1))
