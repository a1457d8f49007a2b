"""A find of ranks that are stuck says who owned the wake-up that never came."""

from __future__ import annotations

import pytest

from adpkv.exploration import trial
from adpkv.exploration.drawing import draw
from adpkv.exploration.owners import owner_of_doubt
from adpkv.exploration.trial import Trial, attempt
from tests.exploration.policies import FOUND, where


def found_of(policy: tuple[str, str]) -> Trial:
    found = FOUND[policy]
    return attempt(draw(where(policy, found.variant), found.seed))


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (("poll", "blocking"), "the wake-up that never came was rank 0's to give"),
        (("idle_wait", "unbounded"), "the wake-up that never came was the coordinator's to give"),
        (("watch", "nobody"), "it has failed; rank 2 waits there; the wake-up that never came was"),
        (("responses", "owner"), "rank 2 and rank 3 each owned the other's wake-up"),
    ],
)
def test_who_owned_the_wake_up(policy: tuple[str, str], said: str) -> None:
    stuck = found_of(policy)
    assert stuck.stuck
    assert said in stuck.found[0].detail.split("\n")[1]


def test_a_transfer_is_told_as_both_of_its_ends_know_it() -> None:
    detail = found_of(("poll", "blocking")).found[0].detail
    assert "transfer is advertised on rank 2, and rank 0 has no such transfer any more" in detail


def test_who_owes_the_proof_for_what_is_in_doubt() -> None:
    ran = found_of(("quarantine", "unbounded"))
    job = ran.job
    assert job is not None
    said = [owner_of_doubt(job, rank) for rank in range(job.topology.ranks)]
    assert any(one.endswith("as quarantined") and "the proof: request" in one for one in said)
    calm = attempt(draw(where(), 0)).job
    assert calm is not None
    assert owner_of_doubt(calm, 2) == ""


def test_a_run_without_end_says_who_has_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    case = draw(where(), 0)
    monkeypatch.setattr(trial, "MOST_EVENTS", 60)
    (endless,) = attempt(case).found
    assert endless.kind == "no_end"
    assert "rank 0 has request" in endless.detail
    monkeypatch.setattr(trial, "MOST_EVENTS", 2)
    (begun,) = attempt(case).found
    assert "the coordinator owns their wake-up" in begun.detail
