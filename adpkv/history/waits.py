"""Policies in which a rank waits for something without its group, or does not look at all."""

from __future__ import annotations

from typing import Final

from adpkv.core.ids import NEVER
from adpkv.core.plan import Plan
from adpkv.errors import RankLostError
from adpkv.executor.meetings import Pause
from adpkv.executor.phases import Phases
from adpkv.history.policy import Policy, never_quiet, replace

__all__ = ["BLOCKING_POLL", "NOBODY_WATCHES", "REAP_WHEN_SCHEDULED", "UNBOUNDED_IDLE"]


def _blocking_poll(phases: Phases) -> None:
    rank, sync = phases.rank, phases.sync
    book = rank.transceiver.book
    site = f"check_{'context' if book.role == 'sender' else 'generation'}_transfer_status"

    async def sync_after_poll() -> Plan:
        if book.in_flight and not rank.transceiver.pending_polls:
            await Pause(
                rank.instance.index,
                "poll",
                site,
                rank.iteration,
                rank.plan,
                NEVER,
                rank.transport.ready,
            )
            rank.courier.poll()
            phases.attend(rank.clock())
        return await sync()

    never_quiet(phases)
    replace(phases, "sync", sync_after_poll)


BLOCKING_POLL: Final = Policy(
    "A poll with at_least=1 picks a transfer, finished or not, and waits for it; meanwhile its rank"
    " joins nothing (#13671, #15363).",
    install=_blocking_poll,
)


def _unbounded_idle(phases: Phases) -> None:
    rank, wait = phases.rank, phases.wait

    async def wait_for_mail() -> None:
        # What is agreed: all ranks see the same, so all of them think the group idle.
        plan = rank.plan
        if any(status.work for status in phases.statuses) or plan.waiting or plan.assignments:
            return await wait()
        if rank.leader is not None and not rank.leader.has_more():
            await Pause(
                rank.instance.index,
                "queue",
                "get_new_requests",
                rank.iteration,
                rank.plan,
                NEVER,
                rank.mailbox.ready,
            )
        return None

    never_quiet(phases)
    replace(phases, "wait", wait_for_mail)


UNBOUNDED_IDLE: Final = Policy(
    "When nothing computes, the leader blocks in its queue for as long as it takes, whoever is in"
    " transfer (#17124).",
    install=_unbounded_idle,
)


def _reap_when_scheduled(phases: Phases) -> None:
    rank, poll = phases.rank, phases.poll
    never_quiet(phases)
    replace(phases, "poll", lambda: rank.plan.forward and poll())


REAP_WHEN_SCHEDULED: Final = Policy(
    "Transfers are looked at after a step only; with a full pool nothing is scheduled, and what"
    " would make room is never looked at (#12313, #17343).",
    install=_reap_when_scheduled,
)


def _nobody_watches(phases: Phases) -> None:
    rank = phases.rank

    async def wait_on(lost: RankLostError) -> None:
        kind, site = lost.place.kind, lost.place.site
        await Pause(
            rank.instance.index, kind, site, lost.place.iteration, rank.plan, NEVER, lambda: False
        )

    never_quiet(phases)
    replace(phases, "survive", wait_on)


NOBODY_WATCHES: Final = Policy(
    "Nobody finds out that a rank is dead: the others stay in their collective for as long as it"
    " lets them (#16592, #18663).",
    install=_nobody_watches,
)
