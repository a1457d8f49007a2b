"""What a fault makes of a transfer is seen when its rank is woken for it, and no earlier."""

from __future__ import annotations

from typing import Any

import pytest

from adpkv.config import parse
from adpkv.memory.virtual import LedgerMemory
from adpkv.transport.faults import FaultyTransport, Injector
from adpkv.transport.port import EndKind, Transfer
from adpkv.transport.virtual import Network
from tests.scenarios.story import setting


class Time:
    """A clock that is set by hand, and a network's timetable that nothing ever comes of."""

    def __init__(self) -> None:
        self.now_ns = 5
        self.wakes: list[int] = []

    def clock(self) -> int:
        return self.now_ns

    def later(self, *_: object) -> None: ...

    def arrival(self, rank: int) -> None: ...


WIRE = Transfer(0, 0, 0, 1, 0, (1,), (1,), 1024)


@pytest.mark.parametrize(
    ("fault", "call", "kind"),
    [
        ({"phase": "post", "proven": True}, "post", EndKind.FAILED),
        ({"phase": "post", "proven": False}, "post", EndKind.ERROR),
        ({"phase": "expect", "proven": True}, "expect", EndKind.ERROR),
    ],
)
def test_a_failure_comes_with_its_wake(fault: dict[str, Any], call: str, kind: EndKind) -> None:
    time = Time()
    experiment = parse(setting("fail", 1, 1, faults=[{"kind": "fail", **fault}]), "test")
    rank = 0 if call == "post" else 1
    memory = LedgerMemory(4, 16, 1024, lambda *_: None)
    injector = Injector.of(experiment, rank)
    assert injector is not None
    transport = FaultyTransport(
        Network(2, 1, 1 << 30, time).end(rank, memory),
        injector,
        clock=time.clock,
        wake=time.wakes.append,
        note=lambda *_: None,
    )
    getattr(transport, call)(WIRE)
    assert time.wakes == [6]
    assert not transport.ready()
    assert transport.poll() == []
    time.now_ns = 6
    assert transport.ready()
    assert [(end.session, end.kind) for end in transport.poll()] == [((0, 0), kind)]
    assert not transport.ready()
