"""Cases are valid experiments, depend on nothing but their seed, and differ in everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from adpkv.config import load, parse
from adpkv.config.fault_kinds import KINDS
from adpkv.config.shipped import shipped_file
from adpkv.config.workload import ScriptConfig
from adpkv.core.ids import NEVER
from adpkv.errors import UsageError
from adpkv.exploration.dice import Dice
from adpkv.exploration.drawing import draw
from adpkv.exploration.mutating import mutated
from adpkv.exploration.trial import attempt
from adpkv.exploration.variation import LIES, variation
from tests.exploration.policies import VARIANTS, where


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_case_is_a_valid_experiment(variant: str) -> None:
    limits = where(variant=variant)
    for seed in range(120):
        case = draw(limits, seed)
        again = parse(case.experiment.model_dump(by_alias=True), "drawn")
        assert again == case.experiment, seed
        assert draw(limits, seed) == case
        other = mutated(limits, case, Dice(seed), seed)
        assert parse(other.experiment.model_dump(by_alias=True), "m") == other.experiment, seed


def test_seeds_differ_in_everything() -> None:
    found = [draw(where(variant="dying"), seed) for seed in range(400)]
    kinds = {fault.kind for case in found for fault in case.experiment.faults}
    assert kinds == set(KINDS) - LIES
    requests = [case.experiment.workload.requests for case in found]
    assert {len(one) for one in requests} >= set(range(1, 12))
    each = [request for one in requests for request in one]
    assert any(one.cancel_ns is not None for one in each)
    assert any(one.invalid for one in each)
    assert any(one.wanted is not None for one in each)
    assert {case.healed_ns == NEVER for case in found} == {True, False}
    assert len({case.schedule for case in found}) == len(found)


def test_a_seed_leaves_kinds_out_and_nobody_is_killed_where_the_job_would_end() -> None:
    found = [draw(where(), seed) for seed in range(300)]
    several = [case for case in found if len(case.experiment.faults) == 4]
    few = [case for case in several if len({f.kind for f in case.experiment.faults}) <= 2]
    assert several
    assert few
    assert not any(f.kind == "sigkill" for case in found for f in case.experiment.faults)


def test_faults_end_before_all_is_healed() -> None:
    for seed in range(200):
        case = draw(where(), seed)
        if case.healed_ns == NEVER:
            continue
        for fault in case.experiment.faults:
            assert (fault.before_ns or 0) + (fault.duration_ns or 0) < case.healed_ns
        workload = case.experiment.workload
        assert isinstance(workload, ScriptConfig)
        assert workload.requests[-1].at_ns >= case.healed_ns


def test_an_experiments_own_faults_are_healed_too() -> None:
    """`soak` has some that may hit at any time: its seed 11 was a find that came to nothing."""
    path = shipped_file("soak")
    assert path is not None
    limits = variation(load(path))
    own = len(limits.base.faults)
    for seed in range(40):
        case = draw(limits, seed)
        again = parse(case.experiment.model_dump(by_alias=True), "drawn")
        assert again == case.experiment, seed
        other = mutated(limits, case, Dice(seed), seed)
        for one in (case, other):
            kinds = [fault.kind for fault in one.experiment.faults[:own]]
            assert kinds == [fault.kind for fault in limits.base.faults]
            for fault in one.experiment.faults if case.healed_ns < NEVER else ():
                ends_ns = (fault.before_ns or 0) + (fault.duration_ns or 0)
                assert not fault.probability or 0 < ends_ns < one.healed_ns


def test_what_cannot_be_varied_is_refused_with_its_name() -> None:
    path = shipped_file("trace-sample")
    assert path is not None
    with pytest.raises(UsageError, match=r"trace-sample: workload.kind: 'trace' cannot be varied"):
        variation(load(path))


def test_a_script_is_varied_within_its_lengths() -> None:
    limits = variation(load(Path("configs/regressions/05-wedged-transfer.yaml")))
    assert limits.requests == 16
    assert limits.prompt == (32, 32)
    assert limits.output == (4, 400)
    assert limits.base.regression is None


def test_every_request_of_a_mutated_case_comes() -> None:
    """One that never comes keeps a run for ever, which is no find."""
    limits = where()
    for seed in range(400):
        case = mutated(limits, draw(limits, seed), Dice(seed, 1), seed + 1)
        workload = case.experiment.workload
        assert isinstance(workload, ScriptConfig)
        assert max(one.at_ns for one in workload.requests) < 60_000_000_000, seed


def test_all_seeds_share_what_no_seed_changes() -> None:
    one, other = (draw(where(), seed).experiment for seed in (1, 2))
    assert one.kept is other.kept


def test_nobody_is_killed_after_all_is_healed() -> None:
    # A rank that was to be killed in a step, and had none before somebody came late.
    assert attempt(draw(where(variant="dying"), 1_100_084)).found == ()
