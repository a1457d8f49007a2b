"""`adpkv doctor`: what is here and what is missing, and that a missing thing is said."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from adpkv.cli import probes
from adpkv.cli.app import app
from adpkv.cli.probe_ports import port_findings
from adpkv.cli.probes import all_findings
from adpkv.cli.probing import Finding, Need
from adpkv.plugins import SLOTS
from tests.library.by_name import ENTRY_POINTS, install, site

__all__ = ["site"]

# What `adpkv run` starts ranks with is tried with the allowances, what is on the PATH without.
PLAIN_MPIRUN = "for i in $(seq $2); do echo here; done\n"
REFUSING_MPIRUN = f'[ -n "$OMPI_ALLOW_RUN_AS_ROOT" ] || exit 1\n{PLAIN_MPIRUN}'
SILENT_MPIRUN = "exit 0\n"
BROKEN_MPIRUN = "echo no such daemon >&2; exit 7\n"


def _found(name: str) -> Finding:
    return next(finding for finding in all_findings() if finding.name == name)


def _install_mpirun(folder: Path, text: str) -> None:
    folder.mkdir()
    tool = folder / "mpirun"
    tool.write_text(f"#!/bin/sh\n{text}")
    tool.chmod(0o755)


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
        "adpkv.workloads",
        "adpkv.transports",
        "transport nixl",
        "transport ucx",
        "memory cuda",
        "used unless named",
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
    assert "adpkv simulate: does not work here: no-such-package" in result.stdout
    assert "adpkv run: does not work" in result.stdout


def test_without_mpi_simulate_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "LIBRARY_VERSION", "raise SystemExit('it crashed')")
    code, said = _as_json()
    assert (code, said["simulate"], said["run"]) == (0, True, False)
    mpi = next(finding for finding in said["findings"] if finding["name"] == "MPI")
    assert mpi["found"] == "it crashed"
    assert "adpkv[mpi]" in mpi["hint"]


@pytest.mark.parametrize(
    ("started", "typed", "found", "need"),
    [
        (PLAIN_MPIRUN, PLAIN_MPIRUN, "starts ", Need.RUN),
        (REFUSING_MPIRUN, REFUSING_MPIRUN, "by hand refuses them", Need.NOTHING),
        (PLAIN_MPIRUN, BROKEN_MPIRUN, "by hand refuses them", Need.NOTHING),
        (PLAIN_MPIRUN, None, "no mpirun on the PATH", Need.NOTHING),
        (BROKEN_MPIRUN, PLAIN_MPIRUN, "cannot start ", Need.RUN),
        (SILENT_MPIRUN, PLAIN_MPIRUN, "0 of ", Need.RUN),
    ],
)
def test_mpirun_is_really_tried(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    started: str,
    typed: str | None,
    found: str,
    need: Need,
) -> None:
    """What `adpkv run` starts, and what somebody types, which may be another's."""
    own, path = tmp_path / "own", tmp_path / "path"
    _install_mpirun(own, started)
    monkeypatch.setattr(sys, "executable", str(own / "python"))
    if typed:
        _install_mpirun(path, typed)
        monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
    else:
        monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.delenv("OMPI_ALLOW_RUN_AS_ROOT", raising=False)
    finding = probes._mpirun()
    assert found in finding.found
    assert finding.fine is (found == "starts ")
    assert finding.need is need


@pytest.mark.parametrize("user", [0, 1000])
def test_what_to_export_is_what_this_user_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    """Whoever is not root need not allow root."""
    for folder, text in (("own", PLAIN_MPIRUN), ("path", BROKEN_MPIRUN)):
        _install_mpirun(tmp_path / folder, text)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "own" / "python"))
    monkeypatch.setenv("PATH", f"{tmp_path}/path:{os.environ['PATH']}")
    monkeypatch.setattr(os, "geteuid", lambda: user)
    hint = probes._mpirun().hint
    assert hint.endswith("PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe")
    assert ("OMPI_ALLOW_RUN_AS_ROOT=1" in hint) == (user == 0)


def test_what_can_be_used_here_is_said_and_how_to_get_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is installed, these two do not work: one is missing, one breaks."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "ucxx.py").write_text("raise ImportError('undefined symbol')")
    (tmp_path / "nixl_cu13.py").write_text("raise ImportError('no libucp')")
    (tmp_path / "cupy.py").write_text("raise SystemExit('it crashed')")
    findings = {finding.name: finding for finding in port_findings()}
    said = {
        "transport nixl": "no libucp",
        "transport ucx": "ucxx cannot be imported: ImportError: undefined symbol",
        "memory cuda": "it crashed",
    }
    for name, text in said.items():
        assert text in findings[name].found
        assert (findings[name].fine, findings[name].need) == (False, Need.NOTHING)
        assert "pip install" in findings[name].hint
        assert "pip install" not in findings[name].found
    used = "transport mpi and memory host, which work wherever MPI does"
    assert findings["used unless named"].found == used


def test_a_transport_that_works_here_is_named_with_its_versions() -> None:
    if find_spec("ucxx") is None:
        pytest.skip("no ucxx in this environment: pip install 'adpkv[ucx]'")
    *optional, used = port_findings()
    [ucx] = [finding for finding in optional if finding.name == "transport ucx"]
    assert ucx.fine
    assert re.fullmatch(r"UCXX [\d.]+ over UCX [\d.]+: can be named in .*", ucx.found)
    assert "here also: " in used.found


@pytest.mark.parametrize(
    ("build", "system", "uses", "found", "hint"),
    [
        ("python", "always", False, "not used by plain Python", ""),
        ("compiled", "always [madvise] never", True, "used for a simulation's memory", ""),
        ("compiled", "always madvise [never]", True, "none: the system gives none", "echo madvise"),
        ("compiled", None, True, "none: the system gives none", "echo madvise"),
        (
            "compiled",
            "always [madvise] never",
            False,
            "none: no room for its range of addresses (ulimit -v)",
            "ulimit -v unlimited",
        ),
    ],
)
def test_huge_pages_are_those_of_the_build_and_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    build: str, system: str | None, uses: bool, found: str, hint: str,
) -> None:  # fmt: skip
    file = tmp_path / "enabled"
    if system is not None:
        file.write_text(system)
    monkeypatch.setattr(probes, "HUGE_PAGES", file)
    monkeypatch.setattr(probes, "build", lambda: build)
    monkeypatch.setattr(probes.huge_pages, "use", lambda: uses)
    monkeypatch.setattr(probes, "_memory_is_watched", lambda: False)
    monkeypatch.setattr(probes.sys, "version_info", (3, 11))
    said = probes._huge_pages()
    assert (said.fine, said.found, said.need) == (not hint, found, Need.NOTHING)
    assert said.hint.startswith(hint)
    assert (str(file) in said.hint) is hint.startswith("echo")


@pytest.mark.parametrize("name", ["PYTHONMALLOC", "tracemalloc", "3.12"])
def test_whose_memory_is_watched_has_room_for_huge_pages_and_does_not_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file = tmp_path / "enabled"
    file.write_text("[always] madvise never")
    monkeypatch.setattr(probes, "HUGE_PAGES", file)
    monkeypatch.setattr(probes, "build", lambda: "compiled")
    monkeypatch.setattr(probes.huge_pages, "use", lambda: False)
    version = (3, 12) if name == "3.12" else (3, 11)
    monkeypatch.setattr(probes.sys, "version_info", version)
    monkeypatch.setattr(probes.tracemalloc, "is_tracing", lambda: name == "tracemalloc")
    if name == "PYTHONMALLOC":
        monkeypatch.setenv(name, "debug")
    said = probes._huge_pages()
    if name == "3.12":
        assert (said.fine, said.found) == (True, "not used by Python 3.12 or newer")
    else:
        assert (said.fine, said.found) == (False, "none: somebody looks at this process's memory")
        assert said.hint.startswith("unset PYTHONMALLOC")


def test_no_gpu_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    finding = probes._gpu()
    assert (finding.fine, finding.need) == (False, Need.NOTHING)
    assert finding.found == "none seen: there is no nvidia-smi"
    assert "adpkv simulate does not" in finding.hint


def test_a_small_limit_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "LEAST_OPEN_FILES", 1 << 40)
    monkeypatch.setattr(probes, "LEAST_SHARED_MEMORY_BYTES", 1 << 60)
    assert not _found("open files").fine
    assert not _found("/dev/shm").fine


def test_plugins_are_listed_by_what_they_are_for(site: Path) -> None:
    install(site, "another", ENTRY_POINTS.replace("co:Burst", "co:Other"))
    found = {slot.group: probes._plugins(slot).found for slot in SLOTS}
    assert found["adpkv.workloads"] == (
        "workload.kind: burst = burst_and_co:Burst, burst = burst_and_co:Other (not imported here)"
    )
    assert "last_rank = burst_and_co:LastRank" in found["adpkv.policies"]
    assert "burst_and_co" not in sys.modules


def test_where_there_is_no_plugin_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "installed", lambda slot: {})
    finding = probes._plugins(SLOTS[0])
    assert (finding.fine, finding.found) == (True, "workload.kind: none installed")
