"""Chunks of a staged transfer: their names, tags and places, and what a sender says of its end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adpkv.transport.port import Transfer
from adpkv.transport.staged_chunks import ALL, Posted, Receiving, Sending, chunk_of


def transfer(request_id: int = 3, attempt: int = 0, tag: int = 5, blocks: int = 7) -> Transfer:
    places = tuple(range(blocks))
    return Transfer(request_id, attempt, 0, 1, tag, places, places, 0, 2, 4)


@given(st.integers(0, 1 << 22), st.integers(0, ALL), st.integers(0, ALL))
def test_what_was_posted_fits_into_one_integer(first: int, pieces: int, more: int) -> None:
    posted = Posted(first, pieces, more)
    assert Posted.of(posted.packed()) == posted
    assert posted.packed() < 1 << 63, "a message has room for so much"


def test_nothing_posted_is_zero() -> None:
    """The sender's `never started` says 0, whatever the transport."""
    assert Posted(0).packed() == 0


def test_how_far_each_chunk_was_posted() -> None:
    posted = Posted(2, pieces=3, next_pieces=1)
    assert [posted.pieces_of(chunk) for chunk in range(6)] == [ALL, ALL, 3, 1, 0, 0]


def test_no_two_attempts_and_chunks_have_one_name() -> None:
    names = {
        Sending(transfer(request, attempt), 2).inner(chunk): ((request, attempt), chunk)
        for request in range(3)
        for attempt in range(3)
        for chunk in range(5)
    }
    assert len(names) == 45
    assert all(chunk_of(name) == meant for name, meant in names.items())
    assert all(name[0] == meant[0][0] for name, meant in names.items()), "faults know the request"


def test_tags_of_open_chunks_differ() -> None:
    """Two chunks of a transfer are open at once, of any number of transfers."""
    tags = [
        Sending(transfer(tag=tag), 2).chunk(chunk, 0, 0, 0).tag
        for tag in range(4)
        for chunk in (4, 5)
    ]
    assert len(set(tags)) == 8


def test_chunks_cover_the_transfer_once() -> None:
    found = Receiving(transfer(blocks=7), half=3)
    assert [list(found.blocks(chunk)) for chunk in range(found.chunks)] == [
        [0, 1, 2],
        [3, 4, 5],
        [6],
    ]


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({}, Posted(0)),
        ({0: ALL, 1: ALL}, Posted(2)),
        ({0: ALL, 1: 4}, Posted(1, 4)),
        ({0: 4, 1: ALL}, Posted(0, 4, ALL)),
        ({0: 0, 1: ALL}, Posted(0, 0, ALL)),
        ({1: ALL, 0: ALL, 2: 1}, Posted(2, 1)),
    ],
)
def test_a_sender_knows_how_far_it_came(sent: dict[int, Any], expected: Posted) -> None:
    found = Sending(transfer(blocks=8), half=2)
    for chunk, pieces in sent.items():
        found.ended(chunk, pieces)
    assert found.how_far() == expected
