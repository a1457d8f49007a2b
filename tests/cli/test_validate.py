"""`adpkv validate` and `adpkv schema`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adpkv.cli.app import app
from adpkv.errors import UsageError

FINE = """
name: tiny
topology: {context: {ranks: 2}, generation: {ranks: 3, instances: 2}}
workload: {kind: trace, path: TRACE}
"""
LINE = '{"timestamp": 0, "input_length": 9, "output_length": 2, "hash_ids": [1]}\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "trace.jsonl").write_text(LINE * 3)
    file = tmp_path / "fine.yaml"
    file.write_text(FINE.replace("TRACE", "trace.jsonl"))
    return file


def _validate(*argv: object) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["validate", *map(str, argv)])
    if isinstance(result.exception, UsageError):
        return result.stdout, str(result.exception)
    assert result.exit_code == 0, result.output
    return result.stdout, ""


def test_a_fine_file(file: Path) -> None:
    said, problems = _validate(file)
    first, second = said.splitlines()
    assert first == f"{file}: fine, 8 ranks (1 context x 2, 2 generation x 3), 3 requests"
    assert re.fullmatch(r"  a simulation takes [\d.]+ MB to [\d.]+ MB of memory", second)
    assert not problems


def test_one_that_was_named_is_called_by_its_name() -> None:
    assert _validate("quickstart")[0].startswith("quickstart: fine, 8 ranks ")


def test_what_misleads_is_said_beforehand(file: Path) -> None:
    said, problems = _validate(file, "--set", "faults=[{kind: stall, probability: 0.01}]")
    assert not problems
    assert "\n  advice: faults.0: a stall without `duration`" in said


def test_keys_without_effect_and_what_is_missing_here_are_noted(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "note: " not in _validate(file)[0]
    (tmp_path / "cupy.py").write_text("raise ImportError('libcuda.so.1: not found')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    sets = ("nixl_backend=UCX", "ucx_error_handling=false", "staging_slots=3", "device_piece=1MiB")
    words = [word for one in sets for word in ("--set", f"transceiver.{one}")]
    keys = [f"transceiver.{one.partition('=')[0]}" for one in sets]
    said, problems = _validate(file, *words)
    assert not problems
    noted = re.findall(r"^  note: (\S+) has no effect here", said, re.MULTILINE)
    assert noted == keys
    said, problems = _validate(file, *words, "--set", "kv_cache.memory=cuda")
    assert not problems
    noted = re.findall(r"^  note: (\S+) has no effect here", said, re.MULTILINE)
    assert noted == keys[:2], "the others are read with memory of a device"
    refused = "adpkv run would refuse it here: kv_cache.memory: cuda: CuPy cannot be imported"
    assert refused in said
    assert "pip install" in said
    assert "adpkv simulate" in said


def test_overrides_are_checked_too(file: Path) -> None:
    assert "fine, 9 ranks" in _validate(file, "--set", "topology.context.ranks=3")[0]
    assert "topology.context.ranks" in _validate(file, "--set", "topology.context.ranks=0")[1]


def test_a_bad_trace_line_is_a_problem(file: Path) -> None:
    (file.parent / "trace.jsonl").write_text(LINE + "{\n")
    assert f"{file.parent}/trace.jsonl:2:2: " in _validate(file)[1]


def test_all_files_are_looked_at(file: Path, tmp_path: Path) -> None:
    missing = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    said, problems = _validate(missing[0], file, missing[1])
    assert "fine.yaml: fine" in said
    assert all(str(path) in problems for path in missing)


def test_the_schema_is_json_with_every_section() -> None:
    result = CliRunner().invoke(app, ["schema"])
    assert result.exit_code == 0
    sections = set(json.loads(result.stdout)["properties"])
    assert {"name", "seed", "topology", "workload", "transceiver", "observe"} <= sections


def test_the_points_of_a_sweep_are_checked(file: Path) -> None:
    sweep = "sweep={vary: {kv_cache.blocks: [64, 128, 256]}, seeds: 2}"
    assert "  adpkv sweep: 3 points of 2 seeds, 6 runs\n" in _validate(file, "--set", sweep)[0]
    search = "sweep={vary: {workload.speed: 1..2}, points: 9, optimize: [min ttft_p99]}"
    assert "adpkv sweep: a search of 9 points of one seed" in _validate(file, "--set", search)[0]
    for wrong, told in (
        ("sweep={vary: {kv_cache.blocks: [64, few]}}", "[1 of 2 points, such as kv_cache.blocks="),
        (
            "sweep={vary: {kv_cache.block: [64]}}",
            "kv_cache.block: is not known here: did you mean blocks? (found 64, from sweep.vary)",
        ),
        (search.replace("ttft_p99", "joy"), "'joy' is no figure of a run"),
    ):
        said, problems = _validate(file, "--set", wrong)
        assert told in problems
        assert said == ""
