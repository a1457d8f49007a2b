"""Policies in which a rank waits for something without its group, or does not look at all."""

from __future__ import annotations

from typing import Final

from adpkv.core.ids import NEVER
from adpkv.core.plan import Plan
from adpkv.core.session import Role
from adpkv.errors import RankLostError
from adpkv.executor.collectives import Pause
from adpkv.field_policies.policy import NeverQuiet, Policy

__all__ = ["BLOCKING_POLL", "NOBODY_WATCHES", "REAP_WHEN_SCHEDULED", "UNBOUNDED_IDLE"]


class WaitsInItsPoll(NeverQuiet):
    """Its poll waits for something to end."""

    async def sync(self) -> Plan:
        """After the poll."""
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
                rank.transport.ready,
            )
            rank.transfers.poll()
            self.attend(rank.clock())
        return await super().sync()


BLOCKING_POLL: Final = Policy(
    "A poll with at_least=1 picks a transfer, finished or not, and waits for it; meanwhile its rank"
    " joins nothing (#13671, #15363).",
    phases=WaitsInItsPoll,
)


class WaitsInItsQueue(NeverQuiet):
    """A leader without work waits in its queue."""

    async def wait(self) -> None:
        """What is agreed: all ranks see the same, so all of them think the group idle."""
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
                rank.mailbox.ready,
            )
        return None


UNBOUNDED_IDLE: Final = Policy(
    "When nothing computes, the leader blocks in its queue for as long as it takes, whoever is in"
    " transfer (#17124).",
    phases=WaitsInItsQueue,
)


class ReapsWhenScheduled(NeverQuiet):
    """Looks at its transfers where the plan has a step."""

    def poll(self) -> bool:
        """Or not at all."""
        return self.rank.plan.forward and super().poll()


REAP_WHEN_SCHEDULED: Final = Policy(
    "Transfers are looked at after a step only; with a full pool nothing is scheduled, and what"
    " would make room is never looked at (#12313, #17343).",
    phases=ReapsWhenScheduled,
)


class WaitsForTheFailed(NeverQuiet):
    """Stays where it waits for a failed rank."""

    async def survive(self, lost: RankLostError) -> None:
        """For ever."""
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
