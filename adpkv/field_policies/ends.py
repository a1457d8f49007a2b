"""Policies about how a request, a rank or its dummy ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from adpkv.core.ownership import Replica
from adpkv.core.plan import Plan
from adpkv.core.request import RequestEvent, RequestState, ServedRequest
from adpkv.core.rules import Rules
from adpkv.core.session import Blocks, Event, Line, Role, Session, State
from adpkv.core.stop import StopReason
from adpkv.core.values import Cause, Outcome
from adpkv.errors import Place, RankProgramError
from adpkv.executor.collectives import CollectiveCounts
from adpkv.executor.generation import GenerationServing
from adpkv.executor.rank import Rank
from adpkv.executor.serving import Serving
from adpkv.exit_codes import ExitCode
from adpkv.field_policies.policy import NeverQuiet, Policy, with_lines

__all__ = [
    "ACTS_ON_ITS_OWN",
    "BOOLEAN_CANCEL",
    "DUMMY_ASSERTED",
    "FAIL_CLOSE",
    "LATE_SUCCESS_REVIVES",
    "LOCAL_SHUTDOWN",
]


class TellsOfTimeouts(Serving):
    """Calls `timed_out` for each request that times out."""

    timed_out: Callable[[int], None]

    def respond(
        self, request: ServedRequest, outcome: Outcome, now_ns: int, detail: str = "", **more: Any
    ) -> None:
        """Respond, and report a timeout."""
        super().respond(request, outcome, now_ns, detail, **more)
        if outcome is Outcome.TIMED_OUT:
            self.timed_out(request.spec.request_id)


class StopsForATimeout(NeverQuiet):
    """Proposes to stop when a request times out."""

    def __init__(self, rank: Rank, counts: Callable[[], CollectiveCounts]) -> None:
        super().__init__(rank, counts)
        assert isinstance(rank.serving, TellsOfTimeouts)
        rank.serving.timed_out = self._fail_close

    def _fail_close(self, request_id: int) -> None:
        why = f"request {request_id} timed out: fail closed"
        self.propose(StopReason(ExitCode.UNHEALTHY, why))


FAIL_CLOSE: Final = Policy(
    "A request that times out takes its worker down, to be restarted: every routine timeout does"
    " (#13706).",
    phases=StopsForATimeout,
    serving=TellsOfTimeouts,
)


class LeavesAlone(NeverQuiet):
    """A rank that wants to stop leaves its group at once."""

    async def sync(self) -> Plan:
        """Leave instead of proposing to stop, else sync."""
        if self.rank.proposal is not None:
            await self.leave()
        return await super().sync()


LOCAL_SHUTDOWN: Final = Policy(
    "A rank that wants to stop leaves, when it alone wants to (#16592).", phases=LeavesAlone
)


class ForgetsWhatIsInDoubt(Serving):
    """Forgets requests that ended while their blocks are in doubt."""

    def end(self, request: ServedRequest, event: RequestEvent, now_ns: int, *told: Any) -> None:
        """End the request, and forget it."""
        super().end(request, event, now_ns, *told)
        request_id = request.spec.request_id
        if self.pending_resource_release.pop(request_id, None) is not None:
            del self.requests[request_id]
            request.session = None


BOOLEAN_CANCEL: Final = Policy(
    "Cancel answers yes or no; after a no the request is on no list any more, and nobody gives its"
    " blocks back (#11715, #13672, #13673).",
    phases=NeverQuiet,
    serving=ForgetsWhatIsInDoubt,
)


def _revived(rules: Rules) -> Rules:
    line = Line(State.COMPLETE, Blocks.KEPT)
    return with_lines(rules, Role.RECEIVER, {(State.QUARANTINED, Event.DONE): line})


class Revives(GenerationServing):
    """Accepts a transfer that completes after its request was answered."""

    def received(self, request: ServedRequest, session: Session, now_ns: int) -> str:
        """Go on as if the request had not been answered."""
        if request.state is RequestState.ENDED:
            del self.pending_resource_release[request.spec.request_id]
            request.state = RequestState.RECEIVING
            self.open_tokens += request.tokens
            self.open_requests += 1
            self._admitted += 1
        return super().received(request, session, now_ns)


LATE_SUCCESS_REVIVES: Final = Policy(
    "A transfer that ends after its deadline is a success after all: its request, already answered,"
    " decodes and is answered again (#14633).",
    rules=_revived,
    phases=NeverQuiet,
    serving=Revives,
)


class TakesItsDummyEachTime(NeverQuiet):
    """Has no block of its own for its dummy: it takes one from the pool for each step."""

    def __init__(self, rank: Rank, counts: Callable[[], CollectiveCounts]) -> None:
        super().__init__(rank, counts)
        rank.serving.leases.free_dummy()

    async def step(self) -> None:
        """Step with a block from the pool, which is asserted to be there."""
        rank, serving = self.rank, self.rank.serving
        if serving.has_work():
            return await super().step()
        lease = serving.pool.acquire(1)
        if lease is None:
            place = Place(rank.rank, "step", "forward", rank.iteration)
            raise RankProgramError("assertion failed: there is a block for the dummy", place)
        await super().step()
        serving.pool.release(lease)
        return None


DUMMY_ASSERTED: Final = Policy(
    "An idle rank's dummy takes a block from the pool for each step, and that there is one is"
    " asserted (#17978, #16834).",
    phases=TakesItsDummyEachTime,
)


class ActsAlone(Replica):
    """A replica that decides as if it were the only owner of its requests."""

    def defer(
        self, request_id: int, outcome: Outcome, detail: str, cause: Cause = Cause.OTHER
    ) -> bool:
        """Never: what this rank noticed takes effect at once."""
        return False

    def may_free(self, request_id: int, quiescent: bool) -> bool:
        """As soon as this rank alone has proof that its blocks are quiet."""
        return quiescent


ACTS_ON_ITS_OWN: Final = Policy(
    "Each replica of a request acts on what it noticed itself: a deadline that passed on one rank"
    " only makes them disagree (#14746).",
    phases=NeverQuiet,
    replica=ActsAlone,
)
