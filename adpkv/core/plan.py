"""`agree`: what a group does in this iteration, as a pure function of its ranks' gathered statuses.

Every rank evaluates it over the same values and so gets the same plan (contract 5.4): which rank
gets which request, whether a forward step runs, and whether and with which code the group stops.
The plan also carries the queue of requests that no rank owns yet, so no rank keeps its own copy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from adpkv.core.group_limits import GroupLimits
from adpkv.core.group_statuses import GroupStatuses
from adpkv.core.overtaking import Passed
from adpkv.core.ownership import Vote, agree_on
from adpkv.core.rank_failure import Attempt, RankFailure, missing
from adpkv.core.rank_status import RankStatus
from adpkv.core.stop import StopReason
from adpkv.core.values import Outcome, RequestSpec
from adpkv.core.waiting import NOBODY_WAITS, Waiting
from adpkv.exit_codes import ExitCode, worst

__all__ = ["FIRST_PLAN", "GroupInput", "Plan", "Refusal", "agree", "plan_by"]


class GroupInput(msgspec.Struct, frozen=True, gc=False):
    """The leader's broadcast of this iteration, sorted by kind of message."""

    admitted: tuple[RequestSpec, ...] = ()
    cancelled: tuple[int, ...] = ()
    readmitted: frozenset[int] = frozenset()
    """Those of `cancelled` that are admitted again by a later message: the cancel is for their
    earlier attempt."""
    stop: StopReason | None = None
    """Why the coordinator ends the job."""
    released: bool = False
    """The coordinator allows the ranks to leave."""
    rank_failure: RankFailure | None = None


class Refusal(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request that ends before any rank owned it; the leader answers."""

    request_id: int
    attempt: int
    outcome: Outcome
    detail: str
    sender: int = -1
    """The context rank that keeps KV for it, which nobody will fetch now; -1 if there is none."""


class Plan(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the group agreed on. The next collectives carry its digest, so that ranks with different
    plans are detected (contract 5.8)."""

    assignments: dict[int, tuple[RequestSpec, ...]] = {}
    """Rank index in the group -> its new requests."""
    cancels: tuple[int, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    waiting: Waiting = NOBODY_WAITS
    """Requests that no rank owns yet."""
    passed: Passed = ()
    """How often those were overtaken that may not be overtaken without end (`core.overtaking`)."""
    expired: tuple[Attempt, ...] = ()
    """Requests that some rank owns, and that have waited too long if they wait there still."""
    agreed: tuple[Vote, ...] = ()
    """Without ADP: what all ranks do about these requests."""
    forward: bool = False
    """A forward step follows; else a bounded wait."""
    stop: StopReason | None = None
    """Why the group stops; None while it does not."""
    ending: bool = False
    """All requests are answered; the group stops once no transfer is in flight."""
    released: bool = False
    """The coordinator said that no other instance needs this instance's ranks any more."""
    leave: bool = False
    """The ranks leave after this iteration's flush."""
    rank_failure: RankFailure | None = None
    """What the group does about failed ranks, if it goes on without them."""
    deferred: bool = False
    """A request waits only until the ranks have said what is left of its earlier attempt, which is
    cancelled in this iteration."""

    def is_calm(self) -> bool:
        """Whether nobody has anything to apply, no request waits for a rank, and the group does not
        end: then the next plan is this one, unless there is input or a status that `differs`."""
        return not (
            self.assignments
            or self.waiting.count
            or self.cancels
            or self.refusals
            or self.expired
            or self.agreed
            or self.ending
            or self.stop is not None
            or self.rank_failure is not None
        )

    def concerned(self) -> Collection[int] | None:
        """The indices of the ranks that have something to apply, not counting the step or wait that
        follows; None for all ranks."""
        if self.cancels or self.expired or self.agreed or self.ending:
            return None
        if self.stop or self.rank_failure:
            return None
        return self.assignments


FIRST_PLAN = Plan()
"""The plan before a group's first iteration."""


def agree(
    limits: GroupLimits,
    previous: Plan,
    group_input: GroupInput | None,
    statuses: Sequence[RankStatus],
) -> Plan:
    """Make this iteration's plan; returns `previous` itself, the same object, if nothing differs.

    Args:
        limits: the group's fixed properties.
        previous: the last plan that the group agreed on.
        group_input: the leader's broadcast; None if it was empty.
        statuses: one per living rank of the group, in rank order.
    """
    return plan_by(limits, previous, group_input, GroupStatuses(limits, statuses))


def plan_by(
    limits: GroupLimits, previous: Plan, group_input: GroupInput | None, said: GroupStatuses
) -> Plan:
    """The same, where it is known already what follows from the statuses."""
    statuses, noticed, able = said.statuses, False, True
    proposed: list[StopReason] = []
    if said.odd:
        for status in statuses:
            if status.votes:
                noticed = True
            if not status.able:
                able = False
            if status.stop is not None:
                proposed.append(status.stop)
    ordered = group_input.stop if group_input is not None else None
    ending = previous.ending or (ordered is not None and ordered.code == ExitCode.COMPLETED)
    stop = _stop(previous, ordered, proposed)
    if stop is None and ending and not any(status.in_transfer for status in statuses):
        stop = StopReason(ExitCode.COMPLETED, "all requests are answered")
    stopping = stop is not None
    forward = said.working > 0 and able and not stopping
    agreed = agree_on([status.votes for status in statuses], len(statuses)) if noticed else ()
    same = (
        group_input is None
        and not stopping
        and ending is previous.ending
        and not previous.assignments
        and not previous.cancels
        and not previous.refusals
        and not (previous.agreed or agreed)
        and not (previous.expired or statuses[0].expired)
        and previous.rank_failure is None
        and forward is previous.forward
    )
    if same and not previous.waiting.count:
        return previous
    waiting = previous.waiting.current().with_new(group_input.admitted if group_input else ())
    rank_failure = _rank_failure(previous, group_input, waiting, statuses)
    found = _refuse_or_bind(limits, previous.passed, waiting, said, group_input, stopping)
    refusals, assignments, waiting, passed = found
    if same and not assignments:
        return previous  # nobody has room for one of those that wait
    released = previous.released or (group_input is not None and group_input.released)
    return Plan(
        assignments,
        group_input.cancelled if group_input else (),
        refusals,
        waiting,
        passed,
        _still_owned(statuses[0].expired, refusals),
        agreed,
        forward,
        stop,
        ending,
        released,
        stopping and _may_leave(statuses, released=released),  # leave
        rank_failure,
        bool(waiting and group_input and group_input.readmitted),  # deferred
    )


def _refuse_or_bind(
    limits: GroupLimits,
    passed: Passed,
    waiting: Waiting,
    said: GroupStatuses,
    group_input: GroupInput | None,
    stopping: bool,
) -> tuple[tuple[Refusal, ...], dict[int, tuple[RequestSpec, ...]], Waiting, Passed]:
    """Refuse those that wait and may not, and bind others to the ranks that have room for them.
    Returns (refusals, assignments, those that wait still, how often these were overtaken)."""
    if not waiting.count:
        return (), {}, waiting, ()
    waiting, refusals = _refuse(limits, waiting, group_input, said.statuses[0].expired, stopping)
    if not waiting.count:
        return refusals, {}, waiting, ()
    not_yet = group_input.readmitted if group_input else frozenset[int]()
    ranks = said.ranks(passed, not_yet)
    assignments, waiting = limits.route(waiting, ranks)
    return refusals, assignments, waiting, ranks.overtaking.passed(waiting)


def _may_leave(statuses: Sequence[RankStatus], *, released: bool) -> bool:
    """Whether a group that stops may leave now.

    Transfers in doubt do not keep a group from stopping (contract 6.4): a rank whose drain timeout
    is over counts as drained. Until the coordinator's release another instance may still need this
    one; but if the release takes too long for one rank, all ranks leave.
    """
    if any(status.overdue for status in statuses):
        return True
    return released and all(status.drained for status in statuses)


def _rank_failure(
    previous: Plan,
    group_input: GroupInput | None,
    waiting: Iterable[RequestSpec],
    statuses: Sequence[RankStatus],
) -> RankFailure | None:
    """What the messages say about failed ranks, and which of the requests that the last plan asked
    for are missing."""
    new = group_input.rank_failure if group_input is not None else None
    if previous.rank_failure is None or not previous.rank_failure.asked:
        return new
    unowned = [(spec.request_id, spec.attempt) for spec in waiting]
    lost = missing(previous.rank_failure.asked, [status.owed for status in statuses], unowned)
    return msgspec.structs.replace(new or RankFailure(), missing=lost)


def _stop(
    previous: Plan, ordered: StopReason | None, proposed: list[StopReason]
) -> StopReason | None:
    """The reason that wins among the last plan's, the coordinator's (`ordered`) and the ranks'."""
    found = proposed
    if ordered is not None and ordered.code > 0:
        found = [*found, ordered]
    if previous.stop is not None:
        found = [*found, previous.stop]
    if not found:
        return None
    code = worst(reason.code for reason in found)
    # An unknown code counts as an internal error, so compare by what it counts as.
    winners = [one for one in reversed(found) if worst((one.code,)) == code and one.detail]
    return winners[0].with_code(code) if winners else StopReason(code)


def _refuse(
    limits: GroupLimits,
    waiting: Waiting,
    group_input: GroupInput | None,
    expired: tuple[Attempt, ...],
    stopping: bool,
) -> tuple[Waiting, tuple[Refusal, ...]]:
    """Take the requests out of the queue that no rank will own: cancelled, expired or impossible
    ones, and all of them if the group is stopping."""
    if not (expired or stopping or limits.gone) and _all_may_wait(limits, group_input):
        return waiting, ()  # whoever waited before was checked then
    cancelled = set(group_input.cancelled) - group_input.readmitted if group_input else set()
    late = set(expired)
    fresh = {spec.request_id for spec in group_input.admitted} if group_input else set()
    ids = fresh | cancelled
    ids.update(request_id for request_id, _ in expired)
    failure = group_input.rank_failure if group_input else None
    lost = failure.failed if failure is not None else ()
    suspects = _suspects(waiting, ids, limits.gone, lost)
    refused: list[int] = []
    refusals: list[Refusal] = []
    for place in waiting.places() if stopping else sorted(suspects):
        spec = waiting[place]
        # A request that waited before was checked before, but the rank it wants may have failed.
        new = spec.request_id in fresh or limits.gone
        objection = limits.objection(spec) if new else ""
        if spec.request_id in cancelled:
            end = (Outcome.CANCELLED, "cancelled by its client")
        elif stopping:
            end = (Outcome.FAILED, "the instance is stopping")
        elif (spec.request_id, spec.attempt) in late:
            end = (Outcome.TIMED_OUT, "no rank had room for it within the queue limit")
        elif spec.sender is not None and spec.sender.rank in lost:
            end = (Outcome.FAILED, f"its KV is lost: rank {spec.sender.rank} has failed")
        elif objection:
            end = (Outcome.FAILED, objection)
        else:
            continue
        sender = -1 if spec.sender is None else spec.sender.rank
        refused.append(place)
        refusals.append(Refusal(spec.request_id, spec.attempt, *end, sender))
    return waiting.without(refused), tuple(refusals)


def _all_may_wait(limits: GroupLimits, group_input: GroupInput | None) -> bool:
    """Whether the new requests can be served, and no message is about others."""
    if group_input is None:
        return True
    if group_input.cancelled or group_input.rank_failure is not None:
        return False
    return not any(limits.objection(spec) for spec in group_input.admitted)


def _still_owned(expired: Sequence[Attempt], refusals: Iterable[Refusal]) -> tuple[Attempt, ...]:
    """Those of the expired requests that some rank may have: none is refused here."""
    if not expired:
        return ()
    refused = {(refusal.request_id, refusal.attempt) for refusal in refusals}
    return tuple(attempt for attempt in expired if attempt not in refused)


def _suspects(
    waiting: Waiting, ids: Iterable[int], gone: frozenset[int], lost: Collection[int]
) -> set[int]:
    """The places of the waiting requests that may have to be refused: all attempts of `ids`, those
    that insist on a failed rank, and those whose sender is lost. The others need no check."""
    found: set[int] = set()
    for request_id in ids:
        found.update(waiting.attempts(request_id))
    if gone or lost:
        for lane in waiting.lanes():
            if lane[0] in gone or lane[1] in lost:
                found.update(waiting.lane(lane))
    return found
