"""The trace bench on a handful of requests, and where samples are counted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from adpkv.bench.blind import BlindSimulation
from adpkv.bench.catalogue import BENCHES, Settings, trace_runs
from adpkv.bench.shares import PARTS, part_of
from adpkv.bench.trace import oracles, shares, trace
from adpkv.bench.trace_runs import TraceRuns
from adpkv.config import parse
from adpkv.errors import AdpkvError, MissingPieceError, UsageError
from adpkv.field_policies import assembly
from adpkv.worlds.virtual.run import Simulation
from tests.scenarios.story import Script, arrival, setting

CONVERSATION = Path(__file__).parents[2] / "configs" / "conversation.yaml"
FEW = ["workload.path=sample", "workload.limit=5"]


def test_jumping_and_walking_give_the_same_requests() -> None:
    found = {one.name: one for one in trace(TraceRuns(CONVERSATION, FEW), repetitions=1)}
    assert "5 of 5 requests completed, 0 violations" in found["virtual trace"].note
    assert found["virtual trace, no jump"].note.endswith("the same requests.jsonl")
    assert found["virtual trace, peak memory"].value > 1


def test_another_trace_is_not_held_against_the_limits_of_the_whole_one() -> None:
    found = trace(TraceRuns(CONVERSATION, FEW), repetitions=1, whole=False)
    assert found[0].target == ""
    assert found[0].reference is None


def test_shares_name_every_part_and_add_up() -> None:
    found = shares(TraceRuns(CONVERSATION, ["workload.path=sample"]))
    assert {one.name for one in found} == {
        f"share of {part}" for part, _ in (*PARTS, ("the rest", ()))
    }
    assert sum(one.value for one in found) == pytest.approx(100)


def test_compiled_modules_have_no_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adpkv.bench.catalogue.build", lambda: "compiled")
    with pytest.raises(MissingPieceError, match="bench shares needs plain Python"):
        BENCHES["shares"](Settings(quick=True))


@pytest.mark.parametrize(
    ("module", "part"),
    [
        ("adpkv.worlds.virtual.world", "dispatch and matching"),
        ("adpkv.worlds.virtual.stretch", "step-time sums"),
        ("adpkv.core.plan", "agree and route"),
        ("adpkv.core.session_book", "sessions"),
        ("adpkv.core.block_pool", "pool and ledger"),
        ("adpkv.executor.phases", "rank programs"),
        ("adpkv.config", "the rest"),
    ],
)
def test_every_module_has_its_part(module: str, part: str) -> None:
    assert part_of(module) == part


SCRIPT = """
import os, sys
import adpkv.bench.trace_child as child
seen = []
def clock():
    seen.append(set(sys.modules))
    return 0.0
child.process_time = clock
child.main(sys.argv[1:])
ours = {name for name in seen[1] - seen[0] if name.startswith("adpkv.")}
print(sorted(ours))
"""


@pytest.mark.parametrize("how", [{}, {"blind": True}, {"shares": True}])
def test_nothing_is_imported_within_what_is_measured(tmp_path: Path, how: dict[str, bool]) -> None:
    overrides = ["workload.path=sample", "workload.limit=5"]
    asked = {"experiment": str(CONVERSATION), "overrides": overrides, "out": str(tmp_path / "run")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps({**asked, **how})],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_child_that_fails_says_why() -> None:
    with pytest.raises(AdpkvError, match=r"ended with 1\n(.|\n)*there is no such file"):
        TraceRuns(CONVERSATION, ["workload.path=nowhere.jsonl"]).run()


def test_the_sample_takes_the_place_of_a_trace_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs, whole = trace_runs(Settings())
    assert not whole
    assert "the packaged sample" in runs.about


def test_its_trace_is_found_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces" / "conversation_trace.jsonl").touch()
    runs, whole = trace_runs(Settings())
    assert whole
    assert runs.about == "the whole trace"
    assert not trace_runs(Settings(quick=True))[1]


def test_a_trace_that_was_asked_for_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="there is no such file"):
        trace_runs(Settings(trace=Path("nowhere.jsonl")))


def test_with_and_without_oracles_the_requests_are_the_same() -> None:
    (found,) = oracles(TraceRuns(CONVERSATION, FEW), repetitions=1)
    assert found.note.endswith("the same requests.jsonl")
    assert found.reference is not None
    assert found.target == "ratio <= 1.25"


def test_a_blind_simulation_sees_nothing() -> None:
    """What a policy breaks is broken all the same; only nobody says so."""
    data = setting(
        "blind",
        1,
        1,
        transceiver={"transfer_timeout": "100ms"},
        faults=[{"kind": "stall", "requests": [0], "duration": "200ms"}],
        policy={"on_timeout": "free"},
    )
    arrivals = [arrival(0, 32, 4), arrival(1000, 32, 4)]
    found = {}
    for kind in (Simulation, BlindSimulation):
        loaded = parse(data, "blind")
        job = kind(loaded, workload=Script(arrivals), assemble=assembly(loaded))
        found[kind] = job.summary(job.run(), job.tally, 0.0)
    assert found[Simulation]["violations"]
    assert found[BlindSimulation]["violations"] == []
    assert found[Simulation]["requests"] == found[BlindSimulation]["requests"]
