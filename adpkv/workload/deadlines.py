"""Clients that wait only so long for their answer."""

from __future__ import annotations

import msgspec

from adpkv.workload.given import having, whole
from adpkv.workload.port import Arrival, Workload

__all__ = ["Hurried"]


class Hurried:
    """Another workload, whose clients give up `deadline_ns` after their requests' arrival, unless
    they have a deadline of their own. Implements `Workload`."""

    def __init__(self, inner: Workload, deadline_ns: int) -> None:
        having("Hurried: inner", inner, "due_ns", "take", "ended")
        whole("Hurried: deadline_ns", deadline_ns)
        self.total = inner.total
        self.due_ns, self.ended = inner.due_ns, inner.ended
        self._inner, self._deadline_ns = inner, deadline_ns

    def take(self) -> Arrival:
        """Remove and return the next request."""
        arrival = self._inner.take()
        if arrival.deadline_ns >= 0:
            return arrival
        return msgspec.structs.replace(arrival, deadline_ns=self._deadline_ns)
