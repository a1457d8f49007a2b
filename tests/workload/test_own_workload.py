"""Whose mistake it is that a request is taken while none is due."""

from __future__ import annotations

import pytest

from adpkv.errors import UsageError
from adpkv.ports import NEVER, Arrival
from adpkv.workload.given import NoneDueError
from adpkv.workload.own import OwnWorkload
from adpkv.workload.script import Script, Scripted


def script(count: int) -> Script:
    return Script([Scripted(Arrival(1_000, 64, 4))] * count)


class Greedy(Script):
    """Takes two where one is wanted."""

    def take(self) -> Arrival:
        super().take()
        return super().take()


class Early(Script):
    """Says that there is more when all are taken."""

    def due_ns(self) -> int:
        return min(super().due_ns(), 5_000)


def test_who_takes_what_is_not_due_is_to_blame() -> None:
    """Not the workload, which had said so, or had not been asked."""
    own = OwnWorkload("own", script(1))
    own.due_ns()
    own.take()
    with pytest.raises(NoneDueError):
        own.take()
    assert own.due_ns() == NEVER
    with pytest.raises(NoneDueError):
        own.take()


@pytest.mark.parametrize("kind", [Greedy, Early])
def test_a_workload_that_said_that_one_is_due_is_to_blame(kind: type[Script]) -> None:
    own = OwnWorkload("own", kind([Scripted(Arrival(1_000, 64, 4))] * 3))
    taken = iter(lambda: own.due_ns() < NEVER and own.take(), False)
    with pytest.raises(UsageError, match=r"^own: take raised NoneDueError: all 3 requests"):
        list(taken)
