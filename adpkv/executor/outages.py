"""Instances that are taken out of service and put in again while the job runs.

An instance that is out gets no requests. It finishes what it has, for at most the drain timeout;
then the rest is taken from it. Its ranks stay in the loop, as their transfers in doubt still have
to end, and as they may be needed again (contract 6.2).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from adpkv.core.ids import NEVER
from adpkv.core.illness import Illness, is_excused, to_blame
from adpkv.core.stop import StopReason
from adpkv.core.topology import Instance, Kind, Topology
from adpkv.executor.instances import Instances
from adpkv.executor.messages import Cancel, Condition
from adpkv.executor.open_request import OpenRequest
from adpkv.executor.ports import Clock, Recorder

__all__ = ["FIXED", "Elasticity", "Maintenance", "Outage", "Outages"]

MAINTENANCE: Final = "maintenance"
ENDS, STARTS = 0, 1
"""At one instant one is put in before another is taken out: it may be what has to serve."""
NS_PER_S: Final = 1e9


class Maintenance(NamedTuple):
    """An instance is taken out at `from_ns` and put in again at `until_ns` (`NEVER`: not)."""

    instance: int
    from_ns: int
    until_ns: int = NEVER


@dataclass(frozen=True, slots=True)
class Elasticity:
    """How the instances of a job may come and go."""

    drain_timeout_ns: int = NEVER
    """How long an instance that is out, or a job that closes, may take to finish."""
    drains: bool = False
    """An unhealthy instance is taken out; else it stops the job by itself."""
    spares: Mapping[Kind, int] = field(default_factory=dict)
    """How many instances of a kind serve only in place of another one."""
    maintenance: Sequence[Maintenance] = ()


FIXED: Final = Elasticity()


@dataclass(slots=True)
class Outage:
    """An instance that is or was out, for the summary."""

    instance: Instance
    why: str
    from_ns: int
    until_ns: int = -1
    """When it was put in again; -1 if it was not."""
    drained_ns: int = -1
    """When it had no request any more; -1 if it still has some."""
    spare: Instance | None = None
    """What stepped in."""
    taken: int = 0
    """How many requests were taken from it at the end of the drain timeout."""
    ill: bool = False


class Outages:
    """Decides what is out, and keeps the times."""

    def __init__(
        self,
        topology: Topology,
        instances: Instances,
        recorder: Recorder,
        clock: Clock,
        elasticity: Elasticity,
    ) -> None:
        self._topology = topology
        self._instances, self._fleet = instances, instances.fleet
        self._recorder = recorder
        self._clock = clock
        self._drain_timeout_ns = elasticity.drain_timeout_ns
        self._drains = elasticity.drains
        self._ill: dict[int, Illness] = {}
        times = elasticity.maintenance
        self._changes = [*_ends(times), *((one.from_ns, STARTS, one.instance) for one in times)]
        heapq.heapify(self._changes)
        self._maintained: set[int] = set()
        """Those that are out and whose time is not over: they stay out, well or not."""
        self.every: list[Outage] = []
        """All outages so far, oldest first."""
        self._open: dict[int, Outage] = {}
        self._lost: set[int] = set()

    @property
    def out(self) -> frozenset[int]:
        """The instances that are out now."""
        return frozenset(self._open)

    @property
    def forgiven(self) -> frozenset[int]:
        """The instances whose ill health is known and dealt with: they are out, or all of their
        stuck transfers are with others that are."""
        ill = {one: self._with_whom(illness) for one, illness in list(self._ill.items())}
        return self.out | {one for one in ill if is_excused(one, ill, self.out | self._lost)}

    def next_ns(self) -> int:
        """When something is due; `NEVER` if nothing is."""
        changes_ns = self._changes[0][0] if self._changes else NEVER
        begun = [one.from_ns for one in self._open.values() if self._is_draining(one)]
        return min(changes_ns, min(begun) + self._drain_timeout_ns) if begun else changes_ns

    def _is_draining(self, outage: Outage) -> bool:
        return outage.drained_ns < 0 and not outage.taken

    def due(self, now_ns: int) -> list[Outage]:
        """Do what is due. Returns the outages whose drain timeout is over: what their instances
        still have is to be taken from them."""
        while self._changes and self._changes[0][0] <= now_ns:
            _, change, index = heapq.heappop(self._changes)
            if change == ENDS:
                self._end_maintenance(index)
            else:
                self._maintain(self._topology.instances[index])
        late: list[Outage] = []
        for outage in self._open.values():
            if outage.drained_ns < 0 and not self._fleet.requests(outage.instance):
                outage.drained_ns = now_ns
                self._tell("instance_drained", outage.instance, taken=outage.taken)
            elif self._is_draining(outage) and now_ns >= outage.from_ns + self._drain_timeout_ns:
                late.append(outage)
        return late

    def evict(self, now_ns: int, open_requests: Iterable[OpenRequest]) -> None:
        """Do what is due, and take from instances that are out what they did not finish in time."""
        for outage in self.due(now_ns):
            instance = outage.instance
            had = [request for request in open_requests if request.holder is instance]
            outage.taken = len(had)
            for request in had:
                request.taken_from = instance.name
                self._recorder.event("taken", request.request_id, instance=instance.index)
                self._instances.tell(instance, Cancel(request.request_id))

    def _maintain(self, instance: Instance) -> None:
        if instance.index not in self._open:
            if self._fleet.is_out(instance) or not self._fleet.is_replaceable(instance):
                self._tell("instance_kept", instance)
                return
            self._take_out(instance, MAINTENANCE)
        self._maintained.add(instance.index)

    def _end_maintenance(self, index: int) -> None:
        if index in self._maintained:
            self._maintained.remove(index)
            outage = self._open[index]
            if self._drains and not self._is_well(index):
                outage.ill = True
            else:
                self._put_in(outage)

    def note_condition(self, told: Condition) -> StopReason | None:
        """An instance has become unhealthy, or healthy again. Returns why the job has to stop, if
        it has to: the instance to blame cannot be replaced."""
        if told.illness is None:
            self._ill.pop(told.instance, None)
        else:
            self._ill[told.instance] = told.illness
        if not self._drains:
            return None
        ill = {one: self._with_whom(illness) for one, illness in self._ill.items()}
        gone = {*self._open, *self._lost}
        worst = to_blame(ill, gone, self._is_replaceable)
        if worst is not None:
            if not self._is_replaceable(worst):
                return (self._ill.get(worst) or next(iter(self._ill.values()))).reason
            blamed = self._ill.get(worst)
            why = blamed.reason.detail if blamed else "others have stuck transfers with it"
            self._take_out(self._topology.instances[worst], why, ill=True)
        for index, outage in list(self._open.items()):
            if outage.ill and index not in self._maintained and self._is_well(index):
                self._put_in(outage)
        return None

    def _is_well(self, index: int) -> bool:
        """Whether one that is out is fit to serve: nothing is stuck there but with others that are
        out, and none that serves has stuck transfers with it."""
        ill = {one: self._with_whom(illness) for one, illness in self._ill.items()}
        accused = any(index in ill[one] for one in ill if one not in self._open)
        fit = index not in ill or is_excused(index, ill, {*self._open, *self._lost})
        return fit and not accused

    def _with_whom(self, illness: Illness) -> set[int]:
        return {self._topology.instance_of(rank).index for rank in illness.peers}

    def _is_replaceable(self, index: int) -> bool:
        return self._fleet.is_replaceable(self._topology.instances[index])

    def _take_out(self, instance: Instance, why: str, *, ill: bool = False) -> None:
        outage = Outage(instance, why, self._clock(), spare=self._fleet.take_out(instance), ill=ill)
        self._open[instance.index] = outage
        self.every.append(outage)
        self._tell("instance_out", instance, why=why)
        if outage.spare is not None:
            self._tell("instance_stepped_in", outage.spare)

    def _put_in(self, outage: Outage) -> None:
        del self._open[outage.instance.index]
        outage.until_ns = self._clock()
        serves = self._fleet.put_in(outage.instance)
        self._tell("instance_back", outage.instance, spare=not serves)

    def told(self) -> list[dict[str, object]]:
        """All outages, as `summary.json` has them."""
        return [
            {
                "instance": one.instance.name,
                "why": one.why,
                "from_s": one.from_ns / NS_PER_S,
                "drained_s": None if one.drained_ns < 0 else one.drained_ns / NS_PER_S,
                "until_s": None if one.until_ns < 0 else one.until_ns / NS_PER_S,
                "taken": one.taken,
                "spare": None if one.spare is None else one.spare.name,
            }
            for one in self.every
        ]

    def lost(self, instance: Instance) -> None:
        """All ranks of the instance have failed: it never comes back."""
        self._lost.add(instance.index)
        self._maintained.discard(instance.index)
        self._ill.pop(instance.index, None)
        if self._open.pop(instance.index, None) is None:
            spare = self._fleet.take_out(instance)
            if spare is not None:
                self._tell("instance_stepped_in", spare)

    def _tell(self, kind: str, instance: Instance, **detail: object) -> None:
        self._recorder.event(kind, -1, instance=instance.index, **detail)


def _ends(times: Sequence[Maintenance]) -> list[tuple[int, int, int]]:
    """When instances are put in again: times of one instance that overlap or meet end together."""
    found: list[tuple[int, int, int]] = []
    for index, from_ns, until_ns in sorted(times):
        if found and found[-1][2] == index and from_ns <= found[-1][0]:
            found[-1] = (max(found[-1][0], until_ns), ENDS, index)
        else:
            found.append((until_ns, ENDS, index))
    return found
