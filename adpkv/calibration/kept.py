"""How many blocks of a prompt its receivers have already: these are not sent."""

from __future__ import annotations

from collections import defaultdict

from adpkv.core.topology import Kind, Topology
from adpkv.output.story_words import Event

__all__ = ["Kept"]


class Kept:
    """As the events of a run tell of it."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._blocks: dict[int, dict[int, int]] = defaultdict(dict)
        """By request, and rank of the instance that was given it last."""

    def note(self, event: Event) -> None:
        """The next event, in order of time."""
        instance = self._topology.instance_of(event.rank)
        if instance.kind is Kind.CONTEXT:
            return
        if event.kind == "assigned":
            known = self._blocks[event.request]
            known.pop(event.rank, None)  # of an earlier attempt
            for rank in [rank for rank in known if self._topology.instance_of(rank) != instance]:
                del known[rank]
        elif event.kind == "reused":
            self._blocks[event.request][event.rank] = int(event.detail.get("blocks", 0))

    def blocks(self, request: int, rank: int) -> int:
        """Of the transfer that this rank sends or receives. All receivers of a replicated request
        have the same."""
        known = self._blocks.get(request, {})
        return known.get(rank, max(known.values(), default=0))
