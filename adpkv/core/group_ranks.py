"""What is known of a group's ranks while requests are assigned to them, by rank index.

It is made of the statuses that the ranks brought to one sync, so it is the same on every rank. Each
assignment is subtracted at once, so the next request sees it. A request that was assigned gets its
blocks, its seat and its slot in the same iteration: between sync and apply a rank only loses
requests. Blocks that it shares with others count as theirs, so this holds whoever ends meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from adpkv.core.content import prompt_blocks
from adpkv.core.overtaking import Overtaking, Passed
from adpkv.core.rank_failure import Attempt
from adpkv.core.values import RequestSpec

if TYPE_CHECKING:
    from adpkv.core.group_limits import GroupLimits

__all__ = ["Cached", "GroupRanks", "Peers"]

_NOW: Final = 1 << 60
"""Later than any iteration: the turn of the first assignment of this plan."""

_ANY: Final = -_NOW
"""Fewer blocks than any rank has."""

Peers = Sequence[tuple[int, int, int]]
"""(sender, transfers, blocks) that a rank may begin with it."""

Cached = Mapping[Attempt, tuple[int, int]]
"""Request -> (blocks of its prompt in a rank's cache, how many of these others use now)."""


class GroupRanks:
    """The ranks of one group, and what each can still be given. Made anew for each plan.

    Args:
        costs: what a request costs on this kind of instance.
        tokens: open tokens by rank: of its requests that are not over.
        requests: open requests by rank.
        seats: how many more requests each rank may be given; 0 or less for none.
        advised: of these, how many may be requests that do not insist on the rank
            (`core.failure_memory`).
        turns: when each rank was given its last request: the iteration.
        blocks, slots: the free ones of each rank.
        peers: by rank: (sender, transfers, blocks) that it may begin with a sender with which it
            has some in flight; with others it has its whole share.
        cached: by rank. Without an entry nothing is known to be cached.
        passed: how often the waiting requests were overtaken by the last plan.
        doubted: by rank: the requests of which an earlier attempt is in doubt there. Empty where no
            request comes again.
        not_yet: requests of which the ranks have still to say that.
    """

    __slots__ = (
        "_most_blocks",
        "_now",
        "_open",
        "_opened",
        "_peers",
        "_shares",
        "advised",
        "blocks",
        "cached",
        "costs",
        "doubted",
        "not_yet",
        "overtaking",
        "requests",
        "seats",
        "slots",
        "tokens",
        "turns",
    )

    def __init__(
        self,
        costs: GroupLimits,
        *,
        tokens: list[int],
        requests: list[int],
        seats: list[int],
        advised: list[int],
        turns: list[int],
        blocks: list[int],
        slots: list[int],
        peers: Sequence[Peers],
        cached: Sequence[Cached] = (),
        passed: Passed = (),
        doubted: Sequence[Collection[int]] = (),
        not_yet: frozenset[int] = frozenset(),
    ) -> None:
        self.costs = costs
        self.tokens = tokens
        self.requests = requests
        self.seats = seats
        self.advised = advised
        self.turns = turns
        self.blocks = blocks
        self.slots = slots
        self._peers = peers
        self._shares: dict[int, dict[int, tuple[int, int]]] = {}
        """Rank -> sender -> (transfers, blocks) that it may begin with it now: of those ranks that
        were asked about one."""
        self.cached = cached
        self.doubted = doubted
        self.not_yet = not_yet
        self.overtaking = Overtaking(passed, costs.most_passed)
        self._now = _NOW
        self._most_blocks = 0
        """At least as many blocks as any open rank has."""
        self._opened: list[int] | None = None
        """The last answer of `open_ranks`; None where a rank was given something since."""
        self.unfit()
        self._open = len(self.open_ranks())
        """How many ranks may be given a request that insists on none."""

    def __len__(self) -> int:
        return len(self.seats)

    def open_ranks(self) -> Sequence[int]:
        """The ranks that may be given any request that insists on none, in order."""
        if self._opened is None:
            self._opened = [rank for rank in range(len(self.seats)) if self.is_open(rank)]
        return self._opened

    def is_open(self, rank: int) -> bool:
        """Whether the rank may be given any request that insists on none."""
        return self.seats[rank] > 0 and self.advised[rank] > 0 and self.slots[rank] > 0

    def has_room(self, wanted: int | None) -> bool:
        """Whether this rank can be given any request; None: whether any rank can."""
        if wanted is None:
            return self._open > 0
        return self.seats[wanted] > 0 and self.slots[wanted] > 0

    def may_fit(self, spec: RequestSpec) -> bool:
        """Whether any open rank may have the blocks for a request. O(1): ranks are only given
        requests, so the most that a rank had stays a bound. Call `unfit` where no rank had them."""
        if not self.costs.late or self.cached:
            return True
        return self.costs.blocks_of(spec) <= self._most_blocks

    def unfit(self) -> None:
        """A request that might have fitted did not: look the bound up again."""
        blocks, most = self.blocks, 0
        for rank in self.open_ranks():
            if blocks[rank] > most:
                most = blocks[rank]
        self._most_blocks = most

    def can_take(self, rank: int, spec: RequestSpec) -> bool:
        """Whether a rank has everything for this request now."""
        if self.seats[rank] <= 0 or self.slots[rank] <= 0:
            return False
        if spec.wanted is None and self.advised[rank] <= 0:
            return False
        if not self.costs.late:
            return True
        if spec.attempt and self.is_doubted(rank, spec):
            return False
        needed = self._needed(rank, spec) if self.cached else self.costs.blocks_of(spec)
        return needed <= self.blocks[rank] and (spec.sender is None or self.has_share(rank, spec))

    def is_doubted(self, rank: int, spec: RequestSpec) -> bool:
        """Whether an earlier attempt of the request is in doubt on the rank, as far as is known: it
        would have to wait there."""
        if not spec.attempt:
            return False
        if spec.request_id in self.not_yet:
            return True
        return bool(self.doubted) and spec.request_id in self.doubted[rank]

    def has_share(self, rank: int, spec: RequestSpec) -> bool:
        """Whether the rank may begin the request's transfer, as far as its sender goes."""
        if spec.sender is None or not self.costs.late:
            return True
        transfers, blocks = self._share(rank, spec.sender.rank)
        return transfers > 0 and prompt_blocks(spec, self.costs.block_tokens) <= blocks

    def _share(self, rank: int, sender: int) -> tuple[int, int]:
        shares = self._shares.get(rank)
        if shares is None:
            shares = {peer: (transfers, blocks) for peer, transfers, blocks in self._peers[rank]}
            self._shares[rank] = shares
        return shares.get(sender) or (self.costs.peer_transfers, self.costs.peer_blocks)

    def _needed(self, rank: int, spec: RequestSpec) -> int:
        """The free or unused blocks that the rank needs for the request."""
        needed = self.costs.blocks_of(spec)
        if self.cached:
            needed -= self.cached[rank].get((spec.request_id, spec.attempt), (0, 0))[1]
        return needed

    def needed(self, spec: RequestSpec) -> int:
        """The blocks that every rank needs for the request: those with fewer cannot take it. Very
        few where it depends on the rank, or on nothing but its seats."""
        if not self.costs.late or self.cached:
            return _ANY
        return self.costs.blocks_of(spec)

    def waits_for_doubt(self, spec: RequestSpec) -> bool:
        """Whether no rank may have the request whatever room it has. So it waits for none, and
        keeps nobody from any."""
        if not spec.attempt or not self.costs.late:
            return False
        every = range(len(self)) if spec.wanted is None else (spec.wanted,)
        return all(self.is_doubted(rank, spec) for rank in every if rank not in self.costs.gone)

    def give(self, rank: int, spec: RequestSpec) -> None:
        """A rank is given the request."""
        costs, seats, advised, slots = self.costs, self.seats, self.advised, self.slots
        was_open = seats[rank] > 0 and advised[rank] > 0 and slots[rank] > 0
        self.tokens[rank] += costs.tokens_of(spec)
        self.requests[rank] += 1
        seats[rank] -= 1
        advised[rank] -= 1
        self.turns[rank] = self._now
        self._now += 1
        if costs.late:
            self.blocks[rank] -= self._needed(rank, spec) if self.cached else costs.blocks_of(spec)
            if spec.sender is not None:
                transfers, blocks = self._share(rank, spec.sender.rank)
                blocks -= prompt_blocks(spec, costs.block_tokens)
                self._shares[rank][spec.sender.rank] = (transfers - 1, blocks)
                slots[rank] -= 1
        if was_open and not (seats[rank] > 0 and advised[rank] > 0 and slots[rank] > 0):
            self._open -= 1
            self._opened = None

    def close(self, rank: int) -> None:
        """The rank is given nothing more in this plan."""
        self._open -= self.is_open(rank)
        self._opened = None
        self.seats[rank] = 0

    def cached_tokens(self, rank: int, spec: RequestSpec) -> int:
        """How many tokens of the prompt a rank need not compute, as it has their KV. The last one
        is always computed, because the first output token follows from it."""
        if not self.cached:
            return 0
        blocks, _ = self.cached[rank].get((spec.request_id, spec.attempt), (0, 0))
        return min(blocks * self.costs.block_tokens, spec.prompt_tokens - 1)
