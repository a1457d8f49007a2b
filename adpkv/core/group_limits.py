"""A group's fixed properties, as `agree` needs them: what a rank holds, how requests are routed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from adpkv.core.content import prompt_blocks
from adpkv.core.failure_memory import advice
from adpkv.core.group_ranks import Cached, GroupRanks
from adpkv.core.overtaking import Passed
from adpkv.core.rank_status import NO_LIMIT, RankStatus
from adpkv.core.router import Router, by_load
from adpkv.core.topology import Kind
from adpkv.core.values import RequestSpec

__all__ = ["GroupLimits"]

# Looked up once: to look a member up in its enum takes longer than what is done with it.
_CONTEXT: Final = Kind.CONTEXT

_GONE: Final = RankStatus(blocks=0, seats=0, slots=0)
"""What a failed rank would say."""


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """The group's fixed properties, as `agree` needs them; the same on each rank."""

    kind: Kind
    ranks: int
    block_tokens: int
    usable_blocks: int
    """KV blocks per rank, without the one reserved for the dummy."""
    peer_blocks: int
    """The most blocks that may be in flight to one peer: a longer prompt could never be sent."""
    most_requests: int
    """The most open requests that a rank may own."""
    peer_transfers: int = NO_LIMIT
    """The most transfers of a rank with one peer."""
    late: bool = True
    """A request is bound to a rank when that has its blocks, its seat and its slot; until then it
    waits in the instance. False: when the rank may own one more request."""
    route: Router = by_load
    """Decides which rank gets which request."""
    reuses: bool = False
    """Whether the ranks say what they have cached of the first requests that wait."""
    asks_cached: bool = False
    """Whether they say that of new requests too, before these are routed."""
    recomputes: bool = False
    """Whether a request may come again, as another attempt."""
    most_passed: int = 16
    """How many later requests may be assigned before one that waits, until ranks wait for it."""
    gone: frozenset[int] = frozenset()
    """Indices of the group's failed ranks; the indices of the others do not change."""

    def tokens_of(self, spec: RequestSpec) -> int:
        """A request's weight for the router: the tokens that it costs on this kind of instance."""
        if self.kind is _CONTEXT:
            return spec.prompt_tokens
        return spec.prompt_tokens + spec.output_tokens

    def blocks_of(self, spec: RequestSpec) -> int:
        """How many KV blocks a request needs on a rank of this kind, for its whole life."""
        tokens = spec.prompt_tokens
        if self.kind is not _CONTEXT:
            tokens += spec.output_tokens
        return -(-tokens // self.block_tokens)

    def objection(self, spec: RequestSpec) -> str:
        """Why a request can never be served here, as a text for its client; empty if it can."""
        needed = self.blocks_of(spec)
        if needed > self.usable_blocks:
            return f"needs {needed} KV blocks, a rank has {self.usable_blocks}"
        sent = prompt_blocks(spec, self.block_tokens)
        if sent > self.peer_blocks:
            return f"has {sent} blocks to send, max_inflight_blocks_per_peer is {self.peer_blocks}"
        if spec.wanted is not None and not 0 <= spec.wanted < self.ranks:
            return f"wants rank {spec.wanted} of {self.ranks}"
        if spec.wanted in self.gone:
            return f"wants rank {spec.wanted} of its instance, which has failed"
        return ""

    def ranks_of(
        self,
        statuses: Sequence[RankStatus],
        passed: Passed = (),
        not_yet: frozenset[int] = frozenset(),
    ) -> GroupRanks:
        """What the router knows of the ranks. Failed ones have no room; avoided ones have none for
        requests that do not insist on them; none has any for the requests that are `not_yet` to be
        bound."""
        if self.gone:
            statuses = self._by_index(statuses)
        ranks = GroupRanks(self, len(statuses))
        ranks.begin(passed, not_yet)
        trusted = True
        cached: list[Cached] = []
        doubted: list[Collection[int]] = []
        for rank, status in enumerate(statuses):
            ranks.hear(rank, status)
            if status.trust:
                trusted = False
            if status.cached:
                cached = cached or [{}] * len(statuses)
                cached[rank] = {(i, a): (n, used) for i, a, n, used in status.cached}
            if status.doubted:
                doubted = doubted or [()] * len(statuses)
                doubted[rank] = status.doubted
        ranks.cached, ranks.doubted = cached, doubted
        for rank in self.gone:
            ranks.close(rank)
        if not trusted:
            for rank, most in enumerate(self._advised(statuses)):
                ranks.advise(rank, most)
        return ranks

    def _by_index(self, living: Sequence[RankStatus]) -> list[RankStatus]:
        """The statuses by rank index, with nothing but room for nothing where a rank has failed."""
        assert len(living) == self.ranks - len(self.gone), "a status of each living rank"
        told = iter(living)
        return [_GONE if rank in self.gone else next(told) for rank in range(self.ranks)]

    def _advised(self, statuses: Sequence[RankStatus]) -> list[int]:
        """How many more requests each rank should get; the failed ones none."""
        living = [rank for rank in range(self.ranks) if rank not in self.gone]
        found = [0] * self.ranks
        trusts = [statuses[rank].trust for rank in living]
        for rank, most in zip(living, advice(trusts, self.most_requests), strict=True):
            found[rank] = most
        return found
