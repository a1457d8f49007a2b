"""Which faults fired, and why the others did not, from what the ranks counted."""

from __future__ import annotations

import pytest

from adpkv.config import Experiment, parse
from adpkv.core.report import FaultCount, Nearest
from adpkv.output.faults import COULD_NEVER, fired, unfired
from tests.scenarios.story import setting


def experiment(*kinds: str) -> Experiment:
    duration = {"sigstop": {"duration": "1s", "phase": "step"}}
    faults = [{"kind": kind, **duration.get(kind, {})} for kind in kinds]
    return parse(setting("faults", 1, 1, faults=faults), "faults")


def test_kinds_are_counted_over_all_ranks_and_faults_by_name() -> None:
    found = experiment("stall", "lose", "stall", "fail")
    counts = [
        FaultCount(0, 2, Nearest.FIRED),
        FaultCount(2, 1, Nearest.FIRED),
        FaultCount(2, 4, Nearest.FIRED),
        FaultCount(1, 0, Nearest.CHANCE),
    ]
    assert list(fired(found, counts).items()) == [("fail", 0), ("lose", 0), ("stall", 7)]


@pytest.mark.parametrize("kind", ["stall", "sigstop"])
@pytest.mark.parametrize("near", [near for near in Nearest if near is not Nearest.FIRED])
def test_what_did_not_fire_says_why(kind: str, near: Nearest) -> None:
    (sentence,) = unfired(experiment(kind), [FaultCount(0, 0, near)])
    assert sentence.startswith(f"faults.0 ({kind}) ")
    assert (COULD_NEVER in sentence) is (near < Nearest.TAKEN)


def test_the_nearest_rank_counts() -> None:
    counts = [FaultCount(0, 0, Nearest.NOTHING), FaultCount(0, 0, Nearest.CHANCE)]
    (sentence,) = unfired(experiment("stall"), counts)
    assert "was not drawn" in sentence
    assert unfired(experiment("stall"), [*counts, FaultCount(0, 1, Nearest.FIRED)]) == []


def test_a_fault_that_nobody_knew_of_could_never_fire() -> None:
    (sentence,) = unfired(experiment("stall"), [])
    assert COULD_NEVER in sentence


def test_nothing_is_said_of_what_may_have_fired_on_a_rank_that_failed() -> None:
    assert unfired(experiment("stall"), [], silent=[1]) == []
