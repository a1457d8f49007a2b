"""What the messages of a broadcast say together."""

from __future__ import annotations

import pytest
from executor_parts import spec

from adpkv.core.plan import GroupInput
from adpkv.core.stop import StopReason
from adpkv.executor.broadcast import sorted_messages
from adpkv.executor.messages import Admit, Cancel, LeaderMessage, Release, Stop

DONE, ILL = StopReason(0), StopReason(75, "ill", ("no_progress",))
ASKED, LOST = StopReason(130, "a signal"), StopReason(5, "lost")


def test_no_messages_is_nothing() -> None:
    assert sorted_messages(()) is None


def test_messages_by_what_it_is() -> None:
    messages: list[LeaderMessage] = [Admit(spec(2)), Cancel(9), Admit(spec(1)), Cancel(8)]
    assert sorted_messages(messages) == GroupInput(admitted=(spec(2), spec(1)), cancelled=(9, 8))


@pytest.mark.parametrize(
    ("messages", "stop", "released"),
    [
        ([Stop(DONE)], DONE, False),
        ([Stop(DONE), Stop(ILL)], ILL, False),
        ([Stop(ASKED), Stop(ILL)], ASKED.with_code(75), False),
        ([Release()], DONE, True),
        ([Release(LOST)], LOST, True),
        ([Stop(DONE), Release()], DONE, True),
    ],
)
def test_the_stop_that_wins(
    messages: list[LeaderMessage], stop: StopReason, released: bool
) -> None:
    assert sorted_messages(messages) == GroupInput(stop=stop, released=released)
