"""All interleavings: what is left out makes no difference, what is wrong is found, and a walk that
is cut off says so."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import adpkv
from adpkv.config import load
from adpkv.config.shipped import shipped_file
from adpkv.errors import UsageError
from adpkv.exploration import exhaustive
from adpkv.exploration.calling import Bounds, explore_all
from adpkv.exploration.cases import Case
from adpkv.exploration.dice import Dice
from adpkv.exploration.exhaustive import Walk, walk
from adpkv.exploration.facts import ObservedTables
from adpkv.exploration.replay_file import read_replay
from adpkv.exploration.trial import attempt, signature

ONE_REQUEST = {"workload.requests.0.times": 1}


def small(**changes: Any) -> Case:
    path = shipped_file("explore-small")
    assert path is not None
    given = {key.replace("__", "."): value for key, value in changes.items()}
    return Case(load(path, {"topology.generation.ranks": 1, **ONE_REQUEST, **given}))


def test_what_is_left_out_makes_no_difference() -> None:
    """The reduced walk of a tiny experiment comes to the same states and ends as the whole one."""
    reduced = walk(small(), delays=0)
    whole = walk(small(), delays=0, reduced=False)
    assert reduced.complete
    assert whole.complete
    assert reduced.paths < whole.paths / 10
    assert reduced.cut_off > 0
    assert whole.cut_off == 0
    assert reduced.states == whole.states
    assert reduced.ends == whole.ends


class _Drawn(exhaustive._Path):
    """A path that makes drawn choices, and looks at each state."""

    __slots__ = ("dice",)

    def _choose(self, options: int, *, at_rest: bool = False) -> int:
        if at_rest:
            self._look()
        self.chosen.append(self.dice.below(options))
        return self.chosen[-1]


def test_no_path_comes_to_a_state_that_the_reduced_walk_has_not_seen() -> None:
    """Of the experiment as shipped, whose whole walk would take hours: so drawn paths of it. Its
    order of turns and its iterations differ, its states do not: else it would be 1,300 and more."""
    case = small(topology__generation__ranks=2, **{"workload.requests.0.times": 2})
    reduced = walk(case, delays=0)
    assert reduced.complete
    assert len(reduced.states) < 300
    met, rules = Walk(), ObservedTables().rules  # part of a state as well
    for seed in range(20):
        path = _Drawn(case, (), met, reduced=False, delays=0)
        path.dice = Dice(seed)
        assert attempt(case, schedule=path, rules=rules, watch=path.begin).found == ()
    assert len(met.states) > 100
    assert met.states <= reduced.states


def test_independent_events_are_no_choice_and_ends_stay_the_same() -> None:
    """Two generation servers: what one does at an instant touches nothing of the other."""
    case = small(topology__generation__instances=2)
    reduced = walk(case, delays=0)
    assert reduced.complete
    assert reduced.independent > 0
    some = walk(case, delays=0, reduced=False, until_s=time.monotonic() + 1)
    assert some.ends <= reduced.ends


def test_what_is_wrong_is_found_and_replayed() -> None:
    """An idle leader that sleeps in its queue: found in the first paths, whatever their order."""
    case = small(policy__idle_wait="unbounded", topology__generation__ranks=2)
    found = explore_all(case.experiment, Bounds(most_finds=1, shrink_s=5.0))
    assert found.exit_code in (adpkv.ExitCode.DEADLOCK, adpkv.ExitCode.VIOLATION)
    one = found.finds[0]
    again = attempt(read_replay(one.token).case)
    assert signature(again.found) == one.signature


def test_a_delay_of_a_message_is_part_of_the_schedule() -> None:
    """A deadline that counts from the advertise passes while the sender's answer is late."""
    walked = walk(small(policy__on_timeout="fail_close"), most_finds=1)
    (trial,) = walked.finds
    late = [chosen for name, _, chosen in trial.case.schedule.flat() if name == "haste"]
    assert len(late) == 1
    assert late[0] < -90_000_000
    assert signature(attempt(trial.case).found) == "shutdown_without_cause"


def test_a_walk_that_is_cut_off_is_not_complete() -> None:
    found = explore_all(small().experiment, Bounds(for_s=0.05))
    assert not found.walk["complete"]
    assert found.exit_code == adpkv.ExitCode.INCOMPLETE
    assert found.outcome == "incomplete"
    assert found.data()["walk"]["paths"] == found.seeds


def test_the_library_walks_too(tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = adpkv.explore(small().experiment, strategy="exhaustive", for_s=0.05, out=out)
    assert (found.outcome, found.folder) == ("incomplete", out)
    assert (out / "explore.json").is_file()
    with pytest.raises(UsageError, match=r"seeds, jobs: strategy 'exhaustive' takes none"):
        adpkv.explore(small().experiment, strategy="exhaustive", seeds=(0, 1), jobs=1)


@pytest.mark.parametrize(("for_s", "finds"), [(0.0, None), (-1.0, None), (None, 0)])
def test_bounds_in_which_nothing_can_be_explored(for_s: float | None, finds: int | None) -> None:
    with pytest.raises(UsageError, match=r"for_s|finds"):
        adpkv.explore(small().experiment, for_s=for_s, finds=finds)


def test_faults_that_a_walk_has_met_are_counted() -> None:
    fault = {"kind": "late", "phase": "advertise", "duration": "5ms"}
    case = small(faults=[fault])
    walked = walk(case, delays=0, until_s=time.monotonic() + 0.2)
    assert walked.facts["fault:late:advertise"] == walked.paths > 0
    reached = explore_all(case.experiment, Bounds(for_s=0.05)).coverage
    assert reached.shares()["faults"].reached == 1
    assert reached.shares()["receiver_lines"].reached > 0


def test_only_a_script_can_be_walked() -> None:
    path = shipped_file("explore")
    assert path is not None
    with pytest.raises(UsageError, match=r"workload\.kind: --strategy exhaustive walks"):
        explore_all(load(path), Bounds())
