"""`adpkv bench` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adpkv.bench import catalogue
from adpkv.bench.catalogue import Settings
from adpkv.bench.figure import Figure, figure
from adpkv.cli.app import app
from adpkv.errors import MissingPieceError, TraceError, UsageError


@pytest.fixture(autouse=True)
def two_benches(monkeypatch: pytest.MonkeyPatch) -> None:
    def fine(settings: Settings) -> list[Figure]:
        return [figure("fine", 1.0, "s", note="quick" if settings.quick else "full")]

    def missing(_: Settings) -> list[Figure]:
        raise MissingPieceError("there is no mpirun")

    monkeypatch.setattr(catalogue, "BENCHES", {"fine": fine, "missing": missing})


def test_what_cannot_be_measured_here_is_left_out_and_said() -> None:
    ended = CliRunner().invoke(app, ["bench", "--json"])
    said = json.loads(ended.stdout)
    assert [one["name"] for one in said["figures"]] == ["fine"]
    assert said["skipped"] == {"missing": "there is no mpirun"}


def test_what_was_asked_for_by_name_must_be_there() -> None:
    ended = CliRunner().invoke(app, ["bench", "--only", "missing"])
    assert isinstance(ended.exception, MissingPieceError)


@pytest.mark.parametrize("bench", [catalogue._executor, catalogue._transport])
def test_without_mpi_it_is_said_how_to_get_it(
    bench: catalogue.Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "find_spec", lambda _: None)
    with pytest.raises(MissingPieceError, match="pip install 'adpkv"):
        bench(Settings(quick=True))


def test_only_one_and_quick() -> None:
    ended = CliRunner().invoke(app, ["bench", "--only", "fine", "--quick"])
    assert ended.exit_code == 0
    assert "quick" in ended.stdout


def test_an_option_that_no_bench_reads_is_refused() -> None:
    for option, told in (
        ("--dynosim", "trace and bursts"),
        ("--trace", "trace, oracles and share"),
    ):
        ended = CliRunner().invoke(app, ["bench", "fine", option, "x"])
        assert str(ended.exception).startswith(f"{option} is only read by the benches {told}")
    sample = catalogue.PACKAGED
    assert CliRunner().invoke(app, ["bench", "--trace", str(sample)]).exit_code == 0


@pytest.mark.parametrize("option", ["--trace", "--dynosim"])
def test_what_is_not_there_is_said_before_anything_is_measured(option: str) -> None:
    ended = CliRunner().invoke(app, ["bench", option, "nowhere"])
    assert str(ended.exception) == f"{option} nowhere: there is no such file"
    assert isinstance(ended.exception, UsageError)
    assert "measuring" not in ended.output


def test_a_trace_that_cannot_be_read_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    trace.write_text("not JSON\n")
    ended = CliRunner().invoke(app, ["bench", "--trace", str(trace)])
    assert isinstance(ended.exception, TraceError)
    assert "measuring" not in ended.output


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    ended = CliRunner().invoke(app, ["bench", "--only", "speed"])
    assert isinstance(ended.exception, UsageError)
    assert str(ended.exception) == "there is no bench 'speed'; there are fine, missing"
