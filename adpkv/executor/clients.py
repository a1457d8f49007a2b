"""The clients of a job, as the coordinator meets them: what arrives when, what they cancel, how
long they wait, and what they send again.

A client that sends a request again is a new request to everybody, with the same content; its
record names the first one. The workload hears of a request's end once, when its client has an
answer or tries no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from adpkv.core.fleet import Fleet
from adpkv.core.ids import LAST_NS, NEVER
from adpkv.core.values import Outcome
from adpkv.executor.open_request import OpenRequest
from adpkv.heaps import heappop, heappush
from adpkv.workload.port import Arrival, Workload

__all__ = ["ASK_ALL", "Clients", "Gate", "Manners"]

BAD: Final = frozenset({Outcome.FAILED, Outcome.TIMED_OUT, Outcome.REFUSED})
"""After these a client tries again."""


@dataclass(frozen=True, slots=True)
class Manners:
    """How often clients try, and how much may wait."""

    attempts: int = 1
    pause_ns: int = 0
    most_requests: int | None = None
    most_tokens: int | None = None


ASK_ALL: Final = Manners()


class Gate:
    """Decides whether a request is admitted."""

    def __init__(self, manners: Manners, fleet: Fleet) -> None:
        self._manners = manners
        self._fleet = fleet
        self._ids: dict[str, int] = {}
        """Client id -> the open request that has it."""

    def objection(self, request: OpenRequest) -> str:
        """Why the request is refused; empty if it is admitted, which is noted."""
        arrival, manners = request.arrival, self._manners
        other = self._ids.get(arrival.client_id)
        if other is not None:
            return f"its client id is that of request {other}, which is open"
        if manners.most_requests is not None or manners.most_tokens is not None:
            full = self._is_full(arrival)
            if full:
                return full
        if arrival.client_id:
            self._ids[arrival.client_id] = request.request_id
        return ""

    def _is_full(self, arrival: Arrival) -> str:
        """Why too much waits already; empty if it does not. O(instances)."""
        requests, tokens = self._fleet.queued()
        if self._manners.most_requests is not None and requests >= self._manners.most_requests:
            each = "request waits for its" if requests == 1 else "requests wait for their"
            return f"{requests} {each} first token"
        most = self._manners.most_tokens
        if most is not None and requests and tokens + arrival.prompt_tokens > most:
            return f"{tokens} prompt tokens wait for their first token"
        return ""

    def ended(self, request: OpenRequest) -> None:
        """The request is over: its client may use its id again."""
        client_id = request.arrival.client_id
        if client_id and self._ids.get(client_id) == request.request_id:
            del self._ids[client_id]


class _Again(NamedTuple):
    """A request that will be sent again."""

    due_ns: int
    first: int
    number: int
    tries: int
    arrival: Arrival


class Clients:
    """The workload, with the times at which its clients do something about open requests."""

    def __init__(self, workload: Workload, manners: Manners) -> None:
        self._workload = workload
        self._manners = manners
        self._wishes: list[tuple[int, int, bool]] = []
        """(time, request, whether it is its client's deadline) of cancels to come."""
        self._again: list[_Again] = []
        self._taken = self._retries = 0
        self.arrival_ns = NEVER
        """When the next one arrives; `NEVER` before `begin` and after `close`."""
        self.next_ns = NEVER
        """When a client does something next: sends a request, or does not want one any more."""
        self._come = False
        self.submitted = 0

    @property
    def total(self) -> int:
        """How many requests there will be, with those that will be sent again so far."""
        return self._workload.total + self._retries

    @property
    def never_arrived(self) -> int:
        """How many requests the workload has still to submit, without those sent again."""
        return self._workload.total - self._taken

    @property
    def retries_due(self) -> int:
        """How many requests their clients have still to send again."""
        return len(self._again)

    def begin(self) -> None:
        """From now on requests arrive."""
        self._come = True
        self._look()

    def close(self) -> None:
        """No more requests arrive."""
        self._come = False
        self._look()

    def _look(self) -> None:
        """When something is due, now that a request was taken or is over: only then may the
        workload say something else."""
        due_ns = NEVER
        if self._come:
            due_ns = self._workload.due_ns()
            if self._again and self._again[0].due_ns < due_ns:
                due_ns = self._again[0].due_ns
        self.arrival_ns = self.next_ns = due_ns
        if self._wishes and self._wishes[0][0] < due_ns:
            self.next_ns = self._wishes[0][0]

    def take(self) -> OpenRequest:
        """The next request, that of `arrival_ns`; one that comes again is before others."""
        request = self._next()
        self.submitted += 1
        arrival = request.arrival
        if arrival.cancel_ns >= 0:
            heappush(self._wishes, (arrival.at_ns + arrival.cancel_ns, request.request_id, False))
        if arrival.deadline_ns >= 0:
            heappush(self._wishes, (arrival.at_ns + arrival.deadline_ns, request.request_id, True))
        self._look()
        return request

    def _next(self) -> OpenRequest:
        if not self._again or self._again[0].due_ns > self._workload.due_ns():
            request = OpenRequest(self.submitted, self._workload.take())
            request.number = self._taken
            self._taken += 1
            return request
        again = heappop(self._again)
        request = OpenRequest(self.submitted, again.arrival)
        request.number, request.tries, request.retry_of = again.number, again.tries, again.first
        return request

    def wishes(self, now_ns: int) -> list[tuple[int, bool]]:
        """(request, whether its client's deadline is over) of those that their clients do not want
        any more by now, also those that are over."""
        found = []
        while self._wishes and self._wishes[0][0] <= now_ns:
            _, request_id, gives_up = heappop(self._wishes)
            found.append((request_id, gives_up))
        if found:
            self._look()
        return found

    def ended(self, now_ns: int, request: OpenRequest, outcome: Outcome) -> None:
        """A client has its answer. It sends its request again, or the workload hears of it."""
        if outcome in BAD and self._tries_again(now_ns, request):
            self._send_again(now_ns, request)
        else:
            self._workload.ended(now_ns, request.number)
        self._look()

    def _send_again(self, now_ns: int, request: OpenRequest) -> None:
        due_ns = self._pause_end_ns(now_ns, request)
        first = request.request_id if request.retry_of < 0 else request.retry_of
        arrival = msgspec.structs.replace(request.arrival, at_ns=due_ns)
        again = _Again(due_ns, first, request.number, request.tries + 1, arrival)
        heappush(self._again, again)
        self._retries += 1

    def _tries_again(self, now_ns: int, request: OpenRequest) -> bool:
        cancelled = request.cancelled_ns >= 0 and not request.gave_up
        may_try = request.tries < self._manners.attempts
        return may_try and not cancelled and self._pause_end_ns(now_ns, request) <= LAST_NS

    def _pause_end_ns(self, now_ns: int, request: OpenRequest) -> int:
        return now_ns + (self._manners.pause_ns << min(request.tries - 1, 60))
