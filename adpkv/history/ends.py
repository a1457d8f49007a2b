"""Policies about how a request, a rank or its dummy ends."""

from __future__ import annotations

from typing import Any, Final

from adpkv.core.ownership import SoleOwner
from adpkv.core.plan import NO_STOP, Plan
from adpkv.core.request import RequestEvent, RequestState, ServedRequest
from adpkv.core.rules import Rules
from adpkv.core.session import Blocks, Event, Line, Role, Session, State
from adpkv.core.topology import Kind
from adpkv.core.values import Outcome
from adpkv.errors import Place, RankFailedError
from adpkv.executor.phases import Phases
from adpkv.exit_codes import ExitCode
from adpkv.history.policy import Policy, never_quiet, replace, with_lines

__all__ = [
    "ACTS_ON_ITS_OWN",
    "BOOLEAN_CANCEL",
    "DUMMY_ASSERTED",
    "FAIL_CLOSE",
    "LATE_SUCCESS_REVIVES",
    "LOCAL_SHUTDOWN",
]


def _fail_close(phases: Phases) -> None:
    serving, respond = phases.rank.serving, phases.rank.serving.respond

    def respond_and_stop(request: ServedRequest, outcome: Outcome, *rest: Any, **more: Any) -> None:
        respond(request, outcome, *rest, **more)
        if outcome is Outcome.TIMED_OUT:
            why = f"request {request.spec.request_id} timed out: fail closed"
            phases.propose(ExitCode.UNHEALTHY, why)

    never_quiet(phases)
    replace(serving, "respond", respond_and_stop)


FAIL_CLOSE: Final = Policy(
    "A request that times out takes its worker down, to be restarted: every routine timeout does"
    " (#13706).",
    install=_fail_close,
)


def _local_shutdown(phases: Phases) -> None:
    rank, sync = phases.rank, phases.sync

    async def sync_or_leave() -> Plan:
        if rank.proposal != NO_STOP:
            await phases.leave()
        return await sync()

    never_quiet(phases)
    replace(phases, "sync", sync_or_leave)


LOCAL_SHUTDOWN: Final = Policy(
    "A rank that wants to stop leaves, when it alone wants to (#16592).", install=_local_shutdown
)


def _boolean_cancel(phases: Phases) -> None:
    serving, end = phases.rank.serving, phases.rank.serving.end

    def end_and_forget(
        request: ServedRequest, event: RequestEvent, now_ns: int, *told: Any
    ) -> None:
        end(request, event, now_ns, *told)
        request_id = request.spec.request_id
        if serving.pending_resource_release.pop(request_id, None) is not None:
            del serving.requests[request_id]

    never_quiet(phases)
    replace(serving, "end", end_and_forget)


BOOLEAN_CANCEL: Final = Policy(
    "Cancel answers yes or no; after a no the request is on no list any more, and nobody gives its"
    " blocks back (#11715, #13672, #13673).",
    install=_boolean_cancel,
)


def _revived(rules: Rules) -> Rules:
    line = Line(State.COMPLETE, Blocks.KEPT)
    return with_lines(rules, Role.RECEIVER, {(State.QUARANTINED, Event.DONE): line})


def _revives(phases: Phases) -> None:
    serving: Any = phases.rank.serving
    if phases.rank.instance.kind is not Kind.GENERATION:
        return
    received = serving.received

    def received_however_late(request: ServedRequest, session: Session, now_ns: int) -> str:
        if request.state is RequestState.ENDED:
            del serving.pending_resource_release[request.spec.request_id]
            request.state = RequestState.RECEIVING
            serving.open_tokens += serving.limits.tokens_of(request.spec)
            serving.open_requests += 1
            serving._admitted += 1
        return str(received(request, session, now_ns))

    never_quiet(phases)
    replace(serving, "received", received_however_late)


LATE_SUCCESS_REVIVES: Final = Policy(
    "A transfer that ends after its deadline is a success after all: its request, already answered,"
    " decodes and is answered again (#14633).",
    rules=_revived,
    install=_revives,
)


def _dummy_asserted(phases: Phases) -> None:
    rank, step, serving = phases.rank, phases.step, phases.rank.serving
    serving.leases.free_dummy()

    async def step_with_dummy() -> None:
        if serving.has_work():
            return await step()
        lease = serving.pool.acquire(1)
        if lease is None:
            place = Place(rank.rank, "step", "forward", rank.iteration)
            raise RankFailedError("assertion failed: there is a block for the dummy", place)
        await step()
        serving.pool.release(lease)
        return None

    never_quiet(phases)
    replace(phases, "step", step_with_dummy)


DUMMY_ASSERTED: Final = Policy(
    "An idle rank's dummy takes a block from the pool for each step, and that there is one is"
    " asserted (#17978, #16834).",
    install=_dummy_asserted,
)


def _acts_on_its_own(phases: Phases) -> None:
    owner, alone = phases.rank.serving.owner, SoleOwner()
    never_quiet(phases)
    replace(owner, "keeps_back", alone.keeps_back)
    replace(owner, "lets_go", alone.lets_go)


ACTS_ON_ITS_OWN: Final = Policy(
    "Each replica of a request acts on what it noticed itself: a deadline that passed on one rank"
    " only parts them (#14746).",
    install=_acts_on_its_own,
)
