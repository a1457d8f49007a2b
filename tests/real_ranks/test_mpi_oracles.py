"""What the oracles of the real world see of a rank that breaks the contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CAMPAIGN = ("Honest", "Leaks", "LeavesForNothing")
"""What is seen at the end, of what ranks report, is seen in the same way in virtual time; and other
tests have honest ranks. The rest is seen by what only real memory and real messages show."""

CASES = {
    "Honest": (None, "", 0),
    "WaitsElsewhere": ("diverging_traces", "rank 2 made", 4),
    "Overwrites": ("wrong_kv", "overwritten after arrival", 4),
    "WritesAfterFree": ("write_after_free", "found at the end", 4),
    "Deaf": ("unbounded_wait", " lay there for", 4),
    "Leaks": ("leak", "2 of 64 blocks belong to nobody", 4),
    "LeavesForNothing": ("shutdown_without_cause", "the contract sees nothing wrong", 4),
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(one, marks=pytest.mark.campaign if one in CAMPAIGN else ()) for one in CASES],
)
def test_a_planted_fault_is_seen(program, case: str, tmp_path: Path) -> None:
    kind, said, code = CASES[case]
    found = program("planted", 4, case, str(tmp_path / "out"))
    assert found.code == code, found.err
    assert "Traceback" not in found.err
    violations = json.loads((tmp_path / "out" / "summary.json").read_text())["violations"]
    assert {violation["kind"] for violation in violations} == ({kind} if kind else set())
    assert all(violation["rank"] == 3 for violation in violations)
    assert all(said in violation["detail"] for violation in violations)
    events = [json.loads(line) for line in (tmp_path / "out" / "events.jsonl").open()]
    written = [event for event in events if event["kind"] == "violation"]
    assert len(written) == len(violations)
    if case in ("Overwrites", "WritesAfterFree"):
        assert all(event["requests"] for event in written), "whose KV it is"
