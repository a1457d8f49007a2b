"""What is known of a group's ranks while requests are assigned to them, by rank index.

It is made of the statuses that the ranks brought to one sync, so it is the same on every rank. Each
assignment is subtracted at once, so the next request sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from adpkv.core.rank_failure import Attempt
from adpkv.core.values import RequestSpec

__all__ = ["GroupRanks"]

_NOW = 1 << 60
"""Later than any iteration: the turn of the first assignment of this plan."""


@dataclass(slots=True)
class GroupRanks:
    """The ranks of one group, and what each can still be given."""

    tokens: list[int]
    """Open tokens: of each rank's requests that are not over."""
    requests: list[int]
    """Open requests of each rank."""
    seats: list[int]
    """How many more requests each rank may be given; 0 or less for none."""
    advised: list[int]
    """Of these, how many may be requests that do not insist on the rank (`core.failure_memory`)."""
    turns: list[int]
    """When each rank was given its last request: the iteration."""
    tokens_of: Callable[[RequestSpec], int]
    """The tokens that a request costs on this kind of instance."""
    block_tokens: int = 1
    cached: Sequence[Mapping[Attempt, int]] = ()
    """By rank: request -> how many blocks of its prompt the rank has in its prefix cache. Without
    an entry none is known."""
    _now: count[int] = field(default_factory=lambda: count(_NOW))
    _free: int = field(init=False)
    """How many ranks may be given a request that insists on none."""

    def __post_init__(self) -> None:
        self._free = sum(1 for rank in range(len(self)) if self.is_open(rank))

    def __len__(self) -> int:
        return len(self.seats)

    def is_open(self, rank: int) -> bool:
        """Whether the rank may be given any request that insists on none."""
        return self.seats[rank] > 0 and self.advised[rank] > 0

    def has_room(self, rank: int | None) -> bool:
        """Whether this rank can be given any request; None: whether any rank can."""
        return self._free > 0 if rank is None else self.seats[rank] > 0

    def can_take(self, rank: int, spec: RequestSpec) -> bool:
        """Whether a rank can be given this request now."""
        return self.seats[rank] > 0 if spec.wanted is not None else self.is_open(rank)

    def give(self, rank: int, spec: RequestSpec) -> None:
        """A rank is given the request."""
        self.tokens[rank] += self.tokens_of(spec)
        self.requests[rank] += 1
        was_open = self.is_open(rank)
        self.seats[rank] -= 1
        self.advised[rank] -= 1
        self._free -= was_open and not self.is_open(rank)
        self.turns[rank] = next(self._now)

    def cached_tokens(self, rank: int, spec: RequestSpec) -> int:
        """How many tokens of the prompt a rank need not compute, as it has their KV. The last one
        is always computed, because the first output token follows from it."""
        if not self.cached:
            return 0
        blocks = self.cached[rank].get((spec.request_id, spec.attempt), 0)
        return min(blocks * self.block_tokens, spec.prompt_tokens - 1)
