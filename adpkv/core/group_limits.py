"""A group's fixed properties, as `agree` needs them: what a rank holds, how requests are routed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from adpkv.core.content import blocks_for, prompt_blocks
from adpkv.core.failure_memory import advice
from adpkv.core.group_ranks import GroupRanks
from adpkv.core.rank_failure import Attempt
from adpkv.core.rank_status import RankStatus
from adpkv.core.router import Router, by_load
from adpkv.core.topology import Kind
from adpkv.core.values import RequestSpec

__all__ = ["GroupLimits"]

T = TypeVar("T")


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
    route: Router = by_load
    """Decides which rank gets which request."""
    asks_cached: bool = False
    """Whether the ranks say what they have cached of the requests that are to be routed."""
    gone: frozenset[int] = frozenset()
    """Indices of the group's failed ranks; the indices of the others do not change."""

    def tokens_of(self, spec: RequestSpec) -> int:
        """A request's weight for the router: the tokens that it costs on this kind of instance."""
        if self.kind is Kind.CONTEXT:
            return spec.prompt_tokens
        return spec.prompt_tokens + spec.output_tokens

    def blocks_of(self, spec: RequestSpec) -> int:
        """How many KV blocks a request needs on a rank of this kind, for its whole life."""
        return blocks_for(self.tokens_of(spec), self.block_tokens)

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

    def ranks_of(self, statuses: Sequence[RankStatus]) -> GroupRanks:
        """What the router knows of the ranks. Failed ones have no room; avoided ones have none for
        requests that do not insist on them."""
        indices = [i for i in range(self.ranks) if i not in self.gone] if self.gone else None
        cached: list[Mapping[Attempt, int]] = [
            {(i, a): n for i, a, n in status.cached} for status in statuses
        ]
        return GroupRanks(
            self._by_index([status.tokens for status in statuses], indices, 0),
            self._by_index([status.requests for status in statuses], indices, 0),
            self._by_index([self.most_requests - one.requests for one in statuses], indices, 0),
            self._by_index(
                advice([status.trust for status in statuses], self.most_requests), indices, 0
            ),
            self._by_index([status.turn for status in statuses], indices, 0),
            self.tokens_of,
            self.block_tokens,
            self._by_index(cached, indices, {}) if any(cached) else (),
        )

    def _by_index(self, found: list[T], indices: Sequence[int] | None, gone: T) -> list[T]:
        """A value of each living rank, as a list by rank index, with `gone` for the failed ones."""
        if indices is None:
            return found
        every = [gone] * self.ranks
        for index, value in zip(indices, found, strict=True):
            every[index] = value
        return every
