"""Each fault of the link does what its name says, when its rank is woken for it and no earlier."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.core.report import Nearest
from adpkv.transport.port import EndKind
from tests.faults.fault_parts import BLOCK_BYTES, RECEIVER, SENDER, Rig, transfer

DONE, FAILED, ERROR, LOST = EndKind.DONE, EndKind.FAILED, EndKind.ERROR, EndKind.LOST
BLOCK_NS, LATENCY_NS = 1000, 10
LANDED_NS = 1 + BLOCK_NS + LATENCY_NS
"""When a block is there that was posted at once."""

LONG_NS = 100_000


def sent(*faults: dict[str, Any], transfers: int = 1) -> Rig:
    """A sender with faults has posted transfers that its receiver expects."""
    rig = Rig(SENDER, *faults)
    links = [transfer(number, number + 1) for number in range(transfers)]
    for link in links:
        rig.expect(link)
    for link in links:
        rig.sender.post(link)
    return rig


def received(*faults: dict[str, Any]) -> Rig:
    """A receiver with faults expects a transfer that its sender has posted."""
    rig = Rig(RECEIVER, *faults)
    if rig.expect(transfer()):
        rig.sender.post(transfer())
    return rig


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"phase": "post", "proven": True}, FAILED),
        ({"phase": "post", "proven": False}, ERROR),
        ({"phase": "expect", "proven": True}, ERROR),
    ],
)
def test_a_failure_comes_with_its_wake(fault: dict[str, Any], kind: EndKind) -> None:
    at_sender = fault["phase"] == "post"
    rig = (sent if at_sender else received)({"kind": "fail", **fault})
    end = rig.sender if at_sender else rig.receiver
    assert rig.wakes == [2]
    assert not end.ready()
    assert end.poll() == []
    rig.time.now_ns = 2
    assert end.ready()
    assert [(e.session, e.kind) for e in end.poll()] == [((0, 0), kind)]
    assert not end.ready()
    assert rig.noted == [(0, "fail", fault["phase"])]


def test_a_delayed_post_lands_later() -> None:
    rig = sent({"kind": "delay", "duration": "5us"})
    assert rig.ends(rig.receiver, LONG_NS) == [(5000 + LANDED_NS, 0, DONE)]


def test_a_delayed_end_is_seen_later() -> None:
    rig = received({"kind": "delay", "phase": "expect", "duration": "5us"})
    assert rig.ends(rig.receiver, LONG_NS) == [(5001, 0, DONE)]


@pytest.mark.parametrize("phase", ["post", "expect"])
def test_what_is_stalled_for_ever_never_ends(phase: str) -> None:
    rig = (sent if phase == "post" else received)({"kind": "stall", "phase": phase})
    end = rig.sender if phase == "post" else rig.receiver
    rig.sender.withdraw((0, 0))  # type: ignore[arg-type]
    assert rig.said(end, LONG_NS) == []


def test_over_a_slow_link_one_goes_after_the_other() -> None:
    """Half the link's own bandwidth: each takes two microseconds, then its own on the wire."""
    rig = sent({"kind": "slow_link", "bandwidth": f"{BLOCK_BYTES * 500_000}B"}, transfers=3)
    times = [at_ns for at_ns, *_ in rig.ends(rig.receiver, LONG_NS)]
    assert times == [LANDED_NS + 2000 * nth for nth in (1, 2, 3)]


def test_the_first_contact_is_slow_and_the_others_wait_for_it() -> None:
    rig = sent({"kind": "slow_first_contact", "duration": "5us"}, transfers=2)
    assert rig.noted == [(0, "slow_first_contact", "post")]
    times = [at_ns for at_ns, *_ in rig.ends(rig.receiver, LONG_NS)]
    assert times == [5000 + LANDED_NS + BLOCK_NS] * 2, "together, sharing the link"
    rig.expect(transfer(2, 3))
    rig.sender.post(transfer(2, 3))
    assert rig.ends(rig.receiver, 2 * LONG_NS) == [(LONG_NS + LANDED_NS - 1, 2, DONE)]


def test_a_refused_registration_is_told_to_nobody() -> None:
    rig = Rig(RECEIVER, {"kind": "refuse_registration"})
    assert not rig.expect(transfer())
    assert rig.said(rig.receiver, LONG_NS) == []
    rig.receiver.peer_ended((0, 0), 0)  # type: ignore[arg-type]
    assert rig.said(rig.receiver, 2 * LONG_NS) == [], "it knows no such transfer"


def test_done_is_said_before_anything_came() -> None:
    rig = received({"kind": "false_completion"})
    assert rig.ends(rig.receiver, LONG_NS) == [(2, 0, DONE)], "and the real end is never told"


def test_done_is_said_and_nothing_is_written() -> None:
    rig = sent({"kind": "false_completion", "phase": "post"})
    assert rig.ends(rig.sender, LONG_NS) == [(2, 0, DONE)]
    assert rig.said(rig.receiver, 2 * LONG_NS) == []


@pytest.mark.parametrize("phase", ["post", "expect"])
def test_one_handles_error_is_no_proof_until_all_have_ended(phase: str) -> None:
    rig = (sent if phase == "post" else received)({"kind": "handle_error", "phase": phase})
    end = rig.sender if phase == "post" else rig.receiver
    assert rig.ends(end, LONG_NS) == [(2, 0, ERROR), (LANDED_NS, 0, FAILED)]
    assert rig.violations == []


def test_a_withdrawn_write_goes_on_and_its_end_was_a_lie() -> None:
    rig = sent({"kind": "write_after_cancel"})
    rig.sender.withdraw((0, 0))  # type: ignore[arg-type]
    assert rig.ends(rig.sender, 500) == [(2, 0, FAILED)]
    # The receiver believes it, as it must: a proof is a proof.
    rig.receiver.peer_ended((0, 0), 0)  # type: ignore[arg-type]
    assert rig.said(rig.receiver, 501) == [FAILED]
    rig.memory.end_write(1, (1,))
    assert rig.said(rig.sender, LONG_NS) == []
    assert rig.violations == ["write_after_free"]


def test_without_the_lie_the_same_is_no_violation() -> None:
    rig = sent({"kind": "write_after_cancel", "requests": [7]})
    rig.sender.withdraw((0, 0))  # type: ignore[arg-type]
    assert rig.said(rig.sender, LONG_NS) == [FAILED]
    rig.receiver.peer_ended((0, 0), 0)  # type: ignore[arg-type]
    assert rig.said(rig.receiver, 2 * LONG_NS) == [FAILED]
    assert rig.violations == []
    assert rig.counts()[0].nearest is Nearest.PEER


RESTART = {"kind": "restart", "after": "500ns", "duration": "5us"}


def test_after_a_restart_nothing_is_proven_before_the_fence() -> None:
    rig = sent({**RESTART, "ranks": [SENDER]})
    assert rig.wakes[0] == 500
    # The bytes on their way land meanwhile, at LANDED_NS.
    assert rig.ends(rig.sender, LONG_NS) == [(500, 0, LOST), (5500, 0, FAILED)]
    assert rig.violations == []


def test_a_peers_restart_is_seen_at_the_other_end() -> None:
    rig = received({**RESTART, "ranks": [RECEIVER]})
    assert rig.ends(rig.receiver, LONG_NS) == [(500, 0, LOST), (5500, 0, FAILED)]
    assert [count.fired for count in rig.counts()] == [1]


def test_what_a_fault_held_is_gone_with_the_restart() -> None:
    rig = sent({**RESTART, "ranks": [SENDER]}, {"kind": "stall"})
    assert rig.ends(rig.sender, LONG_NS) == [(500, 0, LOST), (5500, 0, FAILED)]
    assert rig.said(rig.receiver, 2 * LONG_NS) == [], "it was never written"


def test_transfers_after_a_restart_are_as_before() -> None:
    rig = sent({**RESTART, "ranks": [SENDER]})
    rig.ends(rig.sender, LONG_NS)
    rig.expect(transfer(1, 2))
    rig.sender.post(transfer(1, 2))
    assert rig.said(rig.sender, 2 * LONG_NS) == [DONE]


def test_what_had_ended_before_the_restart_has_ended() -> None:
    rig = sent({**RESTART, "after": "5us", "ranks": [SENDER]})
    assert rig.said(rig.sender, LONG_NS) == [DONE]


def test_an_error_is_told_before_the_end_that_came_meanwhile() -> None:
    rig = received({"kind": "fail", "phase": "expect"})
    rig.time.run(LONG_NS)
    assert [end.kind for end in rig.receiver.poll()] == [ERROR, DONE]


def test_a_held_post_is_withdrawn_once_it_is_held_no_more() -> None:
    rig = sent({"kind": "delay", "duration": "5us"})
    rig.sender.withdraw((0, 0))  # type: ignore[arg-type]
    assert rig.ends(rig.sender, LONG_NS) == [(5001 + LATENCY_NS, 0, FAILED)]


def test_aims_say_how_near_they_came() -> None:
    far = {"kind": "stall", "after": "1h"}
    cases: list[tuple[dict[str, Any], Nearest]] = [
        ({**far, "phase": "expect"}, Nearest.NOTHING),
        ({"kind": "stall", "peers": [1], "requests": [9]}, Nearest.PEER),
        (far, Nearest.REQUEST),
        ({"kind": "stall", "probability": 0.0}, Nearest.CHANCE),
        ({"kind": "stall"}, Nearest.FIRED),
    ]
    cases.append(({"kind": "fail"}, Nearest.TAKEN))
    rig = sent(*[fault for fault, _ in cases])
    assert [count.nearest for count in rig.counts()] == [nearest for _, nearest in cases]


def test_a_fault_is_over_after_its_count() -> None:
    rig = sent({"kind": "false_completion", "phase": "post", "count": 2}, transfers=3)
    assert rig.counts()[0].fired == 2
    assert rig.said(rig.receiver, LONG_NS) == [DONE]


def test_closing_forgets_what_is_held() -> None:
    rig = sent({"kind": "delay", "duration": "5us"})
    rig.sender.close()
    assert rig.said(rig.receiver, LONG_NS) == []


def test_what_is_drawn_does_not_depend_on_who_is_asked_first() -> None:
    fault = {"kind": "stall", "probability": 0.5}
    asked = {}
    for order in (range(40), range(39, -1, -1)):
        rig = Rig(SENDER, fault)
        for number in order:
            rig.sender.post(transfer(number))
        asked[order.step] = {request for request, *_ in rig.noted}
    assert asked[1] == asked[-1]
    assert 5 < len(asked[1]) < 35


FAILS_NS = 500
FENCED_NS = FAILS_NS + LATENCY_NS


def fenced_off(rig: Rig, rank: int, at_ns: int = FAILS_NS) -> list[Any]:
    """(when, request, kind) of what the living end says, before and after the other's failure."""
    end = rig.receiver if rank == SENDER else rig.sender
    before = rig.ends(end, at_ns)
    rig.handle_peer_failure(rank)
    return before + rig.ends(end, LONG_NS)


@pytest.mark.parametrize(
    "fault", [{"kind": "stall"}, {"kind": "delay", "duration": "5us"}], ids=lambda f: f["kind"]
)
def test_a_post_that_is_held_ends_with_its_receiver(fault: dict[str, Any]) -> None:
    said = fenced_off(sent(fault), RECEIVER)
    assert said == [(FAILS_NS + 1, 0, LOST), (FAILS_NS + 1, 0, FAILED)], "nothing was written"


def test_an_end_that_is_kept_back_comes_with_its_senders_failure() -> None:
    said = fenced_off(received({"kind": "stall", "phase": "expect"}), SENDER, LANDED_NS + 9)
    assert [kind for *_, kind in said] == [LOST, FAILED]


def test_nothing_is_kept_back_of_what_is_lost() -> None:
    rig = received({"kind": "stall", "phase": "expect"})
    said = fenced_off(rig, SENDER)
    assert [kind for *_, kind in said] == [LOST, FAILED]
    assert said[-1][0] == FENCED_NS
    assert rig.violations == []


def test_an_error_without_proof_is_proven_by_the_failure() -> None:
    said = fenced_off(sent({"kind": "fail", "proven": False}), RECEIVER)
    assert [kind for *_, kind in said] == [ERROR, LOST, FAILED]


def test_after_a_lie_nothing_more_is_told() -> None:
    assert fenced_off(received({"kind": "false_completion"}), SENDER) == [(2, 0, DONE)]


def test_no_fault_holds_what_is_posted_to_the_failed() -> None:
    rig = Rig(SENDER, {"kind": "stall"})
    rig.expect(transfer())
    rig.handle_peer_failure(RECEIVER)
    rig.sender.post(transfer())
    assert rig.ends(rig.sender, LONG_NS) == [(2, 0, FAILED)]


def test_nobody_waits_for_the_failed_whatever_the_fault() -> None:
    rig = Rig(RECEIVER, {"kind": "stall", "phase": "expect"})
    rig.handle_peer_failure(SENDER)
    assert not rig.expect(transfer())
    assert rig.said(rig.receiver, LONG_NS) == []
