"""The router: which rank of an instance gets which request. Pure, so all ranks agree.

The next request goes to the rank with room that has the fewest open tokens; in a tie, to the lower
rank. A request whose client insists on a rank waits for that rank, and later requests may pass it.
Without ADP all ranks get each request (`replicate`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import islice

from adpkv.core.values import RequestSpec
from adpkv.core.waiting import Waiting
from adpkv.errors import UsageError

__all__ = ["Choose", "Load", "replicate", "route", "routed_by"]

Load = tuple[int, int]
"""(open tokens, open requests) of one rank."""

Choose = Callable[[RequestSpec, Sequence[Load], Sequence[int]], int | None]
"""A routing policy: from a request that insists on no rank, each rank's load and each rank's room
(in requests), choose the index of the rank that gets it, or None to let it wait."""

Routed = tuple[dict[int, tuple[RequestSpec, ...]], Waiting]


def route(
    waiting: Waiting,
    loads: Sequence[Load],
    most_requests: int,
    tokens_of: Callable[[RequestSpec], int],
) -> tuple[dict[int, tuple[RequestSpec, ...]], Waiting]:
    """Assign the requests for which there is room, in order of arrival.

    Costs O(ranks + assigned requests * log ranks), however many wait.

    Args:
        waiting: requests that no rank owns, oldest first.
        loads: the load of each rank of the group, by index.
        most_requests: how many open requests a rank may own.
        tokens_of: the tokens that a request costs on this kind of instance.

    Returns:
        (rank index -> its new requests, the requests that still wait, in order).
    """
    tokens = [load[0] for load in loads]
    room = [most_requests - load[1] for load in loads]
    least = [(tokens[i], i) for i in range(len(loads)) if room[i] > 0]
    heapq.heapify(least)
    lanes = {wanted: waiting.lane(wanted) for wanted in waiting.wishes()}
    # A lane is the queue of the requests that want the same rank. Only its first one can be next.
    heads = [(next(lane), wanted) for wanted, lane in lanes.items()]
    heapq.heapify(heads)
    taken: list[int] = []
    found: dict[int, list[RequestSpec]] = {}
    while heads:
        place, wanted = heads[0]
        rank = _least_loaded(least, tokens, room) if wanted is None else wanted
        if rank is None or room[rank] <= 0:
            heapq.heappop(heads)
            continue
        spec = waiting[place]
        tokens[rank] += tokens_of(spec)
        room[rank] -= 1
        found.setdefault(rank, []).append(spec)
        taken.append(place)
        following = next(lanes[wanted], None)
        if following is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (following, wanted))
    assigned = {rank: tuple(specs) for rank, specs in sorted(found.items())}
    return assigned, waiting.without(taken)


def _least_loaded(
    least: list[tuple[int, int]], tokens: Sequence[int], room: Sequence[int]
) -> int | None:
    """The rank with the fewest tokens that has room; None if no rank has room.

    An entry of the heap is stale once its rank was given a request or is full; stale entries at the
    top are corrected or dropped.
    """
    while least:
        noted, rank = least[0]
        if room[rank] <= 0:
            heapq.heappop(least)
        elif noted != tokens[rank]:
            heapq.heapreplace(least, (tokens[rank], rank))
        else:
            return rank
    return None


def replicate(
    waiting: Waiting,
    loads: Sequence[Load],
    most_requests: int,
    tokens_of: Callable[[RequestSpec], int],
) -> tuple[dict[int, tuple[RequestSpec, ...]], Waiting]:
    """Give each request to all ranks, in order of arrival, as the first rank has room.

    Arguments and result are those of `route`. `RequestSpec.wanted` and tokens are ignored.
    """
    room = max(most_requests - loads[0][1], 0)
    taken = [*islice(waiting.places(), room)]
    given = tuple(waiting[place] for place in taken)
    return (dict.fromkeys(range(len(loads)), given) if given else {}), waiting.without(taken)


def routed_by(
    choose: Choose,
) -> Callable[[Waiting, Sequence[Load], int, Callable[[RequestSpec], int]], Routed]:
    """A router like `route`, with `choose` as its policy.

    `choose` is called for each request that insists on no rank, in order of arrival, as long as a
    rank has room. Costs O(waiting requests), and O(1) if no rank has room.

    Raises:
        UsageError: (the router) `choose` returned something else than a rank index or None.
    """

    def routed(
        waiting: Waiting,
        loads: Sequence[Load],
        most_requests: int,
        tokens_of: Callable[[RequestSpec], int],
    ) -> Routed:
        now = list(loads)
        room = [most_requests - load[1] for load in loads]
        free = sum(max(one, 0) for one in room)
        found: dict[int, list[RequestSpec]] = {}
        taken: list[int] = []
        for place in waiting.places():
            if not free:
                break
            spec = waiting[place]
            rank = spec.wanted
            if rank is None:
                rank = _checked(choose(spec, tuple(now), tuple(room)), len(room))
            if rank is None or room[rank] <= 0:
                continue
            now[rank] = (now[rank][0] + tokens_of(spec), now[rank][1] + 1)
            room[rank] -= 1
            free -= 1
            found.setdefault(rank, []).append(spec)
            taken.append(place)
        assigned = {rank: tuple(specs) for rank, specs in sorted(found.items())}
        return assigned, waiting.without(taken)

    return routed


def _checked(rank: object, ranks: int) -> int | None:
    if rank is not None and (not isinstance(rank, int) or not 0 <= rank < ranks):
        raise UsageError(f"the policy chose rank {rank!r} of an instance with {ranks}")
    return rank
