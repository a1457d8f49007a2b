"""What is known of a group's ranks while requests are assigned to them, by rank index.

It is what the statuses say that the ranks brought to a sync, so it is the same on every rank. Each
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
from adpkv.core.rank_order import RankOrder
from adpkv.core.rank_status import NO_LIMIT, RankStatus
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
    """The ranks of one group, and what each can still be given. It outlives a plan: what a rank was
    given is in what it says next (`hear`), and nothing else is looked at again.

    Args:
        costs: what a request costs on this kind of instance.
        ranks: how many there are. None has room before it was heard.
    """

    __slots__ = (
        "_most_blocks", "_now", "_open", "_opened", "_order", "_peers", "_shares", "advised",
        "blocks", "cached", "costs", "doubted", "equal", "given", "not_yet", "overtaking",
        "requests", "seats", "slots", "tokens", "turns",
    )  # fmt: skip

    def __init__(self, costs: GroupLimits, ranks: int) -> None:
        self.costs = costs
        self.tokens = [0] * ranks
        """Open tokens by rank: of its requests that are not over."""
        self.requests = [0] * ranks
        """Open requests by rank."""
        self.seats = [0] * ranks
        """How many more requests each rank may be given; 0 or less for none."""
        self.advised = [costs.most_requests] * ranks
        """Of these, how many may be requests that do not insist on the rank
        (`core.failure_memory`)."""
        self.turns = [0] * ranks
        """When each rank was given its last request: the iteration."""
        self.blocks = [0] * ranks
        """The free ones of each rank; `slots` too."""
        self.slots = [0] * ranks
        self.equal = [0] * ranks
        """A column that tells no rank from another."""
        self._peers: list[Peers] = [()] * ranks
        """By rank: (sender, transfers, blocks) that it may begin with a sender with which it has
        some in flight; with others it has its whole share."""
        self._shares: dict[int, dict[int, tuple[int, int]]] = {}
        """Rank -> sender -> (transfers, blocks) that it may begin with it now: of those ranks that
        were asked about one."""
        self.cached: Sequence[Cached] = ()
        """By rank. Without an entry nothing is known to be cached."""
        self.doubted: Sequence[Collection[int]] = ()
        """By rank: the requests of which an earlier attempt is in doubt there. Empty where no
        request comes again."""
        self.given: list[int] = []
        """The ranks of which this says less than they said: they were given something, or closed.
        """
        self._most_blocks = 0
        """At least as many blocks as any open rank has."""
        self._opened: list[int] | None = None
        """The last answer of `open_ranks`; None where a rank was given something since."""
        self._open = 0
        """How many ranks may be given a request that insists on none."""
        self._order: RankOrder | None = None
        self.begin()

    def begin(self, passed: Passed = (), not_yet: frozenset[int] = frozenset()) -> None:
        """A plan begins.

        Args:
            passed: how often the waiting requests were overtaken by the last plan.
            not_yet: requests of which the ranks have still to say whether an earlier attempt is in
                doubt.
        """
        self.overtaking = Overtaking(passed, self.costs.most_passed)
        self.not_yet = not_yet
        self._now = _NOW

    def hear(self, rank: int, status: RankStatus) -> None:
        """This is what the rank says; what is odd of it (`RankStatus.is_odd`) is told besides."""
        costs, seats, advised, slots = self.costs, self.seats, self.advised, self.slots
        was_open = seats[rank] > 0 and advised[rank] > 0 and slots[rank] > 0
        requests, free, most = status.requests, status.slots, costs.most_requests
        left = most - requests
        if not costs.late:
            free = NO_LIMIT
        elif status.seats < left:
            left = status.seats
        self.tokens[rank] = status.tokens
        self.requests[rank] = requests
        seats[rank], advised[rank], slots[rank] = left, most, free
        self.turns[rank] = status.turn
        self.blocks[rank] = blocks = status.blocks
        self._peers[rank] = status.peers
        if self._shares:
            self._shares.pop(rank, None)
        if blocks > self._most_blocks:
            self._most_blocks = blocks
        is_open = left > 0 and most > 0 and free > 0
        if is_open is not was_open:
            self._open += 1 if is_open else -1
            self._opened = None
        if is_open and self._order is not None:
            self._order.renew(rank)

    def advise(self, rank: int, most: int) -> None:
        """This rank should get no more than so many requests that do not insist on it."""
        self._open -= self.is_open(rank)
        self.advised[rank] = most
        self._open += self.is_open(rank)
        self._opened = None

    def in_order_of(self, column: list[int], then: list[int]) -> RankOrder:
        """The ranks in the order of these two columns of this."""
        order = self._order
        if order is None or not order.is_by(column, then):
            order = self._order = RankOrder(column, then)
            for rank in self.open_ranks():
                order.renew(rank)
        return order

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
        self.given.append(rank)
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
        self.given.append(rank)
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
