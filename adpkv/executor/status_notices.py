"""What the ranks of a group say of themselves, passed on to the coordinator when it changes."""

from __future__ import annotations

from adpkv.core.failure_memory import Trust
from adpkv.core.group_statuses import GroupStatuses
from adpkv.core.ids import COORDINATOR
from adpkv.core.illness import Illness, summed_up
from adpkv.executor.messages import Closing, Condition, TrustReport
from adpkv.executor.ports import Mailbox

__all__ = ["StatusNotices"]


class StatusNotices:
    """A leader's part of it: what the coordinator was told last. At first it takes all ranks for
    trusted and healthy."""

    def __init__(self, instance: int, mailbox: Mailbox) -> None:
        self._instance = instance
        self._mailbox = mailbox
        self._trust: tuple[int, int] | None = None
        self._illness: Illness | None = None
        self._closing = False
        self._unsure = False
        self._calm = -1
        """How many ranks had nothing to tell by the last look; -1 if any of them had."""

    def take_over(self) -> None:
        """Nobody knows what the former leader has told."""
        self._unsure, self._calm = True, -1

    def announce(self, said: GroupStatuses, *, shared: bool) -> None:
        """Tell what is new in these statuses. `shared`: each request is on all ranks."""
        statuses, loud = said.statuses, False
        if said.odd:
            for one in statuses:
                if one.trust or one.illness or one.closing:
                    loud = True
                    break
        if not loud and self._calm == len(statuses):
            return
        self._calm = -1 if loud else len(statuses)
        self._tell_trust([status.trust for status in statuses], shared=shared)
        illness = summed_up([status.illness for status in statuses])
        if illness != self._illness or self._unsure:
            self._illness = illness
            self._mailbox.send(COORDINATOR, Condition(self._instance, illness))
        asked = next((status.closing for status in statuses if status.closing), None)
        if asked is not None and not self._closing:
            self._closing = True
            self._mailbox.send(COORDINATOR, Closing(self._instance, asked))
        self._unsure = False

    def _tell_trust(self, trusts: list[Trust], *, shared: bool) -> None:
        if self._trust is None and not self._unsure and not any(trusts):
            return
        if shared:
            trusts = [max(trusts)] * len(trusts)
        told = (trusts.count(Trust.FULL), trusts.count(Trust.PROBE))
        if told != self._trust:
            self._trust = told
            self._mailbox.send(COORDINATOR, TrustReport(self._instance, *told))
