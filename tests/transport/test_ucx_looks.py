"""How many of the expected transfers a poll of the UCX transport looks at."""

from __future__ import annotations

import pytest

from adpkv.transport.port import EndKind, Transfer
from adpkv.transport.ucx_opened import LOOK_NS, PAUSE_NS, SCAN
from tests.transport.ucx_stub import DONE, Request, Rig

TRANSFER = Transfer(1, 0, 0, 1, 5, (0, 1, 2, 3), (4, 5, 6, 7), 32)


@pytest.fixture(autouse=True)
def _on_a_slow_machine_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit of time: a machine that stands still for a moment posts as much."""
    monkeypatch.setattr("adpkv.transport.ucx_hold_up.COPY_NS", 10**12)


def test_a_thousand_idle_transfers_are_looked_at_in_turn() -> None:
    rig = Rig(calls=5000)
    for number in range(1000):
        rig.transport.expect(Transfer(number, 0, 0, 1, number, (0,), (0,), 8))
    for request in rig.peer().received:
        request.status = DONE
    rig.moves()
    found = [len(rig.transport.poll()) for _ in range(1000 // SCAN)]
    each = SCAN + 1
    assert found[:112] == [each] * 111 + [1000 - 111 * each]
    assert sum(found) == 1000


def test_of_idle_transfers_the_newest_are_looked_at_in_each_poll_and_each_other_in_its_turn() -> (
    None
):
    rig = Rig(calls=5000)
    for number in range(100):
        rig.transport.expect(Transfer(number, 0, 0, 1, number, (0,), (0,), 8))
    for number in (99, 92, 91, 0, 50):
        rig.peer().received[number].status = DONE
    rig.moves()
    assert [end.session[0] for end in rig.transport.poll()] == [0, 92, 99]
    found = [end.session[0] for _ in range(100) for end in rig.transport.poll()]
    assert sorted(found) == [50, 91]
    assert rig.transport.poll() == []


@pytest.mark.parametrize("count", [64, 256, 1024])
def test_of_idle_transfers_all_are_looked_at_in_a_poll_that_comes_a_while_later(count: int) -> None:
    rig = Rig(calls=5000)
    for number in range(count):
        rig.transport.expect(Transfer(number, 0, 0, 1, number, (0,), (0,), 8))
    for number in (0, SCAN, count // 2, count - SCAN - 1, count - 1):
        rig.moves()
        rig.transport.poll()
        rig.now_ns += count * LOOK_NS
        rig.peer().received[number].status = DONE
        rig.moves()
        assert [end.session[0] for end in rig.transport.poll()] == [number]
    for request in rig.peer().received:
        request.status = DONE
    rig.now_ns += count * LOOK_NS
    rig.moves()
    assert len(rig.transport.poll()) == count - 5


def test_quick_polls_look_at_few_idle_transfers_and_at_none_twice() -> None:
    rig = Rig(calls=5000)
    for number in range(1024):
        rig.transport.expect(Transfer(number, 0, 0, 1, number, (0,), (0,), 8))
    rig.transport.poll()
    rig.moves()
    looks = []
    for _ in range(200):
        rig.now_ns += 11 * LOOK_NS
        before = Request.looks
        rig.transport.poll()
        looks.append(Request.looks - before)
    assert max(looks) == SCAN + 12
    others = 1024 - SCAN
    assert sum(looks) <= others + SCAN * (4 + others // 12), "then UCX has done nothing"
    # A turn ends with the last one: the others are not taken for looked at.
    rig.moves()
    for number in range(10):
        rig.peer().received[number].status = DONE
    found = 0
    for _ in range(3):
        rig.now_ns += 700 * LOOK_NS
        found += len(rig.transport.poll())
    assert found == 10


def test_one_that_has_begun_is_looked_at_in_each_poll() -> None:
    rig = Rig(calls=5000)
    assert rig.transport.expect(TRANSFER)
    first, *others = rig.peer().received
    for number in range(100, 1100):
        rig.transport.expect(Transfer(number, 0, 0, 1, number, (0,), (0,), 8))
    first.status = DONE
    for _ in range(1001):
        rig.moves()
        assert rig.transport.poll() == []
    for request in others:
        request.status = DONE
    rig.moves()
    assert [end.kind for end in rig.transport.poll()] == [EndKind.DONE]


def test_beside_one_that_is_coming_the_others_are_looked_at_now_and_then() -> None:
    rig = Rig(calls=5000)
    assert rig.transport.expect(TRANSFER)
    for number in range(100, 200):
        rig.transport.expect(Transfer(number, 0, 0, 1, number, (0,), (0,), 8))
    first, *_, last = rig.peer().received
    first.status = DONE
    rig.now_ns = 200 * LOOK_NS
    assert rig.transport.poll() == []
    last.status = DONE
    rig.moves()
    before = Request.looks
    assert rig.transport.poll() == []
    assert Request.looks - before == 1, "the first open piece of the one that is coming"
    rig.now_ns += PAUSE_NS
    assert [end.session[0] for end in rig.transport.poll()] == [199], "though UCX did nothing"
