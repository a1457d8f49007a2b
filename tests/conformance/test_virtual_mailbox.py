"""The virtual world's messages, by the bodies that every mailbox must pass."""

from __future__ import annotations

import pytest

from adpkv.config import parse
from adpkv.config.fault_kinds import Seam
from adpkv.core.ids import COORDINATOR
from adpkv.executor.messages import Message
from adpkv.faults.injector import Injector, armed
from adpkv.faults.mailbox import FaultyMailbox
from adpkv.worlds.virtual.event_queue import EventQueue
from adpkv.worlds.virtual.mailbox import Post, VirtualMailbox
from tests.conformance.mailbox import BODIES
from tests.scenarios.story import setting

LATENCY_NS = 20_000


class Mesh:
    """Everybody lives here, and time passes when they let it."""

    def __init__(self, ranks: int, latency_ns: int) -> None:
        self.addresses = self.here = (*range(ranks), COORDINATOR)
        self._queue = EventQueue()
        self._post = Post(self._queue, latency_ns, lambda _: None)
        for address in self.addresses:
            self._post.box(address)

    def box(self, address: int) -> VirtualMailbox:
        return self._post.box(address)

    def step(self) -> None:
        assert len(self._queue), "nothing is on its way any more"
        self._queue.run()

    def meet(self) -> None:
        """Nobody is elsewhere; what is on its way arrives meanwhile."""
        while len(self._queue):
            self._queue.run()


@pytest.mark.parametrize("ranks", [1, 4])
@pytest.mark.parametrize("latency_ns", [0, LATENCY_NS])
@pytest.mark.parametrize("body", BODIES)
def test_virtual_messages_conforms(body: str, latency_ns: int, ranks: int) -> None:
    BODIES[body](Mesh(ranks, latency_ns))


class FaultyMesh(Mesh):
    """Everybody's box has the fault seam around it, with a fault that never fits."""

    def box(self, address: int) -> FaultyMailbox:  # type: ignore[override]
        faults = [
            {"kind": "lose", "after": "1h"},
            {"kind": "late", "duration": "1s", "after": "1h"},
        ]
        experiment = parse(setting("far", 1, 1, faults=faults), "far")
        return FaultyMailbox(
            super().box(address),
            Injector(armed(experiment, 0), experiment.seed, Seam.MESSAGES),
            clock=lambda: 0,
            wake=lambda _: None,
            note=lambda *_: None,
        )


@pytest.mark.parametrize("body", BODIES)
def test_without_a_fault_that_fits_the_seam_changes_nothing(body: str) -> None:
    BODIES[body](FaultyMesh(2, LATENCY_NS))


class Broken:
    """A box with something wrong."""

    def __init__(self, box: VirtualMailbox, wrong: str) -> None:
        self._box, self._wrong = box, wrong
        self.send = box.send

    def receive(self) -> list[Message]:
        found = list(self._box.receive())
        wrong = {"reversed": found[::-1], "loses": found[1:], "doubles": found + found[:1]}
        return wrong.get(self._wrong, found)

    def ready(self) -> bool:
        return self._wrong == "always ready" or self._box.ready()


class BrokenMesh(Mesh):
    """Everybody's box has the same."""

    def __init__(self, wrong: str) -> None:
        super().__init__(2, LATENCY_NS)
        self._wrong = wrong

    def box(self, address: int) -> Broken:  # type: ignore[override]
        return Broken(super().box(address), self._wrong)


@pytest.mark.parametrize("wrong", ["reversed", "loses", "doubles", "always ready"])
def test_a_broken_mailbox_does_not_pass(wrong: str) -> None:
    """The bodies can fail: each of these is seen by one of them."""
    seen_by = []
    for name, body in BODIES.items():
        try:
            body(BrokenMesh(wrong))
        except AssertionError:
            seen_by.append(name)
    assert seen_by != []
