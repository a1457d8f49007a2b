"""What one rank brings to a sync; `agree` makes the group's plan of all of them."""

from __future__ import annotations

from typing import Final

import msgspec

from adpkv.core.failure_memory import Trust
from adpkv.core.illness import Illness
from adpkv.core.ownership import Vote
from adpkv.core.rank_failure import Attempt
from adpkv.core.stop import StopReason

__all__ = ["NO_LIMIT", "RankStatus"]

_FULL: Final = Trust.FULL
"""Looked up once: to look a member up in its enum takes longer than what is done with it."""

NO_LIMIT: Final = 1 << 40
"""More than any rank can have."""


class RankStatus(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one rank contributes to the all-gather at sync. On the wire it has a fixed width except
    for its tuples and `stop`.

    No field changes merely because a step was made. So an unchanged status means that `agree` has
    nothing new to decide, and the virtual world can jump over iterations with unchanged statuses.
    """

    work: bool = False
    """The rank has tokens to compute."""
    able: bool = True
    """The rank can join a step, if need be with a dummy batch. Under the contract it always can, as
    a block for the dummy is reserved. A model that is not ready, or a historical policy, may set
    False."""
    tokens: int = 0
    requests: int = 0
    running: int = 0
    blocks: int = NO_LIMIT
    """KV blocks that a new request could have now, cached ones included, without those for which
    requests wait that are bound to the rank."""
    seats: int = NO_LIMIT
    """Places in the batch that no request has or waits for."""
    slots: int = NO_LIMIT
    """Transfers that a receiver could begin now."""
    peers: tuple[tuple[int, int, int], ...] = ()
    """(sender, transfers, blocks) that it could begin now, for the senders with which it has some
    in flight. With others it has its whole share."""
    turn: int = 0
    """The iteration in which it was last given a request; 0 before it was given one."""
    in_transfer: int = 0
    quarantined: int = 0
    reasons: tuple[str, ...] = ()
    """Why its transceiver is unhealthy; empty if it is healthy."""
    stop: StopReason | None = None
    """Why it proposes to stop; None if it does not."""
    drained: bool = True
    """Stopping: no transfer of this rank is in flight any more, or the drain timeout is over."""
    overdue: bool = False
    """Stopping: the time limit for the coordinator's release is over too."""
    expired: tuple[Attempt, ...] = ()
    """Leader: requests that have waited too long if they wait still, for a rank or on one."""
    votes: tuple[Vote, ...] = ()
    """Without ADP: what it noticed about requests, until all ranks have acted on it."""
    cached: tuple[tuple[int, int, int, int], ...] = ()
    """(request, attempt, blocks of its prompt in this rank's prefix cache, how many of them other
    requests use now) for the first requests that wait, and for the new ones if the router's policy
    asks for it; those without any are left out."""
    trust: Trust = Trust.FULL
    """How many new requests it should get, after failures of its own."""
    owed: tuple[Attempt, ...] = ()
    """Of the requests that the last plan asks for (`RankFailure.asked`), those for which this rank
    will still send an answer."""
    illness: Illness | None = None
    """It was unhealthy for its grace, and an instance like that is drained."""
    closing: StopReason | None = None
    """It was asked to stop by a signal, once what is open is finished."""

    reused: tuple[int, ...] = ()
    """Receivers: (transfers that moved no byte, bytes that were not moved) so far, as their KV was
    here already; empty while there was none. For metrics only."""
    doubted: tuple[int, ...] = ()
    """Requests that are over here and whose transfer is still in doubt, where a request may be
    computed again: a later attempt is not bound to this rank meanwhile."""

    def differs(self, other: RankStatus) -> bool:
        """Whether it says something else than the other to a group that binds no request and does
        not end, or to the coordinator. What a rank has and has room for is for requests."""
        return not (
            self.work is other.work
            and self.able is other.able
            and self.trust is other.trust
            and self.votes == other.votes
            and self.stop == other.stop
            and self.illness == other.illness
            and self.closing == other.closing
        )

    def is_odd(self) -> bool:
        """Whether it says something that most never say: `agree` and the router then look at each
        status of the group."""
        return not (
            self.able
            and self.trust is _FULL
            and self.stop is None
            and self.illness is None
            and self.closing is None
            and not (self.votes or self.cached or self.doubted)
        )
