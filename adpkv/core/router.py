"""The router: which rank of an instance gets which request. Pure, so all ranks agree.

A policy decides among the ranks that have room for the request now: blocks, a seat, a slot. While
none has, it waits in its instance, and is bound to no rank. Equal ranks take turns: the one whose
last request is the longest ago comes first. A request whose client insists on a rank waits for that
rank, and later requests may pass it. Without ADP all ranks get each request (`replicate`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, SupportsIndex

from adpkv.core.group_ranks import GroupRanks
from adpkv.core.values import RequestSpec
from adpkv.core.waiting import Lane, Waiting, lane_of
from adpkv.errors import UsageError
from adpkv.heaps import heapify, heappop, heapreplace

__all__ = [
    "LOOKED_AT",
    "LOOKED_PAST",
    "POLICIES",
    "WANTS_CACHED",
    "Choose",
    "Load",
    "Router",
    "blind",
    "by_load",
    "candidates",
    "replicate",
    "routed_by",
]

Load = tuple[int, int]
"""(open tokens, open requests) of one rank."""

Choose = Callable[[RequestSpec, Sequence[Load], Sequence[int]], int | None]
"""A custom routing policy: from a request that insists on no rank, each rank's load and each rank's
room (in requests), choose the index of the rank that gets it, or None to let it wait."""

Routed = tuple[dict[int, tuple[RequestSpec, ...]], Waiting]
"""(rank index -> its new requests, the requests that still wait, in order)."""

Router = Callable[[Waiting, GroupRanks], Routed]
"""Assigns the requests for which there is room: from those that no rank owns, oldest first, and the
group's ranks, on which each assignment is noted."""

Pick = Callable[[GroupRanks, RequestSpec], int | None]
"""A rank that can take a request which insists on none; None if it has to wait."""

LOOKED_PAST: Final = 8
"""How many requests of a lane that find no room one plan looks at."""

FEW: Final = 32
"""A queue of so many is looked through as it is; a longer one by its lanes, where not all find
room."""

LOOKED_AT: Final = 32
"""For how many requests the ranks say what they have cached."""


def _assign(waiting: Waiting, ranks: GroupRanks, pick: Pick) -> Routed:
    """Assign in order of arrival. Costs O(assigned + lanes * LOOKED_PAST) calls of `pick`, however
    many wait, but for those that wait for a doubt to end: no more than transfers can be in doubt.

    A later request may be assigned before one that finds no room, but only so often: then ranks
    wait for that one (`core.overtaking`).
    """
    left: dict[Lane, int] = {}
    taken: list[int] = []
    found: dict[int, list[RequestSpec]] = {}
    few = waiting.count <= FEW
    for place in waiting.places() if few else _in_order(waiting, ranks, left):
        spec = waiting[place]
        if left and not left.get(lane_of(spec), LOOKED_PAST):
            continue
        if not ranks.has_room(spec.wanted):
            left[lane_of(spec)] = 0
            continue
        rank = _rank_for(spec, ranks, pick)
        if rank is not None:
            ranks.give(rank, spec)
            ranks.overtaking.assigned(ranks, rank, spec)
            found.setdefault(rank, []).append(spec)
            taken.append(place)
        elif not ranks.waits_for_doubt(spec):
            lane = lane_of(spec)
            ends = ranks.overtaking.waits(ranks, spec)
            left[lane] = 0 if ends else left.get(lane, LOOKED_PAST) - 1
    assigned = {rank: tuple(specs) for rank, specs in sorted(found.items())}
    return assigned, waiting.without(taken)


def _in_order(waiting: Waiting, ranks: GroupRanks, left: Mapping[Lane, int]) -> Iterator[int]:
    """The places of those that wait, in order. Once one of them has found no room, only as many of
    each lane as it has `left`, which may change after each, and as there is room for."""
    seen = -1
    for place in waiting.places():
        if left or not ranks.has_room(None):
            break
        yield place
        seen = place
    else:
        return
    lanes: dict[Lane, Iterator[int]] = {}
    heads: list[tuple[int, Lane]] = []
    for lane in waiting.lanes():
        if left.get(lane, LOOKED_PAST):
            lanes[lane] = places = waiting.lane(lane)
            place = next((place for place in places if place > seen), -1)
            if place >= 0:
                heads.append((place, lane))
    heapify(heads)
    while heads:
        place, lane = heads[0]
        following = None
        if ranks.has_room(lane[0]):
            yield place
            if left.get(lane, LOOKED_PAST):
                following = next(lanes[lane], None)
        if following is None:
            heappop(heads)
        else:
            heapreplace(heads, (following, lane))


def _rank_for(spec: RequestSpec, ranks: GroupRanks, pick: Pick) -> int | None:
    """The rank that is given the request now; None if it has to wait."""
    if spec.wanted is not None:
        return spec.wanted if ranks.can_take(spec.wanted, spec) else None
    if not ranks.may_fit(spec):
        return None
    rank = pick(ranks, spec)
    if rank is None:
        ranks.unfit()
    return rank


def by_load(waiting: Waiting, ranks: GroupRanks) -> Routed:
    """`load`: the rank with the fewest open tokens."""
    return _assign(waiting, ranks, ranks.in_order_of(ranks.tokens, ranks.turns).first)


def blind(waiting: Waiting, ranks: GroupRanks) -> Routed:
    """The fewest open tokens, and in a tie the lower rank: what a field policy keeps."""
    return _assign(waiting, ranks, ranks.in_order_of(ranks.tokens, ranks.equal).first)


def round_robin(waiting: Waiting, ranks: GroupRanks) -> Routed:
    """`round_robin`: the rank whose last request is the longest ago, whatever it has to do."""
    return _assign(waiting, ranks, ranks.in_order_of(ranks.turns, ranks.equal).first)


def power_of_two(waiting: Waiting, ranks: GroupRanks) -> Routed:
    """`power_of_two`: of two ranks drawn for the request, the one with fewer open tokens
    (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing)."""

    def pick(ranks: GroupRanks, spec: RequestSpec) -> int | None:
        able = [rank for rank in range(len(ranks)) if ranks.can_take(rank, spec)]
        if len(able) > 1:
            able = _two_of(able, spec)
        return min(able, key=lambda r: (ranks.tokens[r], ranks.turns[r], r), default=None)

    return _assign(waiting, ranks, pick)


def _two_of(able: Sequence[int], spec: RequestSpec) -> list[int]:
    """Two different ones of them, drawn by the request's id: the same on every rank."""
    drawn = _mixed(spec.request_id << 16 ^ spec.attempt)
    first = drawn % len(able)
    second = (first + 1 + (drawn >> 32) % (len(able) - 1)) % len(able)
    return [able[first], able[second]]


def _mixed(value: int) -> int:
    """64 bits that look random (the finalizer of SplitMix64)."""
    value = (value + 0x9E3779B97F4A7C15) & _64_BITS
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _64_BITS
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _64_BITS
    return value ^ (value >> 31)


_64_BITS: Final = (1 << 64) - 1


def by_prefix(waiting: Waiting, ranks: GroupRanks) -> Routed:
    """`prefix`: the rank that would have the request's first token soonest, by tokens: its open
    ones, and those of the prompt that it has not cached.

    So a cached prefix attracts requests until its rank has as many more open tokens than another
    one as the prefix saves. Without a cached prefix this is `load`.
    """

    def pick(ranks: GroupRanks, spec: RequestSpec) -> int | None:
        able = [rank for rank in range(len(ranks)) if ranks.can_take(rank, spec)]
        return min(
            able,
            key=lambda r: (ranks.tokens[r] - ranks.cached_tokens(r, spec), ranks.turns[r], r),
            default=None,
        )

    return _assign(waiting, ranks, pick)


POLICIES: Final[Mapping[str, Router]] = {
    "load": by_load,
    "prefix": by_prefix,
    "round_robin": round_robin,
    "power_of_two": power_of_two,
}
"""The values of `router.policy` that are ours."""

WANTS_CACHED: Final = by_prefix
"""The policy for which the ranks say what they have cached of the requests that are to be routed.
"""


def candidates(waiting: Waiting, new: Iterable[RequestSpec], most: int) -> tuple[RequestSpec, ...]:
    """The requests for which the ranks say what they have cached: the first ones that insist on no
    rank, those that wait already and then the `new` ones."""
    found = waiting.foremost(most)
    more = [*islice((spec for spec in new if spec.wanted is None), most - len(found))]
    return (*found, *more) if more else found


def replicate(waiting: Waiting, ranks: GroupRanks) -> Routed:
    """Give each request to all ranks, in order of arrival, as the first rank has room.

    `RequestSpec.wanted` and tokens are ignored.
    """
    taken = [*islice(waiting.places(), max(ranks.seats[0], 0))]
    given = tuple(waiting[place] for place in taken)
    return (dict.fromkeys(range(len(ranks)), given) if given else {}), waiting.without(taken)


def routed_by(choose: Choose, who: str = "the policy") -> Router:
    """A router with `choose` as its policy, which is `who` in the text of an error.

    `choose` is called for each request that insists on no rank, in order of arrival, as long as a
    rank has room; and for at most `LOOKED_PAST` that it lets wait.

    Raises:
        UsageError: (the router) `choose` returned something else than a rank index or None.
    """

    def routed(waiting: Waiting, ranks: GroupRanks) -> Routed:
        def pick(ranks: GroupRanks, spec: RequestSpec) -> int | None:
            loads = tuple(zip(ranks.tokens, ranks.requests, strict=True))
            room = tuple(
                min(ranks.seats[rank], ranks.advised[rank]) if ranks.can_take(rank, spec) else 0
                for rank in range(len(ranks))
            )
            rank = _checked(choose(spec, loads, room), len(ranks), who)
            return rank if rank is not None and ranks.can_take(rank, spec) else None

        return _assign(waiting, ranks, pick)

    return routed


def _checked(rank: object, ranks: int, who: str) -> int | None:
    """The index as an int; other integers, as numpy's, count too."""
    if rank is None:
        return None
    index = -1 if isinstance(rank, bool) or not isinstance(rank, SupportsIndex) else int(rank)
    if not 0 <= index < ranks:
        raise UsageError(f"{who} chose rank {rank!r} of an instance with {ranks}")
    return index
