"""Each policy of the field is found from one experiment, and a find is made small and played again.
Nothing is found where nothing is planted."""

from __future__ import annotations

from pathlib import Path

import pytest

from adpkv.config.workload import ScriptConfig
from adpkv.exploration.drawing import draw
from adpkv.exploration.replay_file import file_text, read_replay, read_text, record, token
from adpkv.exploration.shrinking import shrink, written
from adpkv.exploration.trial import attempt, signature
from adpkv.field_policies.catalogue import POLICIES
from tests.exploration.policies import FOUND, VARIANTS, where

NOBODYS = {("failure_memory", "none"), ("full_hit", "silent")}
"""It serves badly, and breaks nothing that an oracle asks: `regress` counts what it loses."""

SLOWEST = 400
"""Seeds within which each policy is found: some seconds."""


def test_there_is_a_line_for_each_policy() -> None:
    assert set(FOUND) | NOBODYS == set(POLICIES)


@pytest.mark.parametrize("policy", FOUND, ids=lambda one: one[0])
def test_a_policy_is_found(policy: tuple[str, str]) -> None:
    found = FOUND[policy]
    trial = attempt(draw(where(policy, found.variant), found.seed))
    assert signature(trial.found) == found.signature
    contract = attempt(draw(where(variant=found.variant), found.seed))
    assert contract.found == ()


@pytest.mark.campaign
@pytest.mark.slow
@pytest.mark.parametrize("policy", FOUND, ids=lambda one: one[0])
def test_a_policy_is_found_without_being_told_and_made_small(policy: tuple[str, str]) -> None:
    found = FOUND[policy]
    limits = where(policy, found.variant)
    # Finds are told apart by their signatures: a policy that binds at once has another one too.
    seed, trial = next(
        (seed, trial)
        for seed in range(SLOWEST)
        if signature((trial := attempt(draw(limits, seed))).found) == found.signature
    )
    assert seed == found.seed
    least = shrink(written(trial.case), found.signature).case.experiment
    assert least.topology.ranks <= 4
    assert isinstance(least.workload, ScriptConfig)
    assert len(least.workload.requests) <= 4


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_found_where_nothing_is_planted(variant: str) -> None:
    found = {
        seed: trial.found
        for seed in range(25)
        if (trial := attempt(draw(where(variant=variant), seed))).found
    }
    assert found == {}


def test_a_find_is_made_small_and_is_the_same_from_its_file_and_its_token(tmp_path: Path) -> None:
    policy = ("late_success", "revives")
    found = FOUND[policy]
    trial = attempt(draw(where(policy), found.seed))
    least = shrink(written(trial.case), found.signature)
    assert least.whole
    assert least.case.experiment.topology.ranks == 2
    assert [fault.kind for fault in least.case.experiment.faults] == ["handle_error"]
    small = attempt(least.case)
    assert signature(small.found) == found.signature
    file = tmp_path / "find.yaml"
    file.write_text(file_text(record(small, found.seed)))
    word = token(record(small, found.seed))
    assert len(word) < 1000
    for read in (read_replay(str(file)), read_replay(word)):
        assert read.case == least.case
        again = attempt(read.case)
        assert again.digest == small.digest == read.digest
        assert again.found == small.found


def test_a_schedule_comes_back_from_its_file() -> None:
    case = next(
        case for seed in range(50) if len((case := written(draw(where(), seed))).schedule) > 20
    )
    assert read_text(file_text(record(attempt(case))), "a file").case == case
