"""Whether each request began at once on the rank to which it was bound (contract 9.1).

A request that waits bound may wait beside an idle rank. It is no failure to anybody else, unless it
waits for too long.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

__all__ = ["waited_bound"]

Event = tuple[int, int, str, int, dict[str, Any]]
"""(at_ns, rank, kind, request, detail)"""


def waited_bound(events: Sequence[Event], lost: Collection[int]) -> list[str]:
    """A text for each request that did not begin, or end, at the instant at which it was bound.
    Those that were bound to a rank that is `lost` may never begin."""
    given: dict[tuple[int, int], int] = {}
    found = []
    for at_ns, rank, kind, request, _ in events:
        whom = (rank, request)
        if kind == "assigned":
            given[whom] = at_ns
        elif kind != "probed" and whom in given:
            at_once = at_ns == given.pop(whom) and kind != "held_back"
            if not at_once:
                found.append(f"request {request} was bound to rank {rank}, and waited there")
    never = [whom for whom in given if whom[0] not in lost]
    return found + [
        f"request {request} was bound to rank {rank} for ever" for rank, request in never
    ]
