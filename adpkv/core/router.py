"""The router: which rank of an instance gets which request. Pure, hence the same on each rank.

By tokens: the eligible rank with the fewest open tokens takes the next request, the lower rank in
a tie. A client's wish for a rank is honoured strictly: such a request waits for its rank, and
lets others pass meanwhile. Without ADP all ranks get each request (`replicate`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from adpkv.core.values import RequestSpec

__all__ = ["Load", "replicate", "route"]

Load = tuple[int, int]
"""(open tokens, open requests) of one rank."""


def route(
    waiting: Sequence[RequestSpec],
    loads: Sequence[Load],
    most_requests: int,
    tokens_of: Callable[[RequestSpec], int],
) -> tuple[dict[int, tuple[RequestSpec, ...]], tuple[RequestSpec, ...]]:
    """Assign what fits, in order of arrival: O(ranks + requests log ranks).

    Args:
        waiting: requests that no rank owns, oldest first.
        loads: one per rank of the group, as gathered.
        most_requests: how many open requests a rank may own.
        tokens_of: what a request weighs on this kind of instance.

    Returns:
        rank index -> its new requests, and those that go on waiting, in order.
    """
    tokens = [load[0] for load in loads]
    room = [most_requests - load[1] for load in loads]
    heap = [(tokens[i], i) for i in range(len(loads)) if room[i] > 0]
    heapq.heapify(heap)
    found: dict[int, list[RequestSpec]] = {}
    left: list[RequestSpec] = []
    last_wish: int | None = None
    for at, spec in enumerate(waiting):
        if spec.wanted is not None:
            rank = spec.wanted
            if room[rank] <= 0:
                left.append(spec)
                continue
        else:
            # An entry is stale once its rank was given more by name, or is full.
            while heap and (heap[0][0] != tokens[heap[0][1]] or room[heap[0][1]] <= 0):
                _, stale = heapq.heappop(heap)
                if room[stale] > 0:
                    heapq.heappush(heap, (tokens[stale], stale))
            if not heap:
                if last_wish is None:
                    last_wish = _last_wish(waiting)
                if at > last_wish:
                    left += waiting[at:]
                    break
                left.append(spec)
                continue
            rank = heap[0][1]
        tokens[rank] += tokens_of(spec)
        room[rank] -= 1
        found.setdefault(rank, []).append(spec)
    return {rank: tuple(specs) for rank, specs in sorted(found.items())}, tuple(left)


def replicate(
    waiting: Sequence[RequestSpec],
    loads: Sequence[Load],
    most_requests: int,
    tokens_of: Callable[[RequestSpec], int],
) -> tuple[dict[int, tuple[RequestSpec, ...]], tuple[RequestSpec, ...]]:
    """Give each request to all ranks, in order of arrival; the first rank counts the load.

    As `route`, but that a wish for a rank has no meaning, and tokens do not matter.
    """
    room = max(most_requests - loads[0][1], 0)
    given, left = tuple(waiting[:room]), tuple(waiting[room:])
    return (dict.fromkeys(range(len(loads)), given) if given else {}), left


def _last_wish(waiting: Sequence[RequestSpec]) -> int:
    """Where the last request stands that insists on a rank; -1 if none does."""
    return max((at for at, spec in enumerate(waiting) if spec.wanted is not None), default=-1)
