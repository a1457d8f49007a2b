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
