"""Conformance bodies of a transport: how transfers end, and what proves it."""

from __future__ import annotations

from adpkv.testing.transport_pair import BLOCKS, Pair, bodies_of, ends, finish, transfer
from adpkv.transport.port import EndKind

__all__ = ["BODIES"]


def check_never_started_is_a_proof(pair: Pair) -> None:
    """The sender never began: the receiver's blocks are proven quiescent, and untouched."""
    link = transfer(2, tuple(range(4)), tuple(range(4)))
    pair.receiver.fill(link.target, 99)
    pair.receiver.expect(link)
    pair.meet()
    pair.receiver.peer_ended(link.session, 0)
    found = ends(pair, pair.receiver, 1)
    if pair.receiver.here:
        assert found[link.session].kind is EndKind.FAILED
        assert pair.receiver.holds(link.target, 99)
    pair.meet()


def check_a_withdrawn_transfer_ends_proven(pair: Pair) -> None:
    """Withdrawn in the middle: the sender says how far it came, the receiver frees on proof."""
    count = BLOCKS // 2
    link = transfer(3, tuple(range(count)), tuple(range(count)))
    pair.sender.fill(link.source, 3)
    pair.receiver.expect(link)
    pair.meet()
    pair.sender.post(link)
    pair.sender.withdraw(link.session)
    sent = ends(pair, pair.sender, 1).get(link.session)
    posted = pair.agree(sent.pieces if sent else -1)
    whole = -(-count // pair.blocks_per_piece)
    if sent:
        assert sent.kind is (EndKind.DONE if posted == whole else EndKind.FAILED)
    pair.receiver.peer_ended(link.session, posted)
    got = ends(pair, pair.receiver, 1).get(link.session)
    if got:
        assert got.kind is (EndKind.DONE if posted == whole else EndKind.FAILED)
    pair.meet()
    # The link still works, and what comes next is not mistaken for the rest of this.
    check_an_id_can_live_again(pair)


def check_a_late_withdrawal_changes_nothing(pair: Pair) -> None:
    """Withdrawn after the end, or never known: ignored, on either side."""
    link = transfer(4, (1,), (2,))
    pair.receiver.expect(link)
    pair.meet()
    pair.sender.post(link)
    for found in finish(pair, 1):
        assert found[link.session].kind is EndKind.DONE
    for side in (pair.sender, pair.receiver):
        side.withdraw(link.session)
        side.withdraw((77, 0))
        side.peer_ended((77, 0), 0)
        side.peer_ended(link.session, 0)
        assert side.poll() == []
    pair.meet()


def check_an_id_can_live_again(pair: Pair) -> None:
    """The same request in its next attempt is another session."""
    for attempt in (0, 1):
        link = transfer(5, (3, 4), (6, 7), attempt)
        pair.sender.fill(link.source, attempt)
        pair.receiver.expect(link)
        pair.meet()
        pair.sender.post(link)
        for found in finish(pair, 1):
            assert list(found) == [(5, attempt)]
        assert not pair.receiver.here or pair.receiver.holds(link.target, attempt)


def check_an_end_is_reported_once(pair: Pair) -> None:
    """The sender's message that it never began may come twice, and a withdrawal beside it."""
    link = transfer(10, (0, 1), (4, 5))
    pair.receiver.expect(link)
    pair.meet()
    for _ in range(2):
        pair.receiver.withdraw(link.session)
        pair.receiver.peer_ended(link.session, 0)
    found = ends(pair, pair.receiver, 1)
    assert not pair.receiver.here or found[link.session].kind is EndKind.FAILED
    pair.receiver.peer_ended(link.session, 0)
    for _ in range(20):
        assert pair.receiver.poll() == []
        pair.step()
    pair.meet()


def check_a_receiver_alone_proves_nothing_false(pair: Pair) -> None:
    """A receiver withdraws what its sender may still write: bytes that land after its end would be
    a write after free."""
    link = transfer(11, tuple(range(8)), tuple(range(8, 16)))
    pair.sender.fill(link.source, 11)
    pair.receiver.expect(link)
    pair.receiver.withdraw(link.session)
    pair.meet()
    early = pair.receiver.poll()
    assert all(end.kind is EndKind.FAILED for end in early)
    if early:
        pair.receiver.fill(link.target, 99)
    pair.meet()
    pair.sender.post(link)
    ends(pair, pair.sender, 1)
    pair.meet()
    if early:
        assert pair.receiver.holds(link.target, 99)
        assert pair.receiver.poll() == []
    else:
        found = ends(pair, pair.receiver, 1)
        assert all(end.kind is EndKind.DONE for end in found.values())
        assert not pair.receiver.here or pair.receiver.holds(link.target, 11)
    pair.meet()


def check_what_is_withdrawn_before_its_post_is_unknown(pair: Pair) -> None:
    """A cancel that overtakes the advertise: nothing was posted, and nothing of it is kept."""
    link = transfer(12, (3,), (3,))
    pair.receiver.expect(link)
    pair.meet()
    pair.sender.withdraw(link.session)
    assert pair.sender.poll() == []
    pair.receiver.peer_ended(link.session, 0)
    found = ends(pair, pair.receiver, 1)
    assert not pair.receiver.here or found[link.session].kind is EndKind.FAILED
    pair.meet()
    again = transfer(12, (3,), (3,), attempt=1)
    pair.receiver.expect(again)
    pair.meet()
    pair.sender.post(again)
    for ended in finish(pair, 1):
        assert ended[again.session].kind is EndKind.DONE


def check_a_session_that_never_begins_delays_no_other(pair: Pair) -> None:
    """Sessions whose sender never comes are open beside one that moves, and end when they may."""
    idle = [transfer(100 + i, (i,), (i,)) for i in range(16, BLOCKS)]
    for link in idle:
        pair.receiver.expect(link)
    check_an_id_can_live_again(pair)
    for link in idle:
        pair.receiver.peer_ended(link.session, 0)
    found = ends(pair, pair.receiver, len(idle))
    assert {end.kind for end in found.values()} <= {EndKind.FAILED}
    pair.meet()


def check_it_closes_with_sessions_open(pair: Pair) -> None:
    """Some expected, some in the middle: closing returns, on both sides."""
    links = [transfer(200 + i, tuple(range(8)), tuple(range(8 * i, 8 * i + 8))) for i in range(4)]
    for link in links:
        pair.receiver.expect(link)
    pair.meet()
    pair.sender.post(links[0])
    pair.sender.post(links[1])
    pair.rest()
    for side in (pair.sender, pair.receiver):
        side.close()


BODIES = bodies_of(globals())
"""Every body of this module by its name."""
