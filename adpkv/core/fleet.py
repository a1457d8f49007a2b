"""Which instance gets the next request: the coordinator's choice, as a pure value.

It goes to the instance with the fewest open tokens per trusted rank; equal ones take turns. An
instance without a trusted rank (`core.failure_memory`) is avoided while another one has some; when
one of its ranks is due for a probe, the next request is that, and no other follows until it is
answered.

An instance can be taken out of service and put in again. As many of a kind are in service as the
topology says; the others are spares, of which the first steps in for one that is taken out.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from types import MappingProxyType
from typing import Final

from adpkv.core.topology import Instance, Kind, Topology

__all__ = ["Fleet"]


NO_SPARES: Final[Mapping[Kind, int]] = MappingProxyType({})


class _Member:
    """What is known of one instance."""

    __slots__ = ("instance", "load", "probe", "probes", "requests", "trusted", "turn")

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.load = self.requests = self.turn = 0
        """`turn`: when it got its last request, as a number that rises."""
        self.trusted = instance.ranks
        self.probes = 0
        self.probe = -1
        """The request that was sent as a probe, until it is answered; -1 if there is none."""


class Fleet:
    """The instances of a job, with their loads in tokens and with what their leaders say of their
    ranks."""

    def __init__(self, topology: Topology, spares: Mapping[Kind, int] = NO_SPARES) -> None:
        """`spares`: how many of a kind, the last ones, serve only in place of another one."""
        self._members = [_Member(instance) for instance in topology.instances]
        self._turns = 0
        self._wanted = {kind: len(topology.of_kind(kind)) - spares.get(kind, 0) for kind in Kind}
        every = {kind: list(topology.of_kind(kind)) for kind in Kind}
        self._serving = {kind: every[kind][: self._wanted[kind]] for kind in Kind}
        self._spares = {kind: every[kind][self._wanted[kind] :] for kind in Kind}

    def has_any(self, kind: Kind) -> bool:
        """Whether an instance of this kind is in service."""
        return bool(self._serving[kind])

    def is_replaceable(self, instance: Instance) -> bool:
        """Whether another one of its kind serves, or could."""
        others = [one for one in self._serving[instance.kind] if one is not instance]
        spares = [one for one in self._spares[instance.kind] if one is not instance]
        return bool(others or spares)

    def take_out(self, instance: Instance) -> Instance | None:
        """The instance gets no requests from now on. Returns the spare that steps in, if any.

        May be said again: each of several ranks that fail together may be told as the last.
        """
        serving, spares = self._serving[instance.kind], self._spares[instance.kind]
        if instance in spares:
            spares.remove(instance)
        if instance not in serving:
            return None
        serving.remove(instance)
        if not spares:
            return None
        spare = spares.pop(0)
        self._put(serving, spare)
        return spare

    def put_in(self, instance: Instance) -> bool:
        """The instance may get requests again. Returns whether it serves; else it is a spare."""
        serving = self._serving[instance.kind]
        serves = len(serving) < self._wanted[instance.kind]
        self._put(serving if serves else self._spares[instance.kind], instance)
        return serves

    def is_out(self, instance: Instance) -> bool:
        """Whether it is neither in service nor a spare."""
        kind = instance.kind
        return instance not in self._serving[kind] and instance not in self._spares[kind]

    def queued(self) -> tuple[int, int]:
        """(requests, prompt tokens) of the requests that have no first token yet."""
        waiting = [one for one in self._members if one.instance.kind is Kind.CONTEXT]
        return sum(one.requests for one in waiting), sum(one.load for one in waiting)

    def requests(self, instance: Instance) -> int:
        """How many requests it has."""
        return self._members[instance.index].requests

    @staticmethod
    def _put(there: list[Instance], instance: Instance) -> None:
        there.append(instance)
        there.sort(key=lambda one: one.index)

    def stands(self, index: int, trusted: int, probes: int) -> bool:
        """The leader says how many of its ranks are trusted, and how many should get a probe.
        Returns whether the instance becomes avoided, or is so no more."""
        member = self._members[index]
        before = member.trusted
        member.trusted, member.probes = trusted, probes
        return (before > 0) is not (trusted > 0)

    def is_avoided(self, index: int) -> bool:
        """Whether none of its ranks is trusted."""
        return not self._members[index].trusted

    def choose(self, kind: Kind, request_id: int, earlier: Instance | None = None) -> Instance:
        """The instance that gets this request. It has one rank less for it where an `earlier`
        attempt was, as what is left of that may be in doubt there."""

        serving = self._serving[kind]
        if len(serving) == 1:
            return serving[0]

        def share(member: _Member) -> float:
            ranks = (member.trusted or member.instance.ranks) - (member.instance is earlier)
            return member.load / ranks if ranks else inf

        there = [self._members[one.index] for one in serving]
        trusted = [one for one in there if one.trusted]
        if trusted:
            probed = next((m for m in there if not m.trusted and m.probes and m.probe < 0), None)
            if probed is not None:
                probed.probe = request_id
                return probed.instance
        members = trusted or there
        return min(members, key=lambda m: (share(m), m.turn)).instance

    def add(self, instance: Instance, tokens: int) -> None:
        """The instance has the request now, which weighs so much."""
        member = self._members[instance.index]
        member.load += tokens
        member.requests += 1
        self._turns += 1
        member.turn = self._turns

    def take(self, instance: Instance, request_id: int, tokens: int) -> None:
        """The instance does not have the request any more."""
        member = self._members[instance.index]
        member.load -= tokens
        member.requests -= 1
        if member.probe == request_id:
            member.probe = -1
