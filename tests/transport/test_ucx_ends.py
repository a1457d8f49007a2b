"""Ends of the UCX transport that a real link shows rarely: with requests that the test ends."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from adpkv.errors import AdpkvError
from adpkv.transport.cards import difference
from adpkv.transport.port import EndKind, Transfer
from adpkv.transport.ucx_hold_up import AT_ONCE_BYTES, STALLED_NS, HoldUp
from adpkv.transport.ucx_peers import tag_of
from adpkv.transport.ucx_settings import AT_ONCE_OVER_TCP, over_tcp
from tests.transport.ucx_stub import BLOCK_BYTES, CANCELLED, DONE, OPEN, RESET, STUB, Rig

TRANSFER = Transfer(1, 0, 0, 1, 5, (0, 1, 2, 3), (4, 5, 6, 7), 32)
BACK = Transfer(2, 0, 1, 0, 6, (0, 1, 2), (4, 5, 6), 24)
OTHER = Transfer(3, 0, 2, 1, 7, (0,), (8,), 8)


@pytest.fixture(autouse=True)
def _on_a_slow_machine_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit of time: a machine that stands still for a moment posts as much."""
    monkeypatch.setattr("adpkv.transport.ucx_hold_up.COPY_NS", 10**12)
    monkeypatch.setattr("adpkv.transport.ucx_hold_up.POST_NS", 10**12)


def kinds(rig: Rig) -> list[EndKind]:
    rig.moves()
    return [end.kind for end in rig.transport.poll()]


def expecting(**how: object) -> Rig:
    rig = Rig(**how)  # type: ignore[arg-type]
    assert rig.transport.expect(TRANSFER)
    return rig


def test_a_session_cannot_be_open_twice() -> None:
    with pytest.raises(AdpkvError, match="already open in transport ucx"):
        expecting().transport.expect(TRANSFER)


def test_every_piece_of_every_attempt_has_a_tag_of_its_own() -> None:
    rig = expecting()
    assert rig.transport.expect(Transfer(1, 1, 0, 1, 6, (0, 1), (0, 1), 16))
    tags = [request.tag for request in rig.peer().received]
    assert tags == [tag_of(5, piece) for piece in range(4)] + [tag_of(6, 0), tag_of(6, 1)]
    assert len({*tags, tag_of(5, (1 << 24) - 1), tag_of(6, 0)}) == 7
    assert tag_of((1 << 40) - 1, (1 << 24) - 1) < 1 << 64


def test_who_sends_at_once_and_who_cannot_receive_it_are_no_job() -> None:
    """As where one host has a network card that moves bytes by itself, and another has none: a
    part would be larger than what its receiver has room for."""
    rig = Rig()
    cards = [rig.transport.card()]
    rig.transport._peers.at_once = not rig.transport._peers.at_once
    cards.append(rig.transport.card())
    assert "messages sent at once over TCP" in difference(cards)


def test_a_peer_is_connected_once_and_when_it_is_first_used() -> None:
    rig = Rig()
    assert len(rig.worker.endpoints) == 2, "to itself"
    rig.transport.expect(TRANSFER)
    rig.transport.post(BACK)
    assert len(rig.worker.endpoints) == 3
    rig.transport.expect(OTHER)
    assert len(rig.worker.endpoints) == 4


def test_pieces_that_end_in_another_order_are_counted_in_order() -> None:
    rig = expecting()
    first, *others = rig.peer().received
    for request in others:
        request.status = DONE
    assert kinds(rig) == []
    first.status = DONE
    rig.moves()
    [end] = rig.transport.poll()
    assert (end.kind, end.nbytes, end.pieces) == (EndKind.DONE, 32, 4)
    assert rig.transport.last_moved_ns() == 7


@pytest.mark.parametrize("said", [(2,), (2, 2), (3, 2)])
def test_receives_that_nothing_comes_for_are_emptied_and_their_own_end_is_the_proof(
    said: tuple[int, ...],
) -> None:
    rig = expecting()
    for pieces in said:
        rig.transport.peer_ended(TRANSFER.session, pieces)
    emptied = [request.tag for request in rig.itself.sent]
    assert sorted(emptied) == [tag_of(5, 2), tag_of(5, 3)]
    one, two, three, four = rig.peer().received
    one.status = two.status = three.status = DONE
    assert kinds(rig) == [], "one is open, whatever the sender says"
    four.status = DONE
    rig.moves()
    [end] = rig.transport.poll()
    assert (end.kind, end.pieces) == (EndKind.FAILED, 2)
    assert kinds(rig) == []


def test_a_sender_that_never_began_takes_no_part_in_the_end() -> None:
    rig = expecting(calls=2)
    assert len(rig.peer().received) == 2, "the rest is for the next poll"
    rig.transport.peer_ended(TRANSFER.session, 0)
    assert len(rig.itself.sent) == 2
    for request in rig.peer().received:
        request.status = DONE
    assert kinds(rig) == [EndKind.FAILED]
    assert len(rig.peer().received) == 2, "what was not posted never is"


def test_receives_are_posted_within_the_budget_of_calls() -> None:
    rig = expecting(calls=2)
    rig.transport.poll()
    assert len(rig.peer().received) == 4
    for request in rig.peer().received:
        request.status = DONE
    # They ended as they were posted, without anything that UCX did later.
    assert [end.kind for end in rig.transport.poll()] == [EndKind.DONE]


def test_what_is_withdrawn_in_the_middle_ends_when_its_posted_pieces_have() -> None:
    rig = Rig(calls=2)
    rig.transport.post(BACK)
    rig.transport.withdraw(BACK.session)
    assert kinds(rig) == []
    for request in rig.peer().sent:
        request.status = DONE
    rig.moves()
    [end] = rig.transport.poll()
    assert (end.kind, end.pieces, end.nbytes) == (EndKind.FAILED, 2, 16)


def test_a_lost_connection_ends_its_own_transfers_alone_and_is_made_again() -> None:
    rig = expecting()
    rig.transport.expect(OTHER)
    rig.transport.post(BACK)
    rig.peer().received[0].status = DONE
    rig.peer().lose()
    ends = rig.transport.poll()
    ours = {
        session: [end.kind for end in ends if end.session == session]
        for session in (TRANSFER.session, BACK.session, OTHER.session)
    }
    assert ours == {
        TRANSFER.session: [EndKind.LOST, EndKind.FAILED],
        BACK.session: [EndKind.LOST, EndKind.FAILED],
        OTHER.session: [],
    }
    assert [end.pieces for end in ends if end.kind is EndKind.FAILED] == [1, 0]
    assert not rig.itself.sent, "UCXX had cancelled its receives"
    again = Transfer(9, 0, 0, 1, 11, (0,), (4,), 8)
    assert rig.transport.expect(again)
    assert len(rig.worker.endpoints) == 5
    rig.peer(2).received[0].status = DONE
    assert kinds(rig) == [EndKind.DONE]


def test_what_had_landed_before_the_connection_was_lost_is_done() -> None:
    rig = expecting()
    for request in rig.peer().received:
        request.status = DONE
    rig.peer().lose()
    assert kinds(rig) == [EndKind.DONE]


def test_a_receive_that_is_written_to_is_waited_for_though_its_connection_is_lost() -> None:
    """A closed connection is no proof: bytes may land after that was reported."""
    rig = expecting(error_handling=False)
    rig.transport.handle_peer_failure([0])
    assert [end.kind for end in rig.transport.poll()] == [EndKind.LOST]
    for request in rig.peer().received[1:]:
        request.status = DONE
    for _ in range(3):
        assert kinds(rig) == []
    rig.peer().received[0].status = RESET
    assert kinds(rig) == [EndKind.FAILED]
    assert not rig.transport.expect(Transfer(4, 0, 0, 1, 9, (0,), (4,), 8)), "nobody would write"
    assert rig.transport.has_failed(0)
    assert not rig.transport.has_failed(2)


def test_a_send_to_a_failed_rank_is_over_and_its_requests_are_kept() -> None:
    rig = Rig(error_handling=False)
    rig.transport.post(BACK)
    rig.transport.handle_peer_failure([0])
    assert [end.kind for end in rig.transport.poll()] == [EndKind.LOST, EndKind.FAILED]
    assert [request.status for request in rig.peer().sent] == [OPEN] * 3
    assert rig.transport._kept == rig.peer().sent, "to drop one would cancel it"
    rig.transport.post(Transfer(8, 0, 1, 0, 9, (0,), (0,), 8))
    [end] = rig.transport.poll()
    assert (end.kind, end.pieces) == (EndKind.FAILED, 0)
    rig.transport.close()
    assert rig.transport.is_drained()


def test_a_failed_rank_is_fenced_where_errors_are_handled() -> None:
    rig = expecting()
    rig.transport.handle_peer_failure([0])
    assert rig.peer().closes == 1
    assert [end.kind for end in rig.transport.poll()] == [EndKind.LOST, EndKind.FAILED]
    rig.transport.handle_peer_failure([0])
    assert rig.peer().closes == 1
    assert rig.transport.poll() == []


def test_a_piece_that_fails_ends_its_transfer_and_frees_the_window() -> None:
    rig = Rig()
    rig.transport.post(BACK)
    rig.peer().sent[0].status = DONE
    rig.peer().sent[1].status = RESET
    assert kinds(rig) == [EndKind.LOST], "the last is still being read"
    rig.peer().sent[2].status = CANCELLED
    rig.moves()
    [end] = rig.transport.poll()
    assert (end.kind, end.pieces) == (EndKind.FAILED, 1)
    assert "status -25" in end.detail
    assert rig.transport._queues.sends._open_bytes == {0: 0}


def test_what_cannot_be_reached_or_is_refused_is_lost() -> None:
    rig = Rig()
    rig.worker.refuses = True
    assert rig.transport.expect(TRANSFER), "that its rank has failed is not known"
    rig.transport.post(BACK)
    ends = rig.transport.poll()
    assert [(end.session, end.kind) for end in ends] == [
        (session, kind)
        for session in (TRANSFER.session, BACK.session)
        for kind in (EndKind.LOST, EndKind.FAILED)
    ]
    rig.worker.refuses = False
    assert rig.transport.expect(TRANSFER), "it was not kept as open"
    rig.peer().room = 1
    other = Transfer(7, 0, 0, 1, 8, (0, 1), (0, 1), 16)
    assert rig.transport.expect(other)
    rig.moves()
    assert [(end.session, end.kind) for end in rig.transport.poll()] == [
        (other.session, EndKind.LOST)
    ]
    rig.peer().received[-1].status = DONE
    assert kinds(rig) == [EndKind.FAILED]


def test_what_is_held_up_leaves_the_budget_to_others() -> None:
    rig = Rig()
    posting = rig.transport._queues.sends
    left = posting._left_bytes
    rig.transport._queues._hold_up.post_ns = 0
    rig.transport.post(Transfer(2, 0, 1, 0, 6, (0,), (4,), 8))
    assert (posting._left_bytes, posting._open_bytes[0]) == (left, 0)


def test_closing_empties_what_is_expected_and_waits_for_what_is_sent() -> None:
    rig = expecting()
    rig.transport.post(BACK)
    rig.transport.close()
    assert len(rig.itself.sent) == 4
    for request in rig.peer().received:
        request.status = DONE
    assert not rig.transport.is_drained()
    assert rig.peer().alive, "a closed connection would end what is still on its way"
    for request in rig.peer().sent:
        request.status = DONE
    assert rig.transport.is_drained()
    assert rig.peer().closes == 1
    assert rig.transport.poll() == []


class Work:
    """A rank's own writes into its blocks, done when the test says so."""

    def __init__(self) -> None:
        self.done = False

    def passed(self) -> bool:
        return self.done


def test_no_byte_of_a_device_is_posted_before_its_own_writes_are_done() -> None:
    work = [Work(), Work(), Work()]
    fences = iter(work)
    rig = Rig(device=0, written=lambda: next(fences))
    rig.transport.post(BACK)
    rig.transport.expect(TRANSFER)
    withdrawn = Transfer(5, 0, 1, 0, 12, (0,), (0,), 8)
    rig.transport.post(withdrawn)
    rig.transport.withdraw(withdrawn.session)
    [end] = rig.transport.poll()
    assert (end.session, end.kind, end.pieces) == (withdrawn.session, EndKind.FAILED, 0)
    work[1].done = True
    rig.transport.poll()
    assert len(rig.worker.endpoints) == 2, "in the order of the posts"
    work[0].done = True
    rig.transport.poll()
    assert (len(rig.peer().sent), len(rig.peer().received)) == (3, 4)


def test_blocks_of_a_device_are_told_by_their_address() -> None:
    rig = Rig(device=0)
    arrays = rig.transport._queues._poster.arrays
    array = arrays.of(16, 24)
    assert array.__cuda_array_interface__["data"] == (4096 + 16, False)
    assert array.__cuda_array_interface__["shape"] == (24,)
    assert arrays.of(16, 24) is array


def test_only_so_much_is_on_its_way_where_ucx_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """To all peers together, whatever the window; and a network card or a device has no limit."""
    monkeypatch.setattr("adpkv.transport.ucx_hold_up.AT_ONCE_BYTES", 3 * BLOCK_BYTES)
    to_2 = Transfer(4, 0, 1, 2, 9, (0, 1, 2), (0, 1, 2), 24)
    rig = Rig()
    rig.transport.post(BACK)
    rig.transport.post(to_2)
    rig.transport.poll()
    assert [len(peer.sent) for peer in rig.worker.endpoints[2:]] == [3]
    rig.peer().sent[0].status = DONE
    rig.moves()
    rig.transport.poll()
    assert [len(peer.sent) for peer in rig.worker.endpoints[2:]] == [3, 1]
    rig.peer().lose()
    rig.transport.poll()
    assert [len(peer.sent) for peer in rig.worker.endpoints[2:]] == [3, 3]
    device = Rig(device=0)
    device.transport.post(BACK)
    device.transport.post(to_2)
    assert [len(peer.sent) for peer in device.worker.endpoints[2:]] == [3, 3]


def test_a_peer_that_takes_nothing_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adpkv.transport.ucx_hold_up.AT_ONCE_BYTES", 3 * BLOCK_BYTES)
    rig = Rig()
    rig.transport.post(BACK)
    rig.transport.post(Transfer(4, 0, 1, 2, 9, (0, 1, 2), (0, 1, 2), 24))
    rig.transport.post(Transfer(6, 0, 1, 0, 10, (0, 1), (0, 1), 16))
    rig.transport.poll()
    assert [len(peer.sent) for peer in rig.worker.endpoints[2:]] == [3]
    monkeypatch.setattr("adpkv.transport.ucx_hold_up.STALLED_NS", -1)
    rig.transport.poll()
    assert [len(peer.sent) for peer in rig.worker.endpoints[2:]] == [3, 3], "and no more to it"


def test_what_is_on_its_way_to_a_peer_that_takes_nothing_does_not_count() -> None:
    hold_up = HoldUp(on_host=True, copies=True, at_once=True)
    most, late_ns = AT_ONCE_BYTES, STALLED_NS + 1
    hold_up.began(0, most, 0)
    assert hold_up.left_bytes(2, STALLED_NS) == 0, "it may only be slow"
    assert (hold_up.left_bytes(2, late_ns), hold_up.left_bytes(0, late_ns)) == (most, 0)
    hold_up.began(2, 1000, late_ns)
    assert hold_up.left_bytes(2, late_ns) == most - 1000
    hold_up.ended(0, 100, late_ns)  # it goes on: what is left of it counts again
    assert hold_up.open_bytes == most - 100 + 1000
    assert hold_up.left_bytes(3, 2 * late_ns - 1) <= 0 < hold_up.left_bytes(3, late_ns * 3)
    hold_up.ended(2, 1000, late_ns * 3)
    hold_up.ended(0, most - 100, late_ns * 3)
    assert (hold_up.open_bytes, hold_up.left_bytes(0, late_ns * 9)) == (0, most)


def test_a_poll_posts_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adpkv.transport.ucx_hold_up.COPY_NS", 0)
    rig = Rig()
    rig.transport.post(BACK)
    assert len(rig.worker.endpoints) == 2
    rig.transport._queues._hold_up.post_ns = 1
    for posted in (1, 2, 3):
        rig.transport.poll()
        assert len(rig.peer().sent) == posted


def test_peers_are_served_in_turn_where_the_time_ends_a_poll() -> None:
    """A receiver's deadline runs as soon as its transfer has begun."""
    rig = Rig()
    rig.transport._queues._hold_up.post_ns = 1
    for receiver in (0, 2):
        blocks = tuple(range(9))
        rig.transport.post(Transfer(receiver, 0, 1, receiver, 9 + receiver, blocks, blocks, 72))
    for _ in range(8):
        rig.transport.poll()
    assert [len(peer.sent) for peer in rig.worker.endpoints[2:]] == [5, 4], "one before any poll"


@pytest.mark.parametrize(
    ("info", "how", "knows", "at_once"),
    [
        ("-- tcp/lo", {}, True, True),
        ("-- tcp/lo", {}, False, False),
        ("-- tcp/lo", {"device": 0}, True, False),
        ("-- tcp/lo -- rc_mlx5", {}, True, False),
        ("-- tcp/lo", {"error_handling": False}, True, False),
    ],
)
def test_what_goes_at_once_is_one_part(
    monkeypatch: pytest.MonkeyPatch,
    info: str,
    how: dict[str, object],
    knows: bool,
    at_once: bool,
) -> None:
    """A message of several parts would never end for its receiver if its sender died between."""
    asked: list[dict[str, str]] = []

    def context(settings: dict[str, str], features: object) -> SimpleNamespace:
        asked.append(settings)
        return SimpleNamespace(info=info, config={"PROTOS": "all"} if knows else {})

    monkeypatch.setattr("tests.transport.ucx_stub.STUB", replace(STUB, context=context))
    Rig(**how)  # type: ignore[arg-type]
    small = {"RNDV_THRESH": "4096"}
    large = over_tcp(AT_ONCE_OVER_TCP)
    assert asked == ([small, large] if at_once else [small])
    assert int(large["RNDV_THRESH"]) < int(large["TCP_RX_SEG_SIZE"])


def test_while_something_waits_to_be_sent_ucx_makes_one_step_a_poll() -> None:
    """What it does besides would keep the link waiting."""
    rig = Rig(calls=1)
    rig.transport.post(BACK)
    for left, posted in ((3, 2), (2, 3), (0, 3)):
        rig.worker.does = ["moved"] * (left + 1)
        rig.transport.poll()
        assert (len(rig.worker.does), len(rig.peer().sent)) == (left, posted)
