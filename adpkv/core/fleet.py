"""Which instance gets the next request: the coordinator's choice, as a pure value.

It goes to the instance with the fewest open tokens per trusted rank; equal ones take turns. An
instance without a trusted rank (`core.failure_memory`) is avoided while another one has some; when
one of its ranks is due for a probe, the next request is that, and no other follows until it is
answered.
"""

from __future__ import annotations

from adpkv.core.topology import Instance, Kind, Topology

__all__ = ["Fleet"]


class _Member:
    """What is known of one instance."""

    __slots__ = ("instance", "load", "probe", "probes", "trusted", "turn")

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.load = 0
        self.turn = 0
        """When it got its last request, as a number that rises."""
        self.trusted = instance.ranks
        self.probes = 0
        self.probe = -1
        """The request that was sent as a probe, until it is answered; -1 if there is none."""


class Fleet:
    """The instances of a job, with their loads in tokens and with what their leaders say of their
    ranks."""

    def __init__(self, topology: Topology) -> None:
        self._members = [_Member(instance) for instance in topology.instances]
        self._turns = 0
        self._serving = {kind: list(topology.of_kind(kind)) for kind in Kind}

    def has_any(self, kind: Kind) -> bool:
        """Whether an instance of this kind is left."""
        return bool(self._serving[kind])

    def remove(self, instance: Instance) -> None:
        """All ranks of the instance have failed. Each of several that failed together may be told
        as the last: so this may be said more than once."""
        self._serving[instance.kind] = [
            one for one in self._serving[instance.kind] if one.index != instance.index
        ]

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

    def choose(self, kind: Kind, request_id: int) -> Instance:
        """The instance that gets this request."""
        there = [self._members[one.index] for one in self._serving[kind]]
        trusted = [one for one in there if one.trusted]
        if trusted:
            probed = next((m for m in there if not m.trusted and m.probes and m.probe < 0), None)
            if probed is not None:
                probed.probe = request_id
                return probed.instance
        members = trusted or there
        found = min(members, key=lambda m: (m.load / (m.trusted or m.instance.ranks), m.turn))
        return found.instance

    def add(self, instance: Instance, tokens: int) -> None:
        """The instance has the request now, which weighs so much."""
        member = self._members[instance.index]
        member.load += tokens
        self._turns += 1
        member.turn = self._turns

    def take(self, instance: Instance, request_id: int, tokens: int) -> None:
        """The instance does not have the request any more."""
        member = self._members[instance.index]
        member.load -= tokens
        if member.probe == request_id:
            member.probe = -1
