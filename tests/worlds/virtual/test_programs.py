"""A program that has ended is not closed, however and wherever it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from adpkv.core.topology import Topology
from adpkv.errors import CollectiveMismatchError
from adpkv.worlds.virtual.group import VirtualGroup
from adpkv.worlds.virtual.programs import Programs


class Scripted:
    """A program that does these in turn: values are awaited, errors raised. As mypyc 2.4 makes
    them: one that has ended raises when it is closed."""

    cr_frame, cr_await = object(), None
    cr_running = cr_suspended = False

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.ended = self.closed = self.closed_late = False

    def send(self, value: Any) -> Any:
        step = self.steps.pop(0)
        if isinstance(step, BaseException):
            self.ended = True
            raise step
        return step

    def throw(self, error: BaseException) -> Any:
        return self.send(None)

    def close(self) -> None:
        self.closed = True
        if self.ended:
            self.closed_late = True
            raise RuntimeError("has ended")


WAYS: list[Callable[[Programs], Any]] = [
    lambda programs: programs.resume(1, None),
    lambda programs: programs.resume_all([0, 1, 2], None),
    lambda programs: programs.resume_each([0, 1, 2], [1, 2, 3]),
    lambda programs: programs.throw(1, ValueError("rank lost")),
]


@pytest.mark.parametrize("error", [StopIteration("done"), ValueError("odd"), KeyboardInterrupt()])
@pytest.mark.parametrize("way", range(len(WAYS)))
def test_whoever_sees_a_program_end_notes_it(way: int, error: BaseException) -> None:
    made = [Scripted("a", "b"), Scripted(error), Scripted("a", "b")]
    programs = Programs([7, 8, 9], cast(Any, made))
    with pytest.raises(type(error)):
        WAYS[way](programs)
    assert programs.ended == {8}
    programs.close()
    assert [one.closed for one in made] == [True, False, True]


def test_who_has_ended_is_known_by_rank() -> None:
    members = [7, 8, 9]
    made = [Scripted("a"), Scripted("a"), Scripted(StopIteration())]
    programs = Programs(members, cast(Any, made))
    with pytest.raises(StopIteration):
        programs.resume(2, None)
    programs.remove(0)
    del members[0]
    made[1].closed = False
    programs.close()
    assert [one.closed for one in made] == [True, True, False]


def _group(*programs: Scripted) -> VirtualGroup:
    instance = Topology.of_sizes([len(programs)], [1]).instances[0]
    return VirtualGroup(instance, cast(Any, programs))


def test_one_that_leaves_or_fails_as_an_iteration_begins() -> None:
    """Of either, in the compiled build, an error stayed the one being handled."""
    left = [Scripted("a"), Scripted(StopIteration())]
    group = _group(*left)
    with pytest.raises(CollectiveMismatchError, match=": rank 1 left while others go on"):
        group.begin([0, 1])
    group.let_go()
    failed = [Scripted(ValueError("odd")), Scripted("a")]
    group = _group(*failed)
    with pytest.raises(ValueError, match="odd"):
        group.begin([0, 1])
    group.let_go()
    assert not any(one.closed_late for one in (*left, *failed))


@pytest.mark.parametrize("leader", ["its own", "the others'"])
def test_one_that_leaves_or_fails_after_a_collective(leader: str) -> None:
    for error, found in ((StopIteration(), CollectiveMismatchError), (ValueError(), ValueError)):
        made = [Scripted("a", "b"), Scripted("a", error)]
        group = _group(*made)
        group.begin([0, 1])
        with pytest.raises(found):
            group.resumed([0, 1], leader, "the others'")
        group.let_go()
        assert not made[1].closed
        assert made[0].closed
