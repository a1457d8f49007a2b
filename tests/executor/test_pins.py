"""What a generation rank has of a prompt is pinned, never exposed, and let go at each end."""

from __future__ import annotations

import pytest
from executor_parts import Notes, begun, finished, generation, landed, outcomes, spec, stepped

from adpkv.core.request import ServedRequest
from adpkv.core.session import Event, Order, State
from adpkv.core.values import Outcome
from adpkv.executor.generation import GenerationServing

PREFIX = (50, 51, 52)
"""The first twelve tokens of the prompts here, in blocks of four."""


def assigned(serving: GenerationServing, number: int, prompt: int, *hashes: int) -> ServedRequest:
    """A request that was given to the rank, and begun as far as there is room."""
    serving.assign(spec(number, prompt, hashes=hashes), 0)
    begun(serving)
    return serving.requests[number]


def served(serving: GenerationServing, number: int, prompt: int, *hashes: int) -> list[int]:
    """One that came, decoded and is over; the blocks that hold its prompt."""
    request = assigned(serving, number, prompt, *hashes)
    landed(serving, number)
    assert request.lease is not None
    blocks = list(request.lease.blocks)
    serving.batch(0)
    stepped(serving, 2, 9)
    assert outcomes(serving) == [(number, Outcome.COMPLETED)]
    return blocks[: -(-prompt // 4)]


def test_the_missing_blocks_alone_are_exposed() -> None:
    notes = Notes()
    serving = generation(notes, reuse=True)
    kept = served(serving, 1, 12, *PREFIX)
    request = assigned(serving, 2, 14, *PREFIX)
    assert request.pins is not None
    assert request.session is not None
    assert request.pins.blocks == kept
    assert (len(request.session.blocks), request.session.cached) == (1, 3)
    assert not set(request.session.blocks) & set(kept)
    counts = serving.pool.counts()
    assert (counts.active, counts.in_transfer) == (1 + 3, 2), "the dummy's, and what is pinned"
    landed(serving, 2)
    serving.batch(0)
    stepped(serving, 2, 9)
    assert (outcomes(serving), notes.violations) == ([(2, Outcome.COMPLETED)], [])
    assert serving.pool.available == serving.pool.total - 1


def test_a_full_hit_is_a_notification() -> None:
    notes = Notes()
    serving = generation(notes, reuse=True)
    served(serving, 1, 12, *PREFIX)
    serving.transceiver.take_orders()
    serving.assign(spec(2, 12, hashes=PREFIX), 0)
    serving.admit(0)
    [(order, session)] = serving.transceiver.take_orders()
    assert (order, session.state, session.nbytes) == (Order.TELL_CACHED, State.COMPLETE, 0)
    serving.decisions.resolve(0)
    assert serving.has_work(), "it decodes at once"
    assert serving.transceiver.book.in_flight == 0


def test_who_is_in_transfer_shares_nothing() -> None:
    """Its KV is not here yet, and may never be."""
    serving = generation(reuse=True)
    assigned(serving, 1, 12, *PREFIX)
    other = assigned(serving, 2, 12, *PREFIX)
    assert other.pins is None
    landed(serving, 1)
    finished(serving, 2, Event.ENDED)
    assert outcomes(serving) == [(2, Outcome.FAILED)]
    assert serving.pool.cached(PREFIX) == (3, 3), "the first one's alone"


def test_kv_that_is_wrong_is_not_kept() -> None:
    notes = Notes()
    serving = generation(notes, reuse=True)
    assigned(serving, 1, 12, *PREFIX)
    finished(serving, 1, Event.DONE)
    assert outcomes(serving) == [(1, Outcome.FAILED)]
    assert [v.kind for v in notes.violations] == ["wrong_kv"]
    assert serving.pool.cached(PREFIX) == (0, 0)


@pytest.mark.parametrize("end", ["cancel", "failure", "deadline", "error", "stop"])
def test_pins_go_at_each_end(end: str) -> None:
    """Also of a transfer that is in doubt: nobody was told where they are. What is in doubt is
    given to nobody."""
    notes = Notes()
    serving = generation(notes, reuse=True)
    served(serving, 1, 12, *PREFIX)
    request = assigned(serving, 2, 16, *PREFIX, 53)
    assert serving.pool.cached(PREFIX) == (3, 3)
    assert request.pins is not None
    pins, proven = request.pins.number, end == "failure"
    if end == "cancel":
        serving.cancel(2, 3)
    elif end == "stop":
        serving.transceiver.drain(9, 3)
    elif end == "deadline":
        serving.transceiver.on_peer_message(2, 0, Event.BEGAN, 3)
        serving.transceiver.expire(3 + 1000)
    else:
        finished(serving, 2, Event.ENDED if proven else Event.ERROR)
    serving.decisions.resolve(2000)
    assert (request.pins, serving.pool.cached(PREFIX)) == (None, (3, 0))
    assert serving.holders((pins,)) == (2,), "a violation of what was pinned names who had it"
    counts = serving.pool.counts()
    assert counts.quarantined == (0 if proven else 2)
    assert serving.pool.acquire(serving.pool.available + 1) is None
    again = assigned(serving, 3, 16, *PREFIX, 53)
    assert again.pins is not None
    assert len(again.pins.blocks) == 3, "the fourth never came"
    assert notes.violations == []


def test_what_is_evicted_between_the_answer_and_the_advertise_is_sent() -> None:
    """A rank answers what it has of a prompt, and the group plans by that. Another request of the
    same plan takes a block of it, the least recently used one: what counts is what was pinned."""
    notes = Notes()
    serving = generation(notes, reuse=True)
    served(serving, 1, 12, *PREFIX)
    served(serving, 2, 12, 60, 61, 62)
    long, late = spec(3, 41), spec(4, 14, hashes=PREFIX)
    assert serving.cached([long, late], -1) == ((4, 0, 3, 0),), "the answer: three blocks of it"
    assert serving.free_blocks() == 11 + 5, "room for both of them"
    serving.assign(long, 0)
    serving.assign(late, 0)
    begun(serving)
    request = serving.requests[4]
    assert request.pins is not None
    assert request.session is not None
    assert (len(request.pins.blocks), request.session.cached) == (2, 2)
    assert len(request.session.blocks) == 2
    landed(serving, 3)
    landed(serving, 4)
    assert serving.running() == 2
    assert notes.violations == []
