"""How a transfer over NIXL is cut into writes: by bytes and by descriptors."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from adpkv.transport.nixl_opened import MANY, Piece, Send, cut, numbers
from adpkv.transport.port import Transfer

BLOCKS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60)


@given(BLOCKS, st.integers(1, 9), st.integers(1, 9))
def test_pieces_are_the_whole_transfer_and_within_both_limits(
    blocks: list[tuple[int, int]], most_blocks: int, most_descriptors: int
) -> None:
    source, target = [one for one, _ in blocks], [other for _, other in blocks]
    pieces = cut(source, target, most_blocks, most_descriptors)
    assert [place for piece in pieces for place in range(piece.first, piece.end)] == list(
        range(len(blocks))
    )
    for first, end, descriptors in pieces:
        begins = [
            at == first or source[at] != source[at - 1] + 1 or target[at] != target[at - 1] + 1
            for at in range(first, end)
        ]
        assert descriptors == sum(begins) <= most_descriptors
        assert end - first <= most_blocks


@given(st.data(), st.integers(1, 200), st.integers(1, 50))
def test_long_transfers_are_cut_as_short_ones(
    data: st.DataObject, most_blocks: int, most_descriptors: int
) -> None:
    """They are looked at by numpy. The first of several pieces has half the descriptors."""
    runs = data.draw(st.lists(st.integers(1, 60), min_size=8, max_size=20))
    source = [1000 * number + at for number, run in enumerate(runs) for at in range(run)]
    target = list(range(len(source)))
    source, target = source * 4, target * 4
    assume(len(source) >= MANY)
    pieces = cut(source, target, most_blocks, most_descriptors)
    places = range(1, len(source))
    apart = [source[at] != source[at - 1] + 1 or target[at] != target[at - 1] + 1 for at in places]
    most = most_descriptors if 1 + sum(apart) <= most_descriptors else max(1, most_descriptors // 2)
    wanted, first, descriptors = [], 0, 1
    for at, begins in zip(places, apart, strict=True):
        if at - first == most_blocks or (begins and descriptors == most):
            wanted.append(Piece(first, at, descriptors))
            first, descriptors, most = at, 1, most_descriptors
        elif begins:
            descriptors += 1
    assert pieces == [*wanted, Piece(first, len(source), descriptors)]


def test_numbers_are_what_they_are() -> None:
    for blocks in (range(3, 9), (5, 1, 2**31 - 1), [4], ()):
        assert numbers(blocks).tolist() == list(blocks)


def test_pieces_that_are_counted_do_not_wait() -> None:
    send = Send(Transfer(1, 0, 0, 1, 1, (0, 1), (0, 1), 0), cut([0, 1], [0, 1], 1, 1), counted=True)
    send.posted = 1
    send.handles.append((object(), 1))
    assert not send.is_posted()
    assert [send.needs(number) for number in range(2)] == [2, 2]
    send.counted = False
    assert [send.needs(number) for number in range(2)] == [0, 1]


def test_adjacent_blocks_are_one_descriptor() -> None:
    assert cut(range(10), range(20, 30), 8, 1) == [Piece(0, 8, 1), Piece(8, 10, 1)]
    assert cut([1, 2, 7, 8], [1, 2, 3, 4], 8, 8) == [Piece(0, 4, 2)]


def test_the_last_piece_waits_until_all_others_have_ended() -> None:
    """Its notice is the receiver's proof, and nothing else orders the writes."""
    send = Send(Transfer(1, 0, 0, 1, 1, (0, 1), (0, 1), 0), cut([0, 1], [0, 1], 1, 1))
    assert not send.is_posted()
    send.posted = 1
    send.handles.append((object(), 1))
    assert send.is_posted(), "nothing of it can be posted now"
    assert not send.waits_for_others()
    send.handles.clear()
    assert send.waits_for_others()
    assert not send.is_posted()
