"""Conformance bodies of a transport: how bytes come from one end to the other."""

from __future__ import annotations

from adpkv.testing.transport_pair import (
    BLOCKS,
    PATIENCE_STEPS,
    Pair,
    bodies_of,
    ends,
    finish,
    transfer,
)
from adpkv.transport.port import EndKind, Transfer

__all__ = ["BODIES"]


def _run(first: int, count: int) -> tuple[int, ...]:
    return tuple(range(first, first + count))


def _begin(pair: Pair, links: list[Transfer], posted: list[Transfer] | None = None) -> None:
    """Fill the sources by request id, expect all, then post all, in the order of `posted`."""
    for link in links:
        pair.sender.fill(link.source, link.request_id)
        assert pair.receiver.expect(link) or not pair.receiver.here
    pair.meet()
    for link in posted or links:
        pair.sender.post(link)


def check_bytes_land_in_the_blocks(pair: Pair) -> None:
    """Contiguous, scattered and reversed blocks arrive where they were promised."""
    shapes = [
        (tuple(range(8)), tuple(range(20, 28))),
        ((9, 11, 13), (30, 29, 28)),
        ((15,), (40,)),
    ]
    links = [transfer(i, source, target) for i, (source, target) in enumerate(shapes)]
    for i, link in enumerate(links):
        pair.sender.fill(link.source, i)
        registered = pair.receiver.expect(link)
        assert registered or not pair.receiver.here, "nothing keeps it from registering them"
    pair.meet()
    for link in links:
        pair.sender.post(link)
    for found in finish(pair, len(links)):
        assert {end.kind for end in found.values()} == {EndKind.DONE}
    for i, link in enumerate(links):
        assert not pair.receiver.here or pair.receiver.holds(link.target, i)


def check_nothing_ends_before_it_was_posted(pair: Pair) -> None:
    """An expected transfer whose sender is silent stays open, and polling returns at once."""
    link = transfer(1, (0,), (5,))
    pair.receiver.expect(link)
    for _ in range(5):
        pair.meet()
        assert pair.receiver.poll() == []
        assert not pair.receiver.ready()
    pair.meet()
    pair.sender.post(link)
    finish(pair, 1)


def check_ready_announces_what_poll_reports(pair: Pair) -> None:
    """`ready` makes progress, and is true exactly while `poll` has something to say."""
    link = transfer(6, (0, 1, 2), (0, 1, 2))
    pair.receiver.expect(link)
    pair.meet()
    pair.sender.post(link)
    for side in (pair.sender, pair.receiver):
        for _ in range(PATIENCE_STEPS):
            if side.ready() or not side.here:
                break
            pair.step()
        if side.here:
            assert side.ready()
            assert side.last_moved_ns() > 0
            assert len(side.poll()) == 1
            assert not side.ready()
    pair.meet()


def check_bytes_are_there_when_the_end_is_reported(pair: Pair) -> None:
    """At the moment of DONE every byte has landed, whichever of several sessions it is."""
    links = [transfer(20 + i, _run(4 * i, 4), _run(4 * (15 - i), 4)) for i in range(16)]
    _begin(pair, links)
    missing = {link.session: link for link in links}
    for _ in range(PATIENCE_STEPS):
        for end in pair.receiver.poll():
            link = missing.pop(end.session)
            assert end.kind is EndKind.DONE
            assert pair.receiver.holds(link.target, link.request_id)
        if not missing or not pair.receiver.here:
            break
        pair.step()
    assert not missing or not pair.receiver.here
    ends(pair, pair.sender, len(links))
    pair.meet()


def check_many_sessions_end_in_any_order(pair: Pair) -> None:
    """Many small sessions, posted in another order than they were expected in: each ends once, and
    no bytes are mixed up."""
    links = [transfer(40 + i, (i,), ((i * 37) % BLOCKS,)) for i in range(BLOCKS)]
    _begin(pair, links, links[1::2] + links[0::2])
    for found in finish(pair, len(links)):
        assert {end.kind for end in found.values()} == {EndKind.DONE}
    for link in links:
        assert not pair.receiver.here or pair.receiver.holds(link.target, link.request_id)


def check_both_directions_at_once(pair: Pair) -> None:
    """Each end sends and receives at the same time, with request ids of its own."""
    half = BLOCKS // 2
    there = transfer(7, _run(0, half), _run(half, half))
    back = transfer(8, _run(0, half), _run(half, half), back=True)
    ways = ((there, pair.sender, pair.receiver), (back, pair.receiver, pair.sender))
    for link, giver, taker in ways:
        giver.fill(link.source, link.request_id)
        assert taker.expect(link) or not taker.here
    pair.meet()
    for link, giver, _ in ways:
        giver.post(link)
    for found in finish(pair, 2):
        assert {end.kind for end in found.values()} == {EndKind.DONE}
    for link, _, taker in ways:
        assert not taker.here or taker.holds(link.target, link.request_id)


def check_a_slow_receiver_does_not_hold_up_its_sender(pair: Pair) -> None:
    """While the receiver makes no call, each call of the sender returns; then all ends well."""
    link = transfer(9, _run(0, BLOCKS), _run(0, BLOCKS))
    _begin(pair, [link])
    early = [end for _ in range(200) for end in pair.sender.poll()]
    pair.rest()
    assert [end.session for end in early] in ([], [link.session])
    late = {} if early else ends(pair, pair.sender, 1)
    for end in [*early, *late.values()]:
        assert end.kind is EndKind.DONE
    found = ends(pair, pair.receiver, 1)
    assert all(end.kind is EndKind.DONE for end in found.values())
    assert not pair.receiver.here or pair.receiver.holds(link.target, link.request_id)
    pair.meet()


BODIES = bodies_of(globals())
"""Every body of this module by its name."""
