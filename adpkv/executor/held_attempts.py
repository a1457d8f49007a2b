"""New attempts of requests whose earlier attempt is still in doubt on the same rank.

A request that was lost with a failed rank is computed again, as a new attempt. The rank that gets
it may be the one that still has the earlier attempt's blocks in quarantine. One id is in one place
on a rank, so the new attempt waits here until that doubt has ended; then it queues as any other
request. It is not refused: the doubt of a failed peer ends as soon as the transport has fenced it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from adpkv.core.rank_failure import Attempt
from adpkv.core.request import RequestEvent, ServedRequest
from adpkv.executor.messages import CancelTransfer
from adpkv.executor.ports import Mailbox

if TYPE_CHECKING:
    from adpkv.executor.serving import Serving

__all__ = ["HeldAttempts"]


class HeldAttempts:
    """The requests of one rank that wait for the end of their own earlier attempt. They count as
    its load, and are answered like the others when they end here."""

    def __init__(self, serving: Serving, mailbox: Mailbox) -> None:
        self._serving = serving
        self._mailbox = mailbox
        self.by_request: dict[int, ServedRequest] = {}
        """Read only: whether any are held is asked for in each iteration."""

    def add(self, request: ServedRequest) -> None:
        """Keep a request that is assigned to this rank, where its earlier attempt still is."""
        self.by_request[request.spec.request_id] = request
        self._serving.recorder.event("held_back", request.spec.request_id)

    def let_in(self, now_ns: int) -> None:
        """Queue the requests whose earlier attempt is released, in the order in which they came."""
        ready = [one for one in self.by_request if one not in self._serving.requests]
        for request_id in ready:
            self._serving.queue(self.by_request.pop(request_id), now_ns)

    def end(self, request_id: int, event: RequestEvent, now_ns: int, detail: str) -> None:
        """End a held request: answer it, and tell the sender of its KV to free it. Ignored if the
        request is not held."""
        request = self.by_request.pop(request_id, None)
        if request is None:
            return
        outcome = request.fire(event)
        assert outcome is not None
        self._serving.respond(request, outcome, now_ns, detail)
        self._serving.closed(request)
        spec = request.spec
        if spec.sender is not None:
            self._mailbox.send(spec.sender.rank, CancelTransfer(spec.request_id, spec.attempt))

    def stop(self, now_ns: int, detail: str) -> None:
        """The instance stops: end all of them."""
        for request_id in list(self.by_request):
            self.end(request_id, RequestEvent.STOP, now_ns, detail)

    def requests(self) -> Iterable[ServedRequest]:
        """Each of them."""
        return self.by_request.values()

    def attempts(self) -> set[Attempt]:
        """(request, attempt) of each of them."""
        return {(one.spec.request_id, one.spec.attempt) for one in self.by_request.values()}
