"""Identifiers of requests, ranks and sessions, and special values of time."""

from __future__ import annotations

from typing import Final, NewType

__all__ = ["COORDINATOR", "LAST_NS", "NEVER", "SOON_NS", "Rank", "RequestId", "SessionId"]

RequestId = NewType("RequestId", int)
"""The number of a request: the coordinator counts them from 0 in order of arrival."""

Rank = NewType("Rank", int)
"""A world rank: a rank's number among all instances together, from 0."""

SessionId = tuple[RequestId, int]
"""(request, attempt). With the attempt, a late message about an earlier attempt of the same request
is recognised (sgl-project/sglang #35049)."""

COORDINATOR: Final = Rank(-1)
"""The coordinator's address in a mailbox: the coordinator is a program of its own, not a rank."""

NEVER: Final = (1 << 62) - 1
"""A time that is never reached (146 years in nanoseconds), so that deadlines are plain integers. It
is the largest that compiled code has without an object."""

SOON_NS: Final = 1
"""The shortest duration. An effect of what a rank does is put this much later, so that the order in
which ranks act at one instant of virtual time makes no difference."""

LAST_NS: Final = 10 * 365 * 24 * 3600 * 1_000_000_000
"""The largest time and duration: ten years. No run is longer. Now plus a dozen of the longest
durations is still less than `NEVER`."""
