"""Every message that travels, typed: what a mailbox and a collective may carry, and nothing else.

Tagged msgspec structs, encoded as MessagePack where a link is real; nothing is ever unpickled.
Durations travel as time remaining, never as clock readings (contract 3.1): two ranks' clocks
have nothing to say to each other.
"""

from __future__ import annotations

from typing import Final

import msgspec

from adpkv.core.plan import RankStatus
from adpkv.core.rank_failure import Attempt
from adpkv.core.report import RankReport
from adpkv.core.topology import Instance
from adpkv.core.values import RequestSpec, Response
from adpkv.exit_codes import ExitCode

__all__ = [
    "HOST",
    "MOST_UNHEALTHY",
    "PAYLOADS",
    "Admit",
    "Advertise",
    "Answers",
    "Began",
    "Cancel",
    "CancelTransfer",
    "CoordinatorMessage",
    "Ended",
    "LeaderMessage",
    "Message",
    "Missing",
    "NeverStarted",
    "PeerMessage",
    "Pulse",
    "Queued",
    "RankFailed",
    "Release",
    "Shrink",
    "Stop",
    "Stopped",
    "UnhealthyRank",
    "failure_detail",
    "instance_failed",
]

HOST: Final = 0
"""The world rank whose process the coordinator lives in."""

MOST_UNHEALTHY: Final = 16
"""Of those that are ill together one sees enough by so many, and a message stays small."""


class Admit(msgspec.Struct, frozen=True, tag="admit", array_like=True, gc=False):
    """Coordinator to leader: serve this request."""

    spec: RequestSpec


class Cancel(msgspec.Struct, frozen=True, tag="cancel", array_like=True, gc=False):
    """Coordinator to leader: the client no longer wants it. Travels with the request broadcast."""

    request_id: int


class Stop(msgspec.Struct, frozen=True, tag="stop", array_like=True, gc=False):
    """Coordinator to leader: end. `code` is the exit code that the job ends with so far."""

    code: int
    detail: str = ""


class Release(msgspec.Struct, frozen=True, tag="release", array_like=True, gc=False):
    """Coordinator to leader: every instance has stopped, nobody will ask your ranks any more."""

    code: int = ExitCode.COMPLETED
    detail: str = ""


class Shrink(msgspec.Struct, frozen=True, tag="shrink", array_like=True, gc=False):
    """Coordinator to leader: these ranks of the job have failed, go on without them. `asked` are
    the open requests that a group which has a failed member was given: say which are `Missing`.
    `ages` are the nanoseconds since each of them was given: who leads the group now may not
    know."""

    failed: tuple[int, ...]
    asked: tuple[Attempt, ...] = ()
    ages: tuple[int, ...] = ()


class Advertise(msgspec.Struct, frozen=True, tag="advertise", array_like=True, gc=False):
    """Receiver to sender: my blocks are here, write. `tag` names this one transfer on the wire.
    Said again, once, if nobody answers."""

    request_id: int
    attempt: int
    receiver: int
    tag: int
    blocks: tuple[int, ...]


class Queued(msgspec.Struct, frozen=True, tag="queued", array_like=True, gc=False):
    """Sender to receiver: I have no slot for it yet. Waiting for one is not a slow link."""

    request_id: int
    attempt: int


class Began(msgspec.Struct, frozen=True, tag="began", array_like=True, gc=False):
    """Sender to receiver: the first byte was posted. Your deadline runs from here."""

    request_id: int
    attempt: int


class Ended(msgspec.Struct, frozen=True, tag="ended", array_like=True, gc=False):
    """Sender to receiver: I post no more, `pieces` were posted. A message, not a proof."""

    request_id: int
    attempt: int
    pieces: int
    detail: str = ""


class NeverStarted(msgspec.Struct, frozen=True, tag="never_started", array_like=True, gc=False):
    """Sender to receiver: nothing was ever posted for this session, and nothing will be."""

    request_id: int
    attempt: int
    detail: str = ""


class CancelTransfer(msgspec.Struct, frozen=True, tag="cancel_transfer", array_like=True, gc=False):
    """Receiver to sender: I no longer want it; stop as soon as you can. `receiver` asks for a
    message about the end; it is -1 if nobody was told of its blocks."""

    request_id: int
    attempt: int
    receiver: int = -1


class UnhealthyRank(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A rank whose transceiver is unhealthy, and why."""

    rank: int
    reasons: tuple[str, ...]


class Pulse(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How an instance is doing, for a person or an orchestrator that looks on. That it comes at
    all says that the instance's loop turns."""

    running: int = 0
    waiting: int = 0
    in_transfer: int = 0
    quarantined: int = 0
    unhealthy: tuple[UnhealthyRank, ...] = ()
    """Ranks that are unhealthy; the first `MOST_UNHEALTHY` of them."""
    tokens: int = 0
    iterations: int = 0
    collectives: int = 0
    """Joined by the leader, and nanoseconds spent in them."""
    collectives_ns: int = 0

    @property
    def healthy(self) -> bool:
        """Whether every rank's transceiver is."""
        return not self.unhealthy


class Answers(msgspec.Struct, frozen=True, tag="answers", array_like=True, gc=False):
    """Leader to coordinator: what one flush collected."""

    instance: int
    responses: tuple[Response, ...]
    pulse: Pulse | None = None


class Stopped(msgspec.Struct, frozen=True, tag="stopped", array_like=True, gc=False):
    """Leader to coordinator: my instance has agreed to stop; every open request is answered. Said
    again once it is drained."""

    instance: int
    code: int
    detail: str = ""
    drained: bool = False
    """Nothing of it is in flight any more, or draining took too long: it asks nobody anything."""


class RankFailed(msgspec.Struct, frozen=True, tag="rank_failed", array_like=True, gc=False):
    """Leader to coordinator: a rank of my instance has failed, and this is who leads it now; -1,
    from the world, if nobody is left."""

    instance: int
    rank: int
    leader: int
    detail: str


class Missing(msgspec.Struct, frozen=True, tag="missing", array_like=True, gc=False):
    """Leader to coordinator: of the requests asked for, those that nobody here will answer for.
    Sent behind the answers that there were."""

    instance: int
    requests: tuple[Attempt, ...]


def instance_failed(rank: int, instance: Instance) -> RankFailed:
    """What the coordinator is told, by its host, of an instance whose last rank has failed."""
    return RankFailed(
        instance.index, rank, -1, f"{failure_detail(rank, instance)}, the last one there"
    )


def failure_detail(rank: int, instance: Instance) -> str:
    """What clients are told of a rank failure."""
    return f"rank {rank} ({instance.name}) has failed"


LeaderMessage = Admit | Cancel | Stop | Release | Shrink
"""What a leader broadcasts to its group at intake. A release comes to every rank, to be at hand
where a leader fails."""

PeerMessage = Advertise | Queued | Began | Ended | NeverStarted | CancelTransfer
"""What ranks say to each other about a session."""

CoordinatorMessage = Answers | Stopped | RankFailed | Missing
"""What leaders say to the coordinator."""

Message = LeaderMessage | PeerMessage | CoordinatorMessage

PAYLOADS: dict[str, object] = {
    "tp_broadcast": tuple[LeaderMessage, ...],
    "tp_allgather": RankStatus,
    "tp_gather": tuple[Response, ...],
    "world_allgather": RankReport,
}
"""What each kind of small collective carries, per rank; `step` and `wait` carry nothing."""
