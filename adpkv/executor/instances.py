"""The instances as the coordinator knows them: how it reaches them, and what they have told it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from adpkv.core.event_lines import Routed
from adpkv.core.fleet import NO_SPARES, Fleet
from adpkv.core.stop import StopReason
from adpkv.core.topology import Instance, Kind, Topology
from adpkv.executor.messages import (
    Admit,
    LeaderMessage,
    RankFailed,
    Release,
    Shrink,
    TrustReport,
)
from adpkv.executor.open_request import OpenRequest
from adpkv.executor.ports import Mailbox, Recorder

__all__ = ["Instances"]

_CONTEXT: Final = Kind.CONTEXT  # looked up once: that takes longer than what uses it


class Instances:
    """The leaders of the instances, which ranks have failed, and which instances are drained."""

    def __init__(
        self,
        topology: Topology,
        mailbox: Mailbox,
        recorder: Recorder,
        spares: Mapping[Kind, int] = NO_SPARES,
    ) -> None:
        self._topology = topology
        self._mailbox = mailbox
        self._recorder = recorder
        self._leaders: dict[int, int] = {
            instance.index: instance.leader for instance in topology.instances
        }
        self.fleet = Fleet(topology, spares)
        self.drained: set[int] = set()
        """Instances that have stopped, have no transfer with another instance any more and have
        answered for everything that was sent to them."""
        self.failed: dict[int, str] = {}
        """Failed world rank -> a text about its failure."""

    @property
    def are_drained(self) -> bool:
        """Whether all instances are drained."""
        return len(self.drained) == len(self._topology.instances)

    def tell(self, instance: Instance, message: LeaderMessage) -> None:
        """Send a message to the leader of an instance, if a rank of it is left."""
        leader = self._leaders[instance.index]
        if leader >= 0:
            self._mailbox.send(leader, message)

    def send(self, kind: Kind, request: OpenRequest, now_ns: int) -> None:
        """Send the request to the instance of this kind that `core.fleet` chooses."""
        fleet = self.fleet
        earlier = request.earlier.get(kind) if request.attempt else None
        instance = fleet.choose(kind, request.request_id, earlier)
        self.unload(request)
        request.given(instance)
        fleet.add(instance, request.weight)
        waited_ns = request.unscheduled_ns(now_ns) if kind is _CONTEXT else 0
        self.tell(instance, Admit(request.spec(), waited_ns))
        self._recorder.note(Routed, "routed", request.request_id, instance.index)

    def unload(self, request: OpenRequest) -> None:
        """Subtract the request from the load of the instance that has it."""
        holder = request.holder
        if holder is not None:
            self.fleet.take(holder, request.request_id, request.weight)

    def note_failure(self, rank_failure: RankFailed) -> bool:
        """A rank has failed, or the last one of its instance. Returns whether another rank leads
        its instance now."""
        instance = self._topology.instances[rank_failure.instance]
        succeeded = rank_failure.leader != self._leaders[instance.index]
        self._leaders[instance.index] = rank_failure.leader
        for rank in instance.members if rank_failure.leader < 0 else (rank_failure.rank,):
            if rank not in self.failed:
                self.failed[rank] = rank_failure.detail
                self._recorder.event("rank_lost", -1, lost=rank, leader=rank_failure.leader)
        return succeeded

    def shrink(self, instance: Instance, had: Sequence[OpenRequest], now_ns: int) -> None:
        """Tell all instances to go on without the failed ranks; ask this one, which had these
        requests, what was lost."""
        failed = tuple(self.failed)
        ages = tuple(now_ns - request.ledger.since_ns for request in had)
        asking = Shrink(failed, tuple(request.key for request in had), ages)
        for other in self._topology.instances:
            self.tell(other, asking if other is instance else Shrink(failed))

    def note_trust(self, told: TrustReport) -> None:
        """The leader says how many of its ranks are trusted."""
        if self.fleet.stands(told.instance, told.trusted, told.probes):
            kind = "instance_readmitted" if told.trusted else "instance_avoided"
            self._recorder.event(kind, -1, instance=told.instance)

    def failure_of(self, instance: Instance | None) -> str:
        """The text about the last rank of an instance that has failed."""
        own = [why for rank, why in self.failed.items() if instance and rank in instance.members]
        return own[-1] if own else "a rank has failed"

    def release(self, reason: StopReason) -> None:
        """Tell the ranks to leave: each of them and not only leaders, because a leader may fail
        before it passes the release on, and the coordinator has ended by then."""
        for instance in self._topology.instances:
            for rank in instance.members:
                if rank not in self.failed:
                    self._mailbox.send(rank, Release(reason))
