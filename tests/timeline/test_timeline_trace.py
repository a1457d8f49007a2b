"""`adpkv timeline` of simulations: what Perfetto is given, read back with its own messages."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adpkv.cli.app import app
from adpkv.config import parse
from adpkv.errors import ConfigError, UsageError
from adpkv.output import RunFolder
from adpkv.timeline.writing import Window, write_trace
from adpkv.worlds.virtual.run import simulate
from tests.timeline.readback import Trace, read_trace

pytest.importorskip("perfetto", reason="without perfetto: pip install 'adpkv[timeline]'")

Run = tuple[Path, dict[str, Any]]
"""Its folder and its summary."""

EXPERIMENT = {
    "name": "timeline",
    "seed": 3,
    "topology": {"context": {"ranks": 2}, "generation": {"ranks": 3}},
    "model": {"step_base": "5ms", "per_prefill_token": "20us"},
    "transceiver": {"progress_deadline": "2s", "transfer_timeout": "1s"},
    "workload": {
        "kind": "poisson",
        "rate": 100,
        "requests": 60,
        "prompt_tokens": {"min": 16, "max": 512},
        "output_tokens": {"min": 4, "max": 16},
        "cancel": {"probability": 0.1, "delay": {"min": "5ms", "max": "100ms"}},
    },
    "faults": [
        {"kind": "stall", "requests": [7], "duration": "4s"},
        {"kind": "sigstop", "ranks": [1], "after": "300ms", "duration": "50ms"},
    ],
    "observe": {"timeline": True},
}


def experiment(**changes: Any) -> Any:
    return parse({**EXPERIMENT, **changes}, "timeline.yaml")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("timeline") / "run"
    result = simulate(experiment(), out=folder)
    return folder, dict(result.summary)


@pytest.fixture(scope="module")
def trace(run: Run) -> Trace:
    return read_trace(write_trace(RunFolder(run[0])).path)


def test_every_slice_ends(trace: Trace) -> None:
    assert len(trace.slices) > 1000
    assert trace.unfinished == []


def test_tracks_have_the_names_of_what_they_show(trace: Trace) -> None:
    names = set(trace.names.values())
    assert {"context-0 (ranks 0-1)", "generation-1 (ranks 2-4)", "requests", "load"} <= names
    assert {f"rank {rank}" for rank in range(5)} <= names
    assert {f"request {number}" for number in range(60)} <= names
    assert {"transfers", "health", "open requests"} <= names


def test_steps_and_collectives_are_those_of_the_summary(trace: Trace, run: Run) -> None:
    summary = run[1]
    ranks = {track: name for track, name in trace.names.items() if name.startswith("rank ")}
    steps = Counter(ranks[one.track] for one in trace.of("step") if one.name == "step")
    utilisation = summary["utilisation"]
    assert {steps["rank 0"], steps["rank 1"]} == {utilisation["context-0"]["steps"]}
    assert {steps[f"rank {rank}"] for rank in (2, 3, 4)} == {utilisation["generation-1"]["steps"]}
    spent = sum(
        one.end_ns - one.begin_ns
        for one in trace.of("step")
        if one.name == "step" and ranks[one.track] == "rank 2"
    )
    # The small collectives of an iteration are shown before its step, and counted with it.
    small = 3 * 40_000 * utilisation["generation-1"]["steps"]
    share = utilisation["generation-1"]["step_share"]
    assert (spent + small) / 1e9 == pytest.approx(share * summary["simulated_s"], rel=1e-6)


def test_requests_take_as_long_as_the_summary_says(trace: Trace, run: Run) -> None:
    requests = [one for one in trace.of("request") if one.depth == 0]
    outcomes = Counter(one.args["outcome"] for one in requests)
    for outcome in ("completed", "cancelled", "timed_out", "failed"):
        assert outcomes[outcome] == run[1]["requests"][outcome]
    assert outcomes["cancelled"]
    whole = [one.end_ns - one.begin_ns for one in requests if one.args["outcome"] == "completed"]
    mean_s = run[1]["latency"]["e2e_s"]["mean"]
    assert sum(whole) / len(whole) / 1e9 == pytest.approx(mean_s, rel=1e-9)
    decode = [one.args["decode_ns"] for one in requests if one.args["outcome"] == "completed"]
    mean_s = run[1]["latency"]["decode_s"]["mean"]
    assert sum(decode) / len(decode) / 1e9 == pytest.approx(mean_s, rel=1e-9)


def test_transfers_lead_from_their_sender_to_the_kv(trace: Trace, run: Run) -> None:
    here = [one for one in trace.instants if one.name == "KV is here"]
    assert len(here) == run[1]["transfers"]["completed"]
    assert all(one.ends for one in here)
    sends = [one for one in trace.of("transfer") if one.name.startswith("sends KV")]
    assert len(sends) >= len(here)
    assert all(one.starts and one.ends for one in sends)


def test_an_arrow_leads_to_each_rank_that_waited_for_the_last(trace: Trace) -> None:
    waits = trace.of("imbalance")
    assert len(waits) > 50
    released = [one for one in trace.of("exchange") if one.ends]
    assert len(released) == len(waits)
    started = {flow: one for one in trace.of("exchange") for flow in one.starts}
    for wait in waits:
        (exchange,) = [
            one for one in released if one.track == wait.track and one.begin_ns == wait.end_ns
        ]
        last = started[exchange.ends[0]]
        assert trace.names[last.track] == wait.name.removeprefix("waits for ")
        assert last.begin_ns == wait.end_ns


def test_faults_pauses_and_health_are_shown(trace: Trace) -> None:
    assert any(one.name == "fault" for one in trace.instants)
    (pause,) = [one for one in trace.of("pause") if trace.names[one.track] == "rank 1"]
    assert pause.end_ns - pause.begin_ns >= 50_000_000
    assert any("unhealthy" in one.name for one in trace.of("health"))


def test_the_same_seed_gives_the_same_bytes(run: Run, tmp_path: Path) -> None:
    simulate(experiment(), out=tmp_path / "again")
    assert (tmp_path / "again/timeline/world.records").read_bytes() == (
        run[0] / "timeline/world.records"
    ).read_bytes()
    first = write_trace(RunFolder(run[0]), tmp_path / "a").path
    second = write_trace(RunFolder(tmp_path / "again"), tmp_path / "b").path
    assert first.read_bytes() == second.read_bytes()


def test_without_jumping_the_same_steps_are_shown(trace: Trace, tmp_path: Path) -> None:
    simulate(experiment(), out=tmp_path / "whole", jump=False)
    other = read_trace(write_trace(RunFolder(tmp_path / "whole")).path)

    def steps(one: Trace) -> set[tuple[str, int, int]]:
        return {
            (one.names[s.track], s.begin_ns, s.end_ns) for s in one.of("step") if s.name == "step"
        }

    assert steps(other) == steps(trace)


def test_a_window_has_only_what_was_there_then(run: Run, tmp_path: Path) -> None:
    window = Window(200_000_000, 300_000_000)
    found = read_trace(write_trace(RunFolder(run[0]), tmp_path / "w", window).path)
    assert found.unfinished == [] or all(one.category == "transfer" for one in found.unfinished)
    ranks = [one for one in found.of("step") if one.name == "step"]
    assert ranks
    assert all(one.begin_ns <= window.to_ns and one.end_ns >= window.from_ns for one in ranks)
    requests = [one for one in found.of("request") if one.depth == 0]
    assert 0 < len(requests) < 60
    assert all(one.begin_ns <= window.to_ns and one.end_ns >= window.from_ns for one in requests)


def test_too_many_slices_are_folded_then_cut_and_both_is_said(run: Run, tmp_path: Path) -> None:
    whole = write_trace(RunFolder(run[0]), tmp_path / "a")
    folded = write_trace(RunFolder(run[0]), tmp_path / "b", most_slices=4000)
    assert folded.slices < whole.slices
    assert folded.steps == whole.steps
    assert "as one" in folded.notes[0]
    assert read_trace(folded.path).unfinished == []
    cut = write_trace(RunFolder(run[0]), tmp_path / "c", most_slices=500)
    assert "until" in cut.notes[-1]
    assert sum(cut.steps.values()) < sum(whole.steps.values())
    assert read_trace(cut.path).unfinished == []


def test_a_run_that_got_stuck_shows_what_never_ended(tmp_path: Path) -> None:
    from adpkv.errors import StuckError

    stuck = experiment(
        faults=[{"kind": "sigstop", "ranks": [1], "after": "200ms", "duration": "60s"}],
        diagnosis={"hang_timeout": "2s"},
    )
    with pytest.raises(StuckError):
        simulate(stuck, out=tmp_path / "run")
    found = read_trace(write_trace(RunFolder(tmp_path / "run")).path)
    names = {found.names[one.track] for one in found.unfinished}
    assert {"rank 0", "rank 1"} <= names


def test_the_command_says_what_it_wrote_and_how_to_open_it(
    run: Run,
) -> None:
    done = CliRunner().invoke(app, ["timeline", str(run[0])])
    assert done.exit_code == 0, done.output
    assert "timeline.perfetto-trace" in done.output
    assert "ui.perfetto.dev" in done.output
    values = json.loads(CliRunner().invoke(app, ["timeline", str(run[0]), "--json"]).output)
    assert values["requests"] == 60
    assert values["steps"]["0"] == run[1]["utilisation"]["context-0"]["steps"]


def test_a_trace_that_goes_on_in_an_open_file_has_nothing_told_in_it(
    run: Run, tmp_path: Path
) -> None:
    with (tmp_path / "file").open("w") as file:
        argv = ["timeline", str(run[0]), "--out", f"/dev/fd/{file.fileno()}"]
        for more in [], ["--json"]:
            done = CliRunner().invoke(app, [*argv, *more])
            assert (done.exit_code, done.stdout) == (0, "")
            assert "/dev/fd/" in done.stderr


def test_bad_calls_are_refused_and_leave_nothing(run: Run, tmp_path: Path) -> None:
    simulate(experiment(observe={}), out=tmp_path / "without")
    with pytest.raises(UsageError, match=r"observe\.timeline=true"):
        write_trace(RunFolder(tmp_path / "without"))
    with pytest.raises(UsageError, match="no such folder"):
        write_trace(RunFolder(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"no/such/file: No such"):
        write_trace(RunFolder(run[0]), tmp_path / "no/such/file")
    with pytest.raises(UsageError, match=rf"{tmp_path}: Is a directory"):
        write_trace(RunFolder(run[0]), tmp_path)
    for argv in (["--from", "5"], ["--from", "2s", "--to", "1s"]):
        failed = CliRunner().invoke(app, ["timeline", str(run[0]), *argv])
        assert isinstance(failed.exception, UsageError)
    argv = ["timeline", str(run[0]), "--output", str(tmp_path / "beyond"), "--from", "1h"]
    beyond = CliRunner().invoke(app, argv).exception
    assert isinstance(beyond, UsageError)
    said = "nothing of the run is between 3600 s and the end: its ranks were at work from 0.000 s"
    assert str(beyond).startswith(said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["without"]


def test_a_rank_without_a_record_takes_nothing_of_the_others(run: Run, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run[0], copied)
    (copied / "timeline" / "world.records").write_bytes(b"")
    written = write_trace(RunFolder(copied))
    assert written.notes[0] == "world.records: empty, so nothing of it is shown"
    assert written.requests == 60


def test_a_timeline_needs_events() -> None:
    with pytest.raises(ConfigError, match=r"observe\.timeline: needs observe\.events"):
        experiment(observe={"timeline": True, "events": False})


def test_a_run_folder_with_a_timeline_is_used_again(tmp_path: Path) -> None:
    simulate(experiment(), out=tmp_path / "run")
    write_trace(RunFolder(tmp_path / "run"))
    simulate(experiment(observe={}), out=tmp_path / "run")
    assert not (tmp_path / "run/timeline").exists()
    assert not (tmp_path / "run/timeline.perfetto-trace").exists()


@pytest.mark.skipif(
    __import__("shutil").which("trace_processor_shell") is None,
    reason="no trace_processor_shell here: the package would fetch it from the network",
)
def test_the_trace_processor_finds_the_same(trace: Trace, run: Run) -> None:
    import shutil

    from perfetto.trace_processor import TraceProcessor, TraceProcessorConfig

    config = TraceProcessorConfig(bin_path=shutil.which("trace_processor_shell"))
    with TraceProcessor(trace=str(run[0] / "timeline.perfetto-trace"), config=config) as found:
        rows = list(found.query("select count(*) as n from slice where dur >= 0"))
        assert rows[0].n == len(trace.slices) + len(trace.instants)
        assert not list(found.query("select name from stats where severity='error' and value > 0"))
        flows = list(found.query("select count(*) as n from flow"))
        assert flows[0].n == sum(len(one.ends) for one in [*trace.slices, *trace.instants])


def test_a_start_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    def refuses(*_: object, **__: object) -> Any:
        raise UsageError("no")

    with pytest.raises(UsageError, match="no"):
        simulate(experiment(), out=tmp_path / "run", assemble=refuses)
    assert not (tmp_path / "run").exists()
