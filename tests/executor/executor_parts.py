"""Tiny doubles of the ports, for executor pieces that the virtual world is too coarse for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from adpkv.core.block_pool import BlockPool
from adpkv.core.event_lines import EventLine, detail_of
from adpkv.core.group_limits import GroupLimits
from adpkv.core.ids import Rank as RankId
from adpkv.core.ownership import SoleOwner
from adpkv.core.responses import ResponseBuffer
from adpkv.core.rules import Rules
from adpkv.core.session import Event, Role
from adpkv.core.session_limits import TransceiverLimits
from adpkv.core.slots import SlotLimits
from adpkv.core.step_cost import Costs
from adpkv.core.topology import Instance, Kind
from adpkv.core.transceiver import Transceiver
from adpkv.core.values import Outcome, RequestSpec, SenderRef, Violation
from adpkv.executor.context import ContextServing
from adpkv.executor.generation import GenerationServing
from adpkv.executor.messages import Message
from adpkv.executor.rank import Rank, RankPorts
from adpkv.executor.serving import Serving
from adpkv.memory.virtual import LedgerMemory
from adpkv.model.cost import CostModel

__all__ = [
    "BLOCK_TOKENS",
    "Clock",
    "Notes",
    "Post",
    "begun",
    "context",
    "finished",
    "free",
    "generation",
    "landed",
    "outcomes",
    "spec",
    "stepped",
]

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
        self.sent: list[tuple[int, Message]] = []
        self.inbox: list[Message] = []

    def send(self, to: int, message: Message) -> None:
        self.sent.append((to, message))

    def receive(self) -> list[Message]:
        messages, self.inbox = self.inbox, []
        return messages

    def ready(self) -> bool:
        return bool(self.inbox)

    def taken(self) -> list[tuple[int, Message]]:
        sent, self.sent = self.sent, []
        return sent


class Notes:
    """A recorder that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int, dict[str, object]]] = []
        self.violations: list[Violation] = []

    def event(self, kind: str, request_id: int, /, **detail: object) -> None:
        self.events.append((kind, request_id, detail))

    def note(
        self, shape: Callable[..., EventLine], kind: str, request_id: int, what: object, /
    ) -> None:
        self.events.append((kind, request_id, detail_of(shape(0, 0, kind, request_id, what))))

    def violation(self, violation: Violation) -> None:
        self.violations.append(violation)


def spec(
    request_id: int = 1, prompt: int = 10, output: int = 3, hashes: Sequence[int] = ()
) -> RequestSpec:
    ref = SenderRef(0, tuple(range(-(-prompt // BLOCK_TOKENS))))
    return RequestSpec(request_id, 0, prompt, output, tuple(hashes), None, ref)


def _rank(
    kind: Kind,
    notes: Notes | None,
    owner: SoleOwner | None,
    rules: Rules | None = None,
    *,
    reuse: bool = True,
) -> Rank:
    notes, rules = notes or Notes(), rules or Rules()
    slots = SlotLimits(8, 8, 100)
    limits = TransceiverLimits(slots, 1000, 1000, 5000, 5000, 8, 10_000, 20_000, 64)
    role = Role.SENDER if kind is Kind.CONTEXT else Role.RECEIVER
    outside: Any = None
    """What a serving does not touch."""
    return Rank(
        rank=3,
        instance=Instance(0, kind, RankId(3), 1),
        limits=GroupLimits(kind, 1, BLOCK_TOKENS, POOL - 1, 100, 99),
        timing=outside,
        ports=RankPorts(
            clock=Clock(),
            mailbox=Post(),
            transport=outside,
            model=CostModel(Costs(1, 0, 0, 0, 0), 0.0),
            recorder=notes,
            signals=outside,
            memory=LedgerMemory(
                POOL,
                BLOCK_TOKENS,
                64,
                lambda kind, detail, _: notes.violation(Violation(kind, 3, 0, detail)),
            ),
        ),
        pool=BlockPool(POOL, reuse=reuse),
        transceiver=Transceiver(role, limits, rules, can_withdraw=True),
        responses=ResponseBuffer(),
        leader=None,
        succession=outside,
        inbox_ages=outside,
        owner=owner or SoleOwner(),
        rules=rules,
    )


def context(
    notes: Notes | None = None, budget: int = 64, owner: SoleOwner | None = None
) -> ContextServing:
    return ContextServing(_rank(Kind.CONTEXT, notes, owner), budget)


def generation(
    notes: Notes | None = None,
    most: int = 4,
    owner: SoleOwner | None = None,
    rules: Rules | None = None,
    *,
    verify_at_end: bool = True,
    reuse: bool = False,
) -> GenerationServing:
    rank = _rank(Kind.GENERATION, notes, owner, rules, reuse=reuse)
    return GenerationServing(rank, most, verify_at_end=verify_at_end)


def begun(serving: Serving, *request_ids: int) -> None:
    """These requests were assigned, and got what there was."""
    for request_id in request_ids:
        serving.assign(spec(request_id), 0)
    serving.admit(0)
    serving.transceiver.start(0)
    for order, session in serving.transceiver.take_orders():
        if order in ("expect", "post"):
            serving.exposed(session)
    serving.decisions.resolve(0)


def finished(serving: Serving, request_id: int, event: Event, now_ns: int = 5) -> None:
    """Its transport reports an end."""
    serving.transceiver.finished(request_id, 0, event)
    serving.transceiver.check_transfer_status(now_ns)
    serving.decisions.resolve(now_ns)


def landed(serving: GenerationServing, request_id: int) -> None:
    """The bytes came, then their end."""
    request = serving.requests[request_id]
    assert request.lease is not None
    assert request.session is not None
    serving.memory.land(  # type: ignore[attr-defined]
        request.lease.number, request.session.blocks, whole=True
    )
    finished(serving, request_id, Event.DONE)


def outcomes(serving: Serving) -> list[tuple[int, Outcome]]:
    return [(r.request_id, r.outcome) for r in serving.responses.take()]


def free(serving: Serving) -> int:
    return serving.pool.counts().free


def stepped(serving: Serving, count: int, now_ns: int) -> None:
    """`count` steps over the last batch are made."""
    for request in serving.computed(count):
        serving.finish(request, now_ns)
