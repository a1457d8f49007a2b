"""Policies in which a rank waits for something without its group, or does not poll at all."""

from __future__ import annotations

from typing import Final

from adpkv.core.ids import NEVER
from adpkv.core.plan import Plan
from adpkv.core.session import Role
from adpkv.errors import RankLostError
from adpkv.executor.collectives import Pause
from adpkv.executor.local_work import LocalWork
from adpkv.field_policies.policy import NeverQuiet, Policy

__all__ = ["BLOCKING_POLL", "NOBODY_WATCHES", "REAP_WHEN_SCHEDULED", "UNBOUNDED_IDLE"]


class WaitsInItsPoll(NeverQuiet):
    """Its poll waits until a transfer ends."""

    async def sync(self) -> Plan:
        """Poll, then sync."""
        rank = self.rank
        book = rank.transceiver.book
        if book.in_flight and not rank.transceiver.pending_polls:
            side = "context" if book.role is Role.SENDER else "generation"
            await Pause(
                rank.instance.index,
                "poll",
                f"check_{side}_transfer_status",
                rank.iteration,
                rank.plan,
                NEVER,
                rank.ports.transport.ready,
            )
            # What it has waited for it takes in, whenever another policy polls.
            LocalWork.poll(self)
            self.attend(rank.ports.clock())
        return await super().sync()


BLOCKING_POLL: Final = Policy(
    "A poll with at_least=1 picks a transfer, finished or not, and waits for it; meanwhile its rank"
    " joins nothing (#13671, #15363).",
    phases=WaitsInItsPoll,
)


class WaitsInItsQueue(NeverQuiet):
    """A leader whose group has no work waits in its queue of messages."""

    async def wait(self) -> None:
        """All ranks see the same statuses and plan, so all of them agree that the group is idle."""
        rank = self.rank
        plan = rank.plan
        if any(status.work for status in self.statuses) or plan.waiting or plan.assignments:
            return await super().wait()
        if rank.leader is not None and not rank.leader.has_more():
            await Pause(
                rank.instance.index,
                "queue",
                "get_new_requests",
                rank.iteration,
                rank.plan,
                NEVER,
                rank.ports.mailbox.ready,
            )
        return None


UNBOUNDED_IDLE: Final = Policy(
    "When nothing computes, the leader blocks in its queue for as long as it takes, whoever is in"
    " transfer (#17124).",
    phases=WaitsInItsQueue,
)


class ReapsWhenScheduled(NeverQuiet):
    """Polls its transfers only in iterations with a forward step."""

    def poll(self) -> bool:
        """Poll if the plan has a forward step."""
        return self.rank.plan.forward and super().poll()


REAP_WHEN_SCHEDULED: Final = Policy(
    "Transfers are looked at after a step only; with a full pool nothing is scheduled, and what"
    " would make room is never polled (#12313, #17343).",
    phases=ReapsWhenScheduled,
)


class WaitsForTheFailed(NeverQuiet):
    """Waits for a failed rank for ever."""

    async def survive(self, lost: RankLostError) -> None:
        """Do not survive: stay in the collective that the failure broke."""
        rank, place = self.rank, lost.place
        await Pause(
            rank.instance.index,
            place.kind,
            place.site,
            place.iteration,
            rank.plan,
            NEVER,
            lambda: False,
        )


NOBODY_WATCHES: Final = Policy(
    "Nobody finds out that a rank has failed: the others stay in their collective for as long as it"
    " lets them (#16592, #18663).",
    phases=WaitsForTheFailed,
)
