"""Every message, typed: what mailboxes and collectives may carry, and nothing else.

The messages are tagged msgspec structs, encoded as MessagePack under MPI; nothing is ever
unpickled. They carry durations, never clock readings (contract 3.1), because the clocks of two
ranks are not comparable. Ranks are world ranks.
"""

from __future__ import annotations

from typing import Final

import msgspec

from adpkv.core.illness import Illness
from adpkv.core.rank_failure import Attempt
from adpkv.core.rank_status import RankStatus
from adpkv.core.report import RankReport
from adpkv.core.stop import StopReason
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
    "Cached",
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
    "Unpacked",
    "failure_detail",
    "instance_failed",
]

HOST: Final = 0
"""The world rank whose process runs the coordinator."""

MOST_UNHEALTHY: Final = 16
"""How many unhealthy ranks a pulse names, so that the message stays small."""


class Admit(msgspec.Struct, frozen=True, tag="admit", array_like=True, gc=False):
    """Coordinator to leader: serve this request. `waited_ns` is for how long it has waited already:
    nanoseconds since its arrival, or since its present attempt began."""

    spec: RequestSpec
    waited_ns: int = 0


class Cancel(msgspec.Struct, frozen=True, tag="cancel", array_like=True, gc=False):
    """Coordinator to leader: the client has cancelled this request."""

    request_id: int


class Stop(msgspec.Struct, frozen=True, tag="stop", array_like=True, gc=False):
    """Coordinator to leader: stop. `reason` has the exit code that the job ends with so far."""

    reason: StopReason


class Release(msgspec.Struct, frozen=True, tag="release", array_like=True, gc=False):
    """Coordinator to every rank: all instances have stopped and are drained, so you may leave."""

    reason: StopReason = StopReason(ExitCode.COMPLETED)


class Shrink(msgspec.Struct, frozen=True, tag="shrink", array_like=True, gc=False):
    """Coordinator to leader: these ranks of the job have failed, go on without them.

    To the instance that has a failed member: `asked` are the open requests that it was given, and
    its leader must say which are `Missing`. `ages` are the nanoseconds since each was given; a new
    leader may not know them.
    """

    failed: tuple[int, ...]
    asked: tuple[Attempt, ...] = ()
    ages: tuple[int, ...] = ()


class Advertise(msgspec.Struct, frozen=True, tag="advertise", array_like=True, gc=False):
    """Receiver to sender: write the KV into these blocks of mine. `tag` identifies the transfer in
    the transport. Sent once more if the sender does not answer. With staging the KV goes into my
    `slot`, and I name no blocks. The first `cached` blocks of the prompt I have already; `blocks`
    are for the others."""

    request_id: int
    attempt: int
    receiver: int
    tag: int
    blocks: tuple[int, ...]
    slot: int = -1
    cached: int = 0


class Cached(msgspec.Struct, frozen=True, tag="cached", array_like=True, gc=False):
    """Receiver to sender: I have all of the KV in my prefix cache. Nothing is to be sent, and there
    will be no advertise."""

    request_id: int
    attempt: int


class Queued(msgspec.Struct, frozen=True, tag="queued", array_like=True, gc=False):
    """Sender to receiver: I have no slot for the transfer yet. Your deadline does not count."""

    request_id: int
    attempt: int


class Began(msgspec.Struct, frozen=True, tag="began", array_like=True, gc=False):
    """Sender to receiver: the first byte was posted. Your deadline runs from here."""

    request_id: int
    attempt: int


class Ended(msgspec.Struct, frozen=True, tag="ended", array_like=True, gc=False):
    """Sender to receiver: I have posted `pieces` pieces and post no more (-1: I cannot say how
    many). This is no proof by itself; the receiver's transport decides (`Transport.peer_ended`)."""

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
    """Receiver to sender: cancel the transfer as soon as you can. `receiver` is the rank that needs
    a message about its end; -1 if the receiver has not advertised its blocks."""

    request_id: int
    attempt: int
    receiver: int = -1


class Unpacked(msgspec.Struct, frozen=True, tag="unpacked", array_like=True, gc=False):
    """Receiver to sender, with staging: I have unpacked so many chunks and expect the next two, so
    their halves of my slot may be written. A later message contains the earlier ones."""

    request_id: int
    attempt: int
    chunks: int


class UnhealthyRank(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A rank whose transceiver is unhealthy, and why."""

    rank: int
    reasons: tuple[str, ...]


class Pulse(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An instance's state, for people and orchestrators: counts of requests, transfers and work.

    That it comes at all shows that the instance's loop is running.
    """

    running: int = 0
    waiting: int = 0
    in_transfer: int = 0
    quarantined: int = 0
    unhealthy: tuple[UnhealthyRank, ...] = ()
    """The unhealthy ranks; at most the first `MOST_UNHEALTHY`."""
    avoided: int = 0
    """Ranks that are avoided after failures of their own, or due for a probe."""
    tokens: int = 0
    """Tokens in the responses so far."""
    iterations: int = 0
    collectives: int = 0
    """Small collectives that the leader has joined."""
    collectives_ns: int = 0
    """Nanoseconds that it has spent in them."""
    transfers_cached: int = 0
    """Completed transfers that moved no byte, as the receiver had all of the KV already."""
    bytes_cached: int = 0
    """Bytes that completed transfers did not move for that reason."""

    @property
    def healthy(self) -> bool:
        """Whether every rank's transceiver is healthy."""
        return not self.unhealthy


class Answers(msgspec.Struct, frozen=True, tag="answers", array_like=True, gc=False):
    """Leader to coordinator: the responses that one flush gathered."""

    instance: int
    responses: tuple[Response, ...]
    pulse: Pulse | None = None


class Stopped(msgspec.Struct, frozen=True, tag="stopped", array_like=True, gc=False):
    """Leader to coordinator: my instance has agreed to stop, and every request that it had is
    answered. Sent once more when it is drained."""

    instance: int
    reason: StopReason
    drained: bool = False
    """No transfer of the instance is in flight any more, or its drain timeout is over; and it has
    taken the coordinator's `Stop`, so that every request that was on its way is answered too."""


class RankFailed(msgspec.Struct, frozen=True, tag="rank_failed", array_like=True, gc=False):
    """Leader to coordinator: `rank` of my instance has failed, and `leader` leads it now.

    If all ranks of an instance have failed, the world sends this with leader -1.
    """

    instance: int
    rank: int
    leader: int
    detail: str


class Missing(msgspec.Struct, frozen=True, tag="missing", array_like=True, gc=False):
    """Leader to coordinator: those of the requests of `Shrink.asked` for which no rank here will
    answer. Sent after the answers that there were."""

    instance: int
    requests: tuple[Attempt, ...]


class TrustReport(msgspec.Struct, frozen=True, tag="trust", array_like=True, gc=False):
    """Leader to coordinator: so many of my ranks are trusted, and so many should get a probe, after
    failures of theirs (`core.failure_memory`). Sent when that has changed."""

    instance: int
    trusted: int
    probes: int


class Condition(msgspec.Struct, frozen=True, tag="condition", array_like=True, gc=False):
    """Leader to coordinator: a rank of mine was unhealthy for its grace, or (None) none is any
    more. The peers are those of all such ranks."""

    instance: int
    illness: Illness | None


class Closing(msgspec.Struct, frozen=True, tag="closing", array_like=True, gc=False):
    """Leader to coordinator: a rank of mine was asked to stop by a signal, after what is open is
    finished."""

    instance: int
    reason: StopReason


def instance_failed(rank: int, instance: Instance) -> RankFailed:
    """The message about an instance whose last rank, `rank`, has failed."""
    return RankFailed(
        instance.index, rank, -1, f"{failure_detail(rank, instance)}, the last one there"
    )


def failure_detail(rank: int, instance: Instance) -> str:
    """The detail of a response or record about a rank failure."""
    return f"rank {rank} ({instance.name}) has failed"


LeaderMessage = Admit | Cancel | Stop | Release | Shrink
"""Messages from the coordinator, which a leader broadcasts to its group at intake. A release comes
to every rank, in case the leader fails."""

PeerMessage = Advertise | Cached | Queued | Began | Ended | NeverStarted | CancelTransfer | Unpacked
"""Messages between two ranks about a session."""

CoordinatorMessage = Answers | Stopped | RankFailed | Missing | TrustReport | Condition | Closing
"""Messages from leaders to the coordinator."""

Message = LeaderMessage | PeerMessage | CoordinatorMessage

PAYLOADS: dict[str, object] = {
    "tp_broadcast": tuple[LeaderMessage, ...],
    "tp_allgather": RankStatus,
    "tp_gather": tuple[Response, ...],
    "world_allgather": RankReport,
}
"""The payload per rank of each kind of small collective; `step` and `wait` have none."""
