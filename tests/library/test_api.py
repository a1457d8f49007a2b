"""adpkv as a library: `load`, `simulate`, `load_run`, and what they refuse."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import adpkv
from adpkv.errors import RankProgramError
from adpkv.exit_codes import ExitCode
from adpkv.results.show import html, markdown

GATED = "regressions/03-gate-that-differs-by-one-block"
SMALL = {"workload.requests": 20}


def small(**more: object) -> adpkv.Result:
    return adpkv.simulate("quickstart", set={**SMALL, **more})


@pytest.fixture(scope="module")
def result() -> adpkv.Result:
    return small()


def test_an_experiment_is_a_file_a_name_a_mapping_or_itself(tmp_path: Path) -> None:
    named = adpkv.load("quickstart", set=SMALL)
    file = tmp_path / "mine.yaml"
    file.write_text(f"{json.dumps(named.model_dump(by_alias=True, mode='json'))}")
    same = [file, str(file), named, named.model_dump(by_alias=True)]
    assert [adpkv.load(one) == named for one in same] == [True] * 4
    assert named.workload.requests == 20


def test_set_takes_values_and_leaves_the_source_alone() -> None:
    before = {"kind": "stall", "duration": "1s"}
    data = adpkv.load("quickstart").model_dump(by_alias=True) | {"faults": [before]}
    changed = adpkv.load(data, set={"workload.rate": 40, "faults.0.duration": "2s"})
    assert changed.workload.rate == 40
    assert changed.faults[0].duration_ns == 2_000_000_000
    assert before == {"kind": "stall", "duration": "1s"}


def test_a_result_says_what_the_folder_of_the_same_run_says(tmp_path: Path) -> None:
    here = small()
    there = adpkv.simulate("quickstart", set=SMALL, out=tmp_path / "out")
    again = adpkv.load_run(tmp_path / "out")
    for other in (there, again):
        assert other.requests == here.requests
        assert other.events == here.events
        assert {**other.to_dict(), "wall_s": 0} == {**here.to_dict(), "wall_s": 0}
        assert other.experiment == here.experiment
    assert (here.folder, there.folder, again.folder) == (None, tmp_path / "out", tmp_path / "out")
    assert there.to_dict() == json.loads((tmp_path / "out" / "summary.json").read_text())


def test_it_is_typed(result: adpkv.Result) -> None:
    assert result.outcome == "completed"
    assert result.exit_code is ExitCode.COMPLETED
    assert result.summary.requests.submitted == len(result.requests) == 20
    assert result.summary.blocks["context-0"].total == 2048
    first = result.requests[0]
    assert sum(first.columns()) == first.ended_ns - first.arrival_ns
    assert result.events[0].kind == "arrived"
    assert result.report is None
    assert result.violations == ()
    assert result.raise_if_stuck() is result


def test_a_policy_is_honoured_and_a_stuck_run_is_a_result(tmp_path: Path) -> None:
    stuck = adpkv.simulate(GATED)
    assert (stuck.outcome, stuck.exit_code) == ("deadlock", ExitCode.DEADLOCK)
    assert stuck.report is not None
    assert stuck.report.kind == "crossed payload"
    assert stuck.report.outliers == [1]
    assert str(stuck.report).startswith("crossed payload in generation-1")
    assert stuck.summary.broken_off is not None
    with pytest.raises(adpkv.StuckError, match="crossed payload in generation-1"):
        stuck.raise_if_stuck()
    written = adpkv.simulate(GATED, out=tmp_path / "out")
    assert written.report is not None
    assert written.report.diagnosis == stuck.report.diagnosis
    assert written.report.places == stuck.report.places
    assert "the requests concerned" not in written.report.text
    assert str(written.report).startswith(str(stuck.report)[:1000])


def test_violations_say_whom_they_concern(tmp_path: Path) -> None:
    found = adpkv.simulate("regressions/08-late-write")
    written = adpkv.simulate("regressions/08-late-write", out=tmp_path / "out")
    assert (written.events, written.violations) == (found.events, found.violations)
    assert found.exit_code is ExitCode.VIOLATION
    assert [one.kind for one in found.violations] == [v.kind for v in found.summary.violations]
    assert any(one.requests for one in found.violations)


def test_rank_0s_failure_is_a_result() -> None:
    kill = [{"kind": "sigkill", "ranks": [0], "after": "100ms"}]
    found = small(faults=kill)
    assert (found.outcome, found.exit_code) == ("rank_lost", ExitCode.RANK_LOST)
    assert found.summary.broken_off is not None


def test_a_run_without_summary_or_with_damage_is_told_as_far_as_it_goes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    whole = adpkv.simulate("quickstart", set=SMALL, out=out)
    (out / "summary.json").unlink()
    lines = (out / "events.jsonl").read_bytes().splitlines(keepends=True)
    (out / "events.jsonl").write_bytes(b"".join([*lines[:50], b"\xff\n", *lines[50:90], b'{"at']))
    found = adpkv.load_run(out)
    assert found.outcome == "rank_lost"
    assert found.summary.broken_off is not None
    assert "the run was killed, or is still at work" in found.summary.broken_off.why
    assert found.requests == whole.requests
    assert found.summary.requests.completed == whole.summary.requests.completed
    assert list(found.events) == list(whole.events[:90])
    assert [note.split(":")[1] for note in found.damage] == ["51", "92"]


def test_printed_it_is_the_closing_table(result: adpkv.Result) -> None:
    text = str(result)
    assert text.splitlines()[0].startswith("KV blocks")
    assert "time to first token" in text
    assert text.splitlines()[-1].startswith("completed: 20 of 20 requests completed")
    assert repr(result).startswith("<Result of quickstart: completed: 20 of 20")
    assert result._repr_markdown_().count("\n| :--- | ---: |") == 5
    assert result._repr_html_().count("<table>") == 5


def test_what_a_run_says_is_no_markup(result: adpkv.Result) -> None:
    odd = {"kind": "leak", "rank": 1, "at_s": 0.5, "detail": "<script>|*"}
    summary = {**result.to_dict(), "violations": [odd]}
    assert "&lt;script&gt;" in html(summary)
    assert "<script" not in html(summary)
    assert "\\<script>\\|\\*" in markdown(summary)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: adpkv.load("quikstart"), "did you mean quickstart"),
        (lambda: adpkv.load(3), "not int"),  # type: ignore[arg-type]
        (lambda: adpkv.load("a\0b"), "is no path"),
        (lambda: adpkv.load({1: 2}), "1: is not known here"),  # type: ignore[dict-item]
        (lambda: adpkv.load({"topology": {}}), "topology.context: is required"),
        (lambda: adpkv.load("quickstart", set={"workload.rat": 4}), "did you mean rate.*from set"),
        (lambda: adpkv.load("quickstart", set={4: 4}), "must be text"),  # type: ignore[dict-item]
        (lambda: adpkv.load("quickstart", set=["a=4"]), "not list"),  # type: ignore[arg-type]
        (lambda: adpkv.load("quickstart", set={"seed": object()}), "seed: must be a whole number"),
        (lambda: adpkv.simulate("quickstart", seed=-1), "seed: must be at least 0"),
        (lambda: adpkv.simulate("quickstart", out="/proc/none"), "cannot write here"),
        (lambda: adpkv.simulate("quickstart", out="tests"), "which no run wrote"),
        (lambda: adpkv.run("quickstart", ranks=3), "has 8 ranks, not 3"),
        (lambda: adpkv.simulate("quickstart", set="seed=1", seed=2), "not str"),  # type: ignore[arg-type]
        (lambda: adpkv.run("quickstart", timeout_s="1"), "^timeout_s '1': must be a number"),  # type: ignore[arg-type]
        (lambda: adpkv.run("quickstart", timeout_s=float("nan")), "^timeout_s nan: must be above"),
        (lambda: adpkv.sweep("quickstart", jobs="x"), "^jobs 'x': must be a whole number"),  # type: ignore[arg-type]
        (lambda: adpkv.sweep("quickstart", jobs=1.5), "^jobs 1.5: must be a whole number"),  # type: ignore[arg-type]
        (lambda: adpkv.sweep("quickstart", limit_s="1s"), "^limit_s '1s': must be a number"),  # type: ignore[arg-type]
        (lambda: adpkv.sweep("quickstart", limit_s=-1), "^limit_s -1: must be above 0"),
        (lambda: adpkv.sweep("quickstart", world="mp"), "^world 'mp': must be 'virtual' or 'mpi'"),  # type: ignore[arg-type]
        (lambda: adpkv.sweep("quickstart", on_progress=3), "^on_progress 3: must be what can"),  # type: ignore[arg-type]
        (lambda: adpkv.write_report(3), "not int"),  # type: ignore[arg-type]
        (lambda: adpkv.write_report("x", format="svg", plots=3), "^plots 3: must be a list"),  # type: ignore[arg-type]
        (
            lambda: adpkv.write_report("x", format="svg", plots="ttft"),
            "^plots 'ttft': must be a list",
        ),
        (lambda: adpkv.load_run("none"), "no such folder"),
        (lambda: adpkv.load_run("tests"), "no run's"),
        (lambda: adpkv.load_run(None), "is no path"),  # type: ignore[arg-type]
    ],
)
def test_mistakes_are_errors_of_one_family(call, told: str) -> None:
    with pytest.raises(adpkv.UsageError, match=told) as found:
        call()
    assert isinstance(found.value, adpkv.AdpkvError)


def test_a_program_that_a_historical_policy_ends_is_an_error_and_leaves_its_folder(
    tmp_path: Path,
) -> None:
    for out in (None, tmp_path / "out"):
        with pytest.raises(RankProgramError, match="there is a block for the dummy"):
            adpkv.simulate("regressions/14-refused-dummy", out=out)
    assert adpkv.load_run(tmp_path / "out").exit_code == ExitCode.INTERNAL_ERROR


def test_nothing_outside_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def outside() -> object:
        handlers = [signal.getsignal(number) for number in numbers]
        return handlers, gc.get_threshold(), gc.get_freeze_count(), dict(os.environ), os.getcwd()

    before, seen = outside(), []
    experiment = adpkv.load("quickstart", set=SMALL)

    def look(*_: object) -> None:
        seen.append(outside())

    from adpkv.worlds.virtual import in_memory

    in_memory.simulate_in_memory(experiment, on_progress=look)
    adpkv.simulate(experiment)
    adpkv.simulate(experiment, out=tmp_path / "out")
    assert [*seen, outside()] == [before] * (len(seen) + 1)
    assert seen
    assert os.listdir(tmp_path) == ["out"]


def test_several_at_once_from_threads_are_what_each_is_alone() -> None:
    alone = {seed: small(seed=seed) for seed in (5, 6)}
    seeds = [5, 6, 5, 6]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: small(seed=seed), seeds))
    for seed, one in zip(seeds, found, strict=True):
        assert one.events == alone[seed].events
    assert alone[5].events != alone[6].events


def test_importing_takes_nothing() -> None:
    count = "import sys, adpkv; print([m for m in sys.modules if m.startswith('adpkv.')])"
    asked = subprocess.run([sys.executable, "-c", count], capture_output=True, text=True)
    assert asked.stdout == "[]\n"
