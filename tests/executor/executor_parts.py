"""Tiny doubles of the ports, for executor pieces that the virtual world is too coarse for."""

from __future__ import annotations

from collections.abc import Sequence

from adpkv.core.block_pool import BlockPool
from adpkv.core.plan import GroupLimits
from adpkv.core.responses import ResponseBuffer
from adpkv.core.rules import Rules
from adpkv.core.session import Role
from adpkv.core.slots import SlotLimits
from adpkv.core.topology import Kind
from adpkv.core.transceiver import Transceiver, TransceiverLimits
from adpkv.core.values import RequestSpec, SenderRef, Violation
from adpkv.executor.context import ContextServing
from adpkv.executor.generation import GenerationServing
from adpkv.executor.messages import Mail
from adpkv.executor.serving import Means
from adpkv.memory.virtual import LedgerMemory

__all__ = ["BLOCK_TOKENS", "Clock", "Notes", "Post", "context", "generation", "spec"]

BLOCK_TOKENS, POOL = 4, 17


class Clock:
    """A clock that stands still unless somebody sets it."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


class Post:
    """A mailbox of which both ends are the test's."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, Mail]] = []
        self.inbox: list[Mail] = []

    def send(self, to: int, message: Mail) -> None:
        self.sent.append((to, message))

    def receive(self) -> list[Mail]:
        mail, self.inbox = self.inbox, []
        return mail

    def ready(self) -> bool:
        return bool(self.inbox)

    def taken(self) -> list[tuple[int, Mail]]:
        sent, self.sent = self.sent, []
        return sent


class Notes:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int, dict[str, object]]] = []
        self.violations: list[Violation] = []

    def event(self, kind: str, request_id: int, /, **detail: object) -> None:
        self.events.append((kind, request_id, detail))

    def violation(self, violation: Violation) -> None:
        self.violations.append(violation)


def spec(
    request_id: int = 1, prompt: int = 10, output: int = 3, hashes: Sequence[int] = ()
) -> RequestSpec:
    ref = SenderRef(0, tuple(range(-(-prompt // BLOCK_TOKENS))))
    return RequestSpec(request_id, 0, prompt, output, tuple(hashes), None, ref)


def _means(kind: Kind, notes: Notes) -> Means:
    slots = SlotLimits(8, 8, 100)
    limits = TransceiverLimits(slots, 1000, 5000, 8, 10_000, 20_000, 64)
    role = Role.SENDER if kind is Kind.CONTEXT else Role.RECEIVER
    return Means(
        rank=3,
        limits=GroupLimits(kind, 1, BLOCK_TOKENS, POOL - 1, 100, 99),
        rules=Rules(),
        pool=BlockPool(POOL, reuse=kind is Kind.CONTEXT),
        memory=LedgerMemory(
            POOL,
            BLOCK_TOKENS,
            64,
            lambda kind, detail: notes.violation(Violation(kind, 3, 0, detail)),
        ),
        transceiver=Transceiver(role, limits, Rules(), can_withdraw=True),
        responses=ResponseBuffer(),
        recorder=notes,
    )


def context(notes: Notes | None = None, budget: int = 64) -> ContextServing:
    return ContextServing(_means(Kind.CONTEXT, notes or Notes()), budget, 1000)


def generation(notes: Notes | None = None, most: int = 4) -> GenerationServing:
    return GenerationServing(_means(Kind.GENERATION, notes or Notes()), most)
