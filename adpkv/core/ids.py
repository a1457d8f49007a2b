"""The names that travel: requests, ranks, sessions."""

from __future__ import annotations

from typing import NewType

__all__ = ["COORDINATOR", "LAST_NS", "NEVER", "SOON_NS", "Rank", "RequestId", "SessionId"]

RequestId = NewType("RequestId", int)
"""What a client asked for, numbered by the coordinator in order of arrival."""

Rank = NewType("Rank", int)
"""A rank of the world (of all instances together), from 0."""

SessionId = tuple[RequestId, int]
"""(request, attempt): the attempt tells a late message about an earlier attempt of the id apart
(sgl-project/sglang #35049)."""

COORDINATOR = Rank(-1)
"""The address of the coordinator in a mailbox: it is a program, not a rank."""

NEVER = 1 << 62
"""A time that does not come (146 years of nanoseconds): deadlines compare as plain ints."""

SOON_NS = 1
"""The shortest time there is: what comes so long after an instant comes when that is over, in which
the order of those who act could be seen."""

LAST_NS = 10 * 365 * 24 * 3600 * 1_000_000_000
"""The largest time that is a time, ten years: no run goes on for longer, and no duration is longer.
Now and a dozen of the longest limits together are still before `NEVER`."""
