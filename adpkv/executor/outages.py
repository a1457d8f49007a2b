"""Instances that are taken out of service and put in again while the job runs.

An instance that is out gets no requests. It finishes what it has, for at most the drain timeout;
then the rest is taken from it. Its ranks stay in the loop, as their transfers in doubt still have
to end, and as they may be needed again (contract 6.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from adpkv.core.ids import NEVER
from adpkv.core.illness import Illness, is_excused, to_blame
from adpkv.core.stop import StopReason
from adpkv.core.topology import Instance, Kind, Topology
from adpkv.executor.instances import Instances
from adpkv.executor.maintenance import Maintenance, MaintenanceTimes
from adpkv.executor.messages import Cancel, Condition
from adpkv.executor.open_request import OpenRequest
from adpkv.executor.ports import Clock, Recorder

__all__ = ["FIXED", "Elasticity", "Outage", "Outages"]

MAINTENANCE: Final = "maintenance"
NS_PER_S: Final = 1e9


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
    hearing_ns: int = 0
    """For how long others are heard after the first word of an illness, before it is judged."""


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
        self._judging_ns = NEVER
        """When it is judged who is to blame; `NEVER` while nobody is."""
        self._hearing_ns = elasticity.hearing_ns
        self._times = MaintenanceTimes(elasticity.maintenance)
        self._maintained: set[int] = set()
        """Those that are out and whose time is not over: they stay out, well or not."""
        self.every: list[Outage] = []
        """All outages so far, oldest first."""
        self._open: dict[int, Outage] = {}
        self._lost: set[int] = set()
        self.quiet_until_ns = 0
        """Before this there is nothing to `judge` or to `evict`; 0 while something is out."""
        self._look()

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

    def _look(self) -> None:
        changes_ns = min(self._times.next_ns(), self._judging_ns)
        self.quiet_until_ns = 0 if self._open else changes_ns

    def next_ns(self) -> int:
        """When something is due; `NEVER` if nothing is."""
        changes_ns = min(self._times.next_ns(), self._judging_ns)
        begun = [one.from_ns for one in self._open.values() if self._is_draining(one)]
        return min(changes_ns, min(begun) + self._drain_timeout_ns) if begun else changes_ns

    def _is_draining(self, outage: Outage) -> bool:
        return outage.drained_ns < 0 and not outage.taken

    def due(self, now_ns: int) -> list[Outage]:
        """Do what is due. Returns the outages whose drain timeout is over: what their instances
        still have is to be taken from them."""
        while (due := self._times.take(now_ns)) is not None:
            index, entry = due
            if entry is None:
                self._end_maintenance(index)
            else:
                self._maintain(self._topology.instances[index], entry)
        self._look()
        late: list[Outage] = []
        for outage in self._open.values():
            if outage.drained_ns < 0 and not self._fleet.requests(outage.instance):
                outage.drained_ns = max(now_ns, outage.from_ns)  # a real clock has gone on since
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

    def _maintain(self, instance: Instance, entry: int) -> None:
        if instance.index not in self._open:
            lost = self._fleet.is_out(instance)
            if lost or not self._fleet.is_replaceable(instance):
                why = "its ranks have failed" if lost else "no other of its kind could serve"
                self._times.miss(entry, why)
                self._tell("instance_kept", instance, why=why)
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

    def note_condition(self, told: Condition) -> None:
        """An instance has become unhealthy, or healthy again. Who is to blame is judged a little
        later: the other ends of what is stuck tell the same, and who spoke first is not the one."""
        if told.illness is None:
            self._ill.pop(told.instance, None)
        else:
            self._ill[told.instance] = told.illness
        if self._drains:
            self._put_in_whoever_is_well()
            self._judge_later()
            self._look()

    def _judge_later(self) -> None:
        """Judge once all have spoken, if somebody is to blame as far as is known."""
        if self._to_blame() is None:
            self._judging_ns = NEVER
        elif not any(self._is_replaceable(one.index) for one in self._topology.instances):
            self._judging_ns = self._clock()  # whoever it is, the job ends
        elif self._judging_ns == NEVER:
            self._judging_ns = self._clock() + self._hearing_ns

    def _to_blame(self) -> int | None:
        ill = {one: self._with_whom(illness) for one, illness in self._ill.items()}
        return to_blame(ill, {*self._open, *self._lost}, self._is_replaceable)

    def judge(self, now_ns: int) -> StopReason | None:
        """Take out the instance that is to blame, when that is due. Returns why the job has to
        stop, if it has to: that one cannot be replaced."""
        if now_ns < self._judging_ns:
            return None
        self._judging_ns = NEVER
        reason = self._judged()
        self._look()
        return reason

    def _judged(self) -> StopReason | None:
        worst = self._to_blame()
        if worst is None:
            return None
        blamed = self._ill.get(worst)
        if not self._is_replaceable(worst):
            return (blamed or next(iter(self._ill.values()))).reason
        why = blamed.reason.detail if blamed else "others have stuck transfers with it"
        self._take_out(self._topology.instances[worst], why, ill=True)
        self._put_in_whoever_is_well()
        self._judge_later()
        return None

    def _put_in_whoever_is_well(self) -> None:
        for index, outage in list(self._open.items()):
            if outage.ill and index not in self._maintained and self._is_well(index):
                self._put_in(outage)

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

    def told(self) -> dict[str, list[dict[str, object]]]:
        """All outages, and the maintenance that did not happen, as `summary.json` has them."""
        outages: list[dict[str, object]] = [
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
        return {"outages": outages, "maintenance_missed": self._times.missed(self._topology)}

    def lost(self, instance: Instance) -> None:
        """All ranks of the instance have failed: it never comes back."""
        self._lost.add(instance.index)
        self._maintained.discard(instance.index)
        self._ill.pop(instance.index, None)
        if self._open.pop(instance.index, None) is None:
            spare = self._fleet.take_out(instance)
            if spare is not None:
                self._tell("instance_stepped_in", spare)
        self._look()

    def _tell(self, kind: str, instance: Instance, **detail: object) -> None:
        self._recorder.event(kind, -1, instance=instance.index, **detail)
