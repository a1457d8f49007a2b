"""DynoSim beside our simulation, with a stand-in in its place: whatever has its interface."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from adpkv.bench import catalogue
from adpkv.bench.catalogue import Settings, _bursts
from adpkv.bench.dynosim import DynoSim, cut
from adpkv.bench.trace import _processor, trace
from adpkv.bench.trace_runs import TraceRuns
from adpkv.config import load
from adpkv.errors import AdpkvError, UsageError

CONVERSATION = Path(__file__).parents[2] / "configs" / "conversation.yaml"
FEW = ["workload.path=sample", "workload.limit=5"]

REPLAYS = """
import json, types
def run_trace_replay(trace, **options):
    print("DynoSim says much before it is done")
    requests = [json.loads(line) for line in open(trace)]
    summary = {"completed_requests": len(requests), "num_requests": len(requests),
        "total_output_tokens": sum(options[f"{role}_engine_args"]["dp_size"]
            for role in ("prefill", "decode"))}
    return types.SimpleNamespace(summary=summary)
"""
"""Prints the ranks in place of the tokens."""


def _python(folder: Path, program: str) -> Path:
    """A Python that has only this in place of `dynamo.replay`."""
    package = folder / "dynamo" / "replay"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(program)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


def _trace(folder: Path, requests: int = 3) -> Path:
    path = folder / "some.jsonl"
    line = {"timestamp": 0, "input_length": 600, "output_length": 2, "hash_ids": [0, 1]}
    path.write_text(f"{json.dumps(line)}\n" * requests)
    return path


def test_both_run_in_turns_and_the_ratio_is_of_processor_time(tmp_path: Path) -> None:
    there = _trace(tmp_path)
    overrides = [f"workload.path={there}"]
    dynosim = DynoSim(_python(tmp_path, REPLAYS), there, load(CONVERSATION, overrides))
    runs = TraceRuns(CONVERSATION, overrides, dynosim=dynosim)
    found = {one.name: one for one in trace(runs, repetitions=2)}
    cpu = found["virtual trace, processor time"]
    assert cpu.reference_name == "DynoSim"
    assert cpu.reference is not None
    assert cpu.ratio == pytest.approx(cpu.value / cpu.reference)
    assert cpu.target.startswith("ratio <= ")
    assert "median of 2 whole processes; slowest" in cpu.note
    assert "DynoSim: 3 of 3 requests completed" in cpu.note
    assert (found["virtual trace, peak memory"].reference or 0) > 1
    assert found["virtual trace"].reference_name == "DynoSim"


def test_it_simulates_the_ranks_and_blocks_of_the_experiment(tmp_path: Path) -> None:
    there = _trace(tmp_path)
    experiment = load(CONVERSATION, [f"workload.path={there}"])
    said, whole = DynoSim(_python(tmp_path, REPLAYS), there, experiment).run()
    assert (said.completed, said.tokens) == (3, 8 + 8)
    assert whole.wall_s > 0
    assert whole.cpu_s > 0


def test_without_it_the_bench_says_why_and_how_to_get_it() -> None:
    cpu = _processor(TraceRuns(CONVERSATION, FEW).in_turns(1)[0], [], is_bound=True)
    assert cpu.reference is None
    assert cpu.target == ""
    assert "median of 1 whole process; slowest" in cpu.note
    assert "DynoSim not run: --dynosim names a Python that has it" in cpu.note
    assert "pip install --no-deps ai-dynamo" in cpu.note


def test_a_python_without_dynosim_is_refused(tmp_path: Path) -> None:
    experiment = load(CONVERSATION, FEW)
    with pytest.raises(UsageError, match=r"has no DynoSim\. In a virtual environment"):
        DynoSim(Path(sys.executable), _trace(tmp_path), experiment).run()
    with pytest.raises(UsageError, match="there is no such file"):
        DynoSim(tmp_path / "nowhere", _trace(tmp_path), experiment)
    text = tmp_path / "python"
    text.write_text("no program")
    with pytest.raises(UsageError, match="is no program"):
        DynoSim(text, _trace(tmp_path), experiment)
    text.chmod(0o755)
    with pytest.raises(UsageError, match="Exec format error"):
        DynoSim(text, _trace(tmp_path), experiment).run()


def test_what_goes_wrong_in_it_is_passed_on(tmp_path: Path) -> None:
    broken = _python(tmp_path, "def run_trace_replay(*_, **__): raise ValueError('no such field')")
    with pytest.raises(AdpkvError, match="no such field"):
        DynoSim(broken, _trace(tmp_path), load(CONVERSATION, FEW)).run()


def test_a_part_of_a_trace_is_cut_at_lines(tmp_path: Path) -> None:
    part = cut(_trace(tmp_path, requests=5), 2, tmp_path / "part.jsonl")
    assert len(part.read_text().splitlines()) == 2


def test_the_generated_trace_is_measured_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "QUICK_REQUESTS", 20)
    settings = Settings(quick=True, dynosim=_python(tmp_path, REPLAYS))
    found = {one.name: one for one in _bursts(settings)}
    assert "20 of 20 requests completed, 0 violations" in found["bursts"].note
    assert "DynoSim: 20 of 20" in found["bursts, processor time"].note
