"""What goes where in a step's collectives, and by what: pure functions."""

from __future__ import annotations

import itertools
import random

import pytest

from adpkv.worlds.mpi.rank_model import backend_of
from adpkv.worlds.mpi.step_collective.buffers import HostBuffers
from adpkv.worlds.mpi.step_collective.layout import (
    COMBINE,
    DISPATCH,
    Chunk,
    moves,
    room,
    share_bytes,
)

HERE = ["a 00", "a 01", "a 02"]


@pytest.mark.parametrize("seed", range(20))
def test_what_a_member_sends_is_what_the_other_expects(seed: int) -> None:
    draw = random.Random(seed)
    members, token_bytes = draw.randint(1, 9), draw.choice((1, 6, 4096))
    tokens = [draw.choice((0, 1, 5, 400)) for _ in range(members)]
    shares = [share_bytes(count, token_bytes, members) for count in tokens]
    for count, share in zip(tokens, shares, strict=True):
        assert share % 8 == 0
        assert share * members >= count * token_bytes
        assert share == 0 if count == 0 else share * members < count * token_bytes + 8 * members
    for direction in (DISPATCH, COMBINE):
        found = [moves(direction, 7, own, shares) for own in range(members)]
        for own, mine in enumerate(found):
            for chunks in (mine.send, mine.receive):
                ends = [chunk.offset + chunk.nbytes for chunk in chunks]
                assert [chunk.offset for chunk in chunks] == [0, *ends[:-1]]
                assert ends[-1] <= room(max(tokens), token_bytes, members)
            for chunk in mine.receive:
                sent = found[chunk.member].send[own]
                assert (sent.nbytes, sent.key) == (chunk.nbytes, chunk.key)
                assert mine.offsets[chunk.member] == sent.offset
    back = [moves(COMBINE, 7, own, shares).receive for own in range(members)]
    assert [sum(chunk.nbytes for chunk in chunks) for chunks in back] == [
        members * share for share in shares
    ]


@pytest.mark.parametrize("living", range(1, 9))
def test_a_buffer_has_room_for_full_steps_of_those_who_are_left(living: int) -> None:
    """Three of four members wrote 16 bytes past the end: 32 tokens of 4,096 bytes are no multiple
    of three words."""
    for began, most in itertools.product(range(living, 9), (1, 31, 32, 2048)):
        size = room(most, 4096, began)
        for tokens in itertools.product((0, most), repeat=min(living, 3)):
            counts = [*tokens, *[most] * (living - len(tokens))]
            shares = [share_bytes(count, 4096, living) for count in counts]
            for direction, own in itertools.product((DISPATCH, COMBINE), range(living)):
                found = moves(direction, 7, own, shares)
                for last in (found.send[-1], found.receive[-1]):
                    assert last.offset + last.nbytes <= size


def test_no_two_chunks_of_two_steps_have_the_same_bytes() -> None:
    keys = [
        chunk.key
        for direction in (DISPATCH, COMBINE)
        for step in (1, 2, 3)
        for own in range(4)
        for chunk in moves(direction, step, own, [8] * 4).send
    ]
    assert len(set(keys)) == len(keys) == 96


def test_each_wrong_byte_is_told_with_who_sent_it() -> None:
    buffers = HostBuffers(64)
    chunks = [Chunk(0, 0, 24, 5), Chunk(1, 24, 0, 6), Chunk(2, 24, 40, 7)]
    buffers.fill(DISPATCH, chunks)
    buffers.received[:] = buffers.send[DISPATCH]
    told: list[Chunk] = []
    buffers.check(chunks, told.append)
    assert told == []
    for at, wrong in ((0, 0), (23, 0), (24, 2), (63, 2)):
        told.clear()
        buffers.received[at] ^= 1
        buffers.check(chunks, told.append)
        buffers.received[at] ^= 1
        assert told == [chunks[wrong]]


@pytest.mark.parametrize(
    ("wanted", "places", "nccl", "found"),
    [
        ("auto", None, False, "mpi"),
        ("auto", HERE, True, "nccl"),
        ("auto", HERE, False, "ipc"),
        ("auto", ["a 00", "a 00"], True, "mpi"),
        ("auto", ["a 00", "a 01", "a 00"], False, "mpi"),
        ("auto", ["a 00", "b 00"], True, "nccl"),
        ("auto", ["a 00", "b 00", "b 00"], True, "mpi"),
        ("mpi", HERE, True, "mpi"),
        ("ipc", HERE, True, "ipc"),
        ("nccl", HERE, True, "nccl"),
    ],
)
def test_what_moves_the_bytes(
    wanted: str, places: list[str] | None, nccl: bool, found: str
) -> None:
    assert backend_of(wanted, places, all_have_nccl=nccl) == (found, "")


@pytest.mark.parametrize(
    ("wanted", "places", "nccl", "why"),
    [
        ("nccl", ["a 00", "a 00"], True, "some share one"),
        ("nccl", HERE, False, "cannot be used on every rank"),
        ("ipc", ["a 00", "b 00"], True, "within one host"),
    ],
)
def test_what_cannot_move_them_is_said(
    wanted: str, places: list[str], nccl: bool, why: str
) -> None:
    assert why in backend_of(wanted, places, all_have_nccl=nccl)[1]
