"""What the messages of a leader's broadcast say together, for all ranks of its group alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from adpkv.core.plan import GroupInput
from adpkv.core.rank_failure import RankFailure
from adpkv.core.stop import StopReason
from adpkv.core.values import RequestSpec
from adpkv.executor.messages import Admit, Cancel, LeaderMessage, Release, Shrink
from adpkv.exit_codes import ExitCode, worst

__all__ = ["failed_ranks", "sorted_messages"]


def failed_ranks(messages: Iterable[LeaderMessage]) -> set[int]:
    """The failed world ranks of which a broadcast tells. A peer's message that is read after it may
    be one of theirs. Looks only at the first messages of other kinds: each rank of a group looks,
    and a large group gets many messages."""
    found: set[int] = set()
    for message in messages:
        if type(message) is not Shrink:
            break
        found.update(message.failed)
    return found


def sorted_messages(messages: Sequence[LeaderMessage]) -> GroupInput | None:
    """The messages of a broadcast, sorted by kind; None if there are none."""
    if not messages:
        return None
    admitted: list[RequestSpec] = []
    cancelled: list[int] = []
    reasons: list[StopReason] = []
    shrinks: list[Shrink] = []
    released = False
    for message in messages:
        if isinstance(message, Admit):
            admitted.append(message.spec)
        elif isinstance(message, Cancel):
            cancelled.append(message.request_id)
        elif isinstance(message, Shrink):
            shrinks.append(message)
        else:
            reasons.append(message.reason)
            released = released or isinstance(message, Release)
    return GroupInput(
        tuple(admitted),
        tuple(cancelled),
        _readmitted(messages) if cancelled and admitted else frozenset(),
        _stop(reasons),
        released,
        _rank_failure(shrinks),
    )


def _stop(reasons: Sequence[StopReason]) -> StopReason | None:
    """The reason of stops and releases. A release without a stop means that the stop was lost: it
    counts as both."""
    if not reasons:
        return None
    codes = [reason.code for reason in reasons if reason.code > 0]
    first = next((reason for reason in reasons if reason.detail), reasons[0])
    return first.with_code(worst(codes) if codes else ExitCode.COMPLETED)


def _readmitted(messages: Sequence[LeaderMessage]) -> frozenset[int]:
    """Requests that are cancelled, and then admitted again as a new attempt."""
    cancelled: set[int] = set()
    found: set[int] = set()
    for message in messages:
        if type(message) is Cancel:
            cancelled.add(message.request_id)
            found.discard(message.request_id)
        elif type(message) is Admit and message.spec.request_id in cancelled:
            found.add(message.spec.request_id)
    return frozenset(found)


def _rank_failure(shrinks: Sequence[Shrink]) -> RankFailure | None:
    """What the `Shrink` messages say together. Each names all ranks that have failed so far, and
    may ask about all requests that are open then."""
    if not shrinks:
        return None
    asked = next((shrink.asked for shrink in reversed(shrinks) if shrink.asked), ())
    return RankFailure(shrinks[-1].failed, asked)
