"""`adpkv doctor`: what is here and what is missing, and that a missing thing is said."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adpkv.cli import probes
from adpkv.cli.app import app
from adpkv.cli.probes import Finding, Need, all_findings

PLAIN_MPIRUN = "for i in $(seq $2); do echo here; done\n"
REFUSING_MPIRUN = f'[ -n "$OMPI_ALLOW_RUN_AS_ROOT" ] || exit 1\n{PLAIN_MPIRUN}'
BROKEN_MPIRUN = "echo no such daemon >&2; exit 7\n"


def _found(name: str) -> Finding:
    return next(finding for finding in all_findings() if finding.name == name)


def _install_mpirun(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    tool = folder / "mpirun"
    tool.write_text(f"#!/bin/sh\n{text}")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.delenv("OMPI_ALLOW_RUN_AS_ROOT", raising=False)


def _as_json() -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_this_machine_can_simulate() -> None:
    code, said = _as_json()
    assert code == 0
    assert said["simulate"] is True
    names = {finding["name"] for finding in said["findings"]}
    assert {
        "Python",
        "MPI",
        "mpirun",
        "prometheus-client",
        "NIXL",
        "UCX",
        "GPU",
        "/dev/shm",
        "open files",
    } <= names


def test_the_table_says_what_works() -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert "adpkv simulate: works" in result.stdout


def test_a_missing_package_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PACKAGES", ("no-such-package",))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 2
    assert "-> pip install no-such-package" in result.stdout
    assert "adpkv simulate: does not work, it lacks no-such-package" in result.stdout
    assert "adpkv run: does not work" in result.stdout


def test_without_mpi_simulate_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "LIBRARY_VERSION", "raise SystemExit('it crashed')")
    code, said = _as_json()
    assert (code, said["simulate"], said["run"]) == (0, True, False)
    mpi = next(finding for finding in said["findings"] if finding["name"] == "MPI")
    assert mpi["found"] == "it crashed"
    assert "adpkv[mpi]" in mpi["hint"]


@pytest.mark.parametrize(
    ("text", "found", "need"),
    [
        (PLAIN_MPIRUN, "starts ", Need.RUN),
        (REFUSING_MPIRUN, "refuses ", Need.NOTHING),
        (BROKEN_MPIRUN, "cannot start ", Need.RUN),
    ],
)
def test_mpirun_is_really_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, found: str, need: Need
) -> None:
    _install_mpirun(tmp_path, monkeypatch, text)
    finding = _found("mpirun")
    assert finding.found.startswith(found)
    assert finding.fine is (text == PLAIN_MPIRUN)
    assert finding.need is need


def test_a_small_limit_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "LEAST_OPEN_FILES", 1 << 40)
    monkeypatch.setattr(probes, "LEAST_SHARED_MEMORY_BYTES", 1 << 60)
    assert not _found("open files").fine
    assert not _found("/dev/shm").fine
