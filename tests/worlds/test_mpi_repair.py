"""`adpkv doctor --repair`: what it writes, that it does so once, and whose it leaves."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adpkv.cli.app import app
from adpkv.errors import UsageError
from adpkv.worlds.mpi.launcher import repair, segments


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An environment whose mpirun says how it was called."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "etc").mkdir()
    real = tmp_path / "bin" / "mpirun"
    real.write_text('#!/bin/sh\necho "real $* root=${OMPI_ALLOW_RUN_AS_ROOT:-no}"\nexit 7\n')
    real.chmod(0o755)
    (tmp_path / "etc" / "prte-mca-params.conf").write_text("# comment\nother = 1\n")
    return tmp_path


def test_each_setting_is_made_once_and_nothing_else_is_lost(prefix: Path) -> None:
    assert [repair.make_setting(prefix, each) for each in repair.SETTINGS] == [True, True]
    assert [repair.make_setting(prefix, each) for each in repair.SETTINGS] == [False, False]
    lines = (prefix / "etc" / "prte-mca-params.conf").read_text().splitlines()
    assert lines[:2] == ["# comment", "other = 1"]
    assert lines.count("rmaps_default_mapping_policy = :oversubscribe") == 1
    assert "btl = ^ofi" in (prefix / "etc" / "openmpi-mca-params.conf").read_text().splitlines()


def test_a_setting_that_somebody_made_stays(prefix: Path) -> None:
    path = prefix / "etc" / "prte-mca-params.conf"
    path.write_text("rmaps_default_mapping_policy = :nooversubscribe\n")
    assert not repair.make_setting(prefix, repair.SETTINGS[0])
    assert path.read_text() == "rmaps_default_mapping_policy = :nooversubscribe\n"


def test_the_wrapper_keeps_the_real_mpirun_and_its_exit_code(prefix: Path) -> None:
    assert repair.wrap_mpirun(prefix)
    assert not repair.wrap_mpirun(prefix)
    found = subprocess.run(
        [prefix / "bin" / "mpirun", "-n", "2", "a b"], capture_output=True, text=True, timeout=20
    )
    allowed = "1" if os.geteuid() == 0 else "no"
    assert found.stdout == f"real -n 2 a b root={allowed}\n"
    assert found.returncode == 7


def test_the_wrapper_gives_a_home_to_who_has_none(prefix: Path) -> None:
    repair.wrap_mpirun(prefix)
    (prefix / "bin" / "mpirun.openmpi").write_text('#!/bin/sh\necho "home=$HOME"\n')
    for told, home in ({"HOME": "/somebody"}, "/somebody"), ({}, "/"), ({"HOME": ""}, "/"):
        found = subprocess.run(
            [prefix / "bin" / "mpirun"],
            env={"PATH": os.environ["PATH"], **told},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert found.stdout == f"home={home}\n"


def test_what_the_wrapper_says_is_over_with_the_job(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads its output waits for nobody else, such as its watch, which here sleeps for long."""
    repair.wrap_mpirun(prefix)
    (prefix / "bin" / "mpirun.openmpi").write_text(
        f"#!/bin/sh\nuntil [ -e '{prefix}/slept' ]; do :; done\n"
    )
    slow = prefix / "bin" / "sleep"
    slow.write_text(
        f"#!/bin/sh\necho $$ >'{prefix}/pid'\ntouch '{prefix}/slept'\nexec {SLEEP} 99\n"
    )
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{prefix}/bin:{os.environ['PATH']}")
    try:
        subprocess.run([prefix / "bin" / "mpirun"], capture_output=True, timeout=60, check=True)
    finally:
        os.kill(int((prefix / "pid").read_text()), signal.SIGKILL)


SLEEP = shutil.which("sleep")


OUTLIVES = f"""#!{sys.executable}
import os, subprocess, sys, time
from pathlib import Path
file, agreed, outlives_s = sys.argv[1:]
Path(file).write_text(str(os.getpid()))
folder = Path(os.environ["PRTE_MCA_prte_local_tmpdir_base"]) / f"ompi.{{os.getpid()}}"
folder.mkdir()
subprocess.run(["sleep", "1.2"])
if agreed:
    (folder / "adpkv-exit-code").write_text(agreed)
time.sleep(float(outlives_s))
sys.exit(9)
"""


@pytest.mark.parametrize(
    ("agreed", "outlives_s", "code"), [("75", 600, 75), ("", 3, 9), ("75", 0, 9)]
)
def test_an_mpirun_that_outlives_its_ranks_ends_as_they_agreed(
    prefix: Path, agreed: str, outlives_s: int, code: int
) -> None:
    """The real one does so once in many jobs. Whose ranks have agreed on nothing is left alone."""
    (prefix / "bin" / "mpirun").write_text(OUTLIVES)
    repair.wrap_mpirun(prefix)
    wrapper = prefix / "bin" / "mpirun"
    wrapper.write_text(wrapper.read_text().replace("-ge 5 ]", "-ge 1 ]"))
    call = [prefix / "bin" / "mpirun", prefix / "pid", agreed, str(outlives_s)]
    found = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert found.returncode == code
    assert not Path(f"/proc/{(prefix / 'pid').read_text().strip()}").exists()
    assert found.stdout == ""


KILLED = """#!/bin/sh
echo $$ >"$1"
until [ -e "$1.go" ]; do sleep 0.01; done
kill -KILL $$
"""


def test_the_shared_memory_of_a_killed_mpirun_is_removed(prefix: Path) -> None:
    (prefix / "bin" / "mpirun").write_text(KILLED)
    repair.wrap_mpirun(prefix)
    file = prefix / "pid"
    job = subprocess.Popen([prefix / "bin" / "mpirun", file])
    until_s = time.monotonic() + 60
    while not file.exists() or not file.read_text().strip():
        assert time.monotonic() < until_s
        time.sleep(0.01)
    mpirun = int(file.read_text())
    number = segments._job(f"prterun-{socket.gethostname()}-{mpirun}")
    left, others = (
        Path(f"{segments.SEGMENT}test.{os.geteuid()}.{one:x}.0") for one in (number, number ^ 1)
    )
    for path in (left, others):
        path.touch()
    file.with_name("pid.go").touch()
    assert job.wait(60) == 137
    there = left.exists(), others.exists()
    others.unlink()
    assert there == (False, True)


def test_an_upgrade_of_open_mpi_is_wrapped_again(prefix: Path) -> None:
    repair.wrap_mpirun(prefix)
    (prefix / "bin" / "mpirun").write_text("#!/bin/sh\necho newer\n")
    assert repair.wrap_mpirun(prefix)
    assert (prefix / "bin" / "mpirun.openmpi").read_text() == "#!/bin/sh\necho newer\n"


def test_a_repair_that_broke_off_is_completed(prefix: Path) -> None:
    real = (prefix / "bin" / "mpirun").rename(prefix / "bin" / "mpirun.openmpi")
    before = real.read_bytes()
    assert repair.wrap_mpirun(prefix)
    assert repair.MARK in (prefix / "bin" / "mpirun").read_text()
    assert real.read_bytes() == before


def test_without_mpirun_there_is_nothing_to_wrap(tmp_path: Path) -> None:
    assert not repair.wrap_mpirun(tmp_path)


# -- whose it is ---------------------------------------------------------------------------------


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without the wheel of Open MPI, and a PATH with nothing in it but its own."""

    def none(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", none)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    system = tmp_path / "system"
    system.mkdir()
    monkeypatch.setenv("PATH", str(system))
    return tmp_path


def install(folder: Path, says: str) -> Path:
    """An mpirun that says what it is."""
    folder.mkdir(exist_ok=True)
    tool = folder / "mpirun"
    tool.write_text(f"#!/bin/sh\necho '{says}'\n")
    tool.chmod(0o755)
    return tool


def test_no_mpi_is_said(bare: Path) -> None:
    with pytest.raises(UsageError, match="there is no MPI to repair"):
        repair.repaired()


def test_a_systems_open_mpi_stays_as_it_is_and_it_is_said_what_helps(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    tool = install(bare / "system", "mpirun (Open MPI) 4.1.4")
    before = tool.read_bytes()
    with pytest.raises(UsageError, match=r"stays as it is\.(.|\n)*export OMPI_ALLOW_RUN_AS_ROOT=1"):
        repair.repaired()
    assert tool.read_bytes() == before
    assert not (bare / "etc").exists()


def test_another_mpi_needs_no_repair(bare: Path) -> None:
    install(bare / "system", "HYDRA build details: Version: 5.0.2")
    assert repair.repaired() == [f"{bare}/system/mpirun is not Open MPI: nothing to repair"]


def test_a_conda_environments_own_is_repaired(bare: Path) -> None:
    tool = install(bare / "bin", "mpirun (Open MPI) 5.0.8")
    (bare / "bin" / "prterun").touch()
    with pytest.raises(UsageError, match="there is no MPI to repair"):
        repair.repaired()  # a prefix like /usr is nobody's environment
    (bare / "conda-meta").mkdir()
    assert len(repair.repaired()) == 3
    assert repair.MARK in tool.read_text()
    assert repair.repaired() == [f"Open MPI of {bare}: nothing to repair"]


def test_what_cannot_be_written_is_said_and_left_whole(
    prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(self: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(repair, "_own_prefix", lambda: prefix)
    monkeypatch.setattr(Path, "write_bytes", read_only)
    before = {path: path.read_bytes() for path in prefix.rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"cannot write .*\.new: Permission denied; whoever may"):
        repair.repaired()
    assert {path: path.read_bytes() for path in prefix.rglob("*") if path.is_file()} == before


def test_the_command_says_what_it_did(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repair, "_own_prefix", lambda: prefix)
    ended = CliRunner().invoke(app, ["doctor", "--repair"])
    assert ended.exit_code == 0
    assert ended.stdout.count("Open MPI: ") == 3
    assert "wrapper put before" in ended.stdout
    again = CliRunner().invoke(app, ["doctor", "--repair"])
    assert again.stdout == f"Open MPI of {prefix}: nothing to repair\n"


def test_this_environments_own_is_found() -> None:
    own = Path(sys.executable).with_name("mpirun").exists()
    assert repair._own_prefix() == (Path(sys.prefix) if own else None)
