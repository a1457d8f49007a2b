"""The wheel outside the checkout: what is in it, and the README's commands as they stand."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from adpkv.config.shipped import shipped
from tests.installed.conftest import BOUND_S, ROOT, Installed, activated, called

README = (ROOT / "README.md").read_text(encoding="utf-8")
REAL = "mpirun -n 8 adpkv run quickstart"
NOBODY = 65534
pytestmark = pytest.mark.usefixtures("real_runs")  # begun first, waited for last

NOBODY_CAN = "an ordinary user cannot be made here, or cannot read this environment"


def shown() -> list[tuple[str, list[str]]]:
    """The commands of the README, each with what it prints."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```(?:\w+)?\n(.*?)^```", README, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line.removeprefix("$ "), []))
            elif found and block.startswith("$ "):
                found[-1][1].append(line)
    return found


# -- what is in it -------------------------------------------------------------------------------


def test_it_has_the_experiments_and_the_wrapper_and_no_tests(installed: Installed) -> None:
    names = zipfile.ZipFile(installed.wheel).namelist()
    own = {one.name for one in shipped()}
    inside = {
        n.removeprefix("adpkv/configs/").removesuffix(".yaml") for n in names if "configs/" in n
    }
    assert inside == own
    assert {
        "adpkv/worlds/mpi/launcher/mpirun.sh",
        "adpkv/workload/sample.jsonl",
        "adpkv/py.typed",
    } <= set(names)
    assert not [name for name in names if "test" in name.split("/")[0]]


def test_it_is_the_wheel_that_runs(installed: Installed, tmp_path: Path) -> None:
    script = "import adpkv; print(adpkv.__file__)"
    said = called([installed.bin / "python", "-c", script], tmp_path, installed.bin).stdout
    assert Path(said.strip()).is_relative_to(installed.folder)


def test_every_command_that_needs_files_of_ours_has_them(
    installed: Installed, tmp_path: Path
) -> None:
    for line, expected in (
        ("adpkv configs", "regressions/20-silent-sender"),
        ("adpkv validate quickstart regressions/08-late-write", "fine, 8 ranks"),
        ("adpkv regress 1", "reproduced"),
        ("adpkv init mine", "mine.yaml: written"),
        ("adpkv validate mine.yaml", "mine.yaml: fine, 8 ranks"),
        ("adpkv simulate conversation --set workload.limit=5", "completed: 5 of 5 requests"),
        ("adpkv bench --only shares --quick", "share of"),
        ("adpkv supervise adpkv --version", "adpkv 0."),
    ):
        ended = called(shlex.split(line), tmp_path, installed.bin)
        assert ended.returncode == 0, f"{line}\n{ended.stderr}"
        assert expected in ended.stdout, line


# -- mpirun --------------------------------------------------------------------------------------


def test_its_mpirun_refuses_until_it_is_repaired(installed: Installed) -> None:
    """Or nothing below would show anything."""
    assert installed.refused.returncode != 0
    assert installed.repair.returncode == 0, installed.repair.stderr
    assert installed.repair.stdout.count("Open MPI: ") == 3
    again = called(["adpkv", "doctor", "--repair"], installed.folder, installed.bin)
    assert again.stdout.endswith("nothing to repair\n")


@dataclass(frozen=True)
class RealRuns:
    """The README's real run, started as several users at one time: each sleeps for ten seconds."""

    started: dict[str, subprocess.Popen[str]]
    reasons: dict[str, str]
    """Why one could not be started."""


@pytest.fixture(scope="module")
def real_runs(installed: Installed, mpirun: Path) -> Iterator[RealRuns]:
    started, reasons = {}, {}
    root = os.geteuid() == 0
    ordinary = as_ordinary_user(installed.bin / "python")
    for who, path, prefix, reason in (
        ("root, wheel", installed.bin, [], "" if root else "these tests are not run as root"),
        ("not root, wheel", installed.bin, ordinary, "" if ordinary is not None else NOBODY_CAN),
        ("clone", mpirun.parent, [], ""),
    ):
        if reason:
            reasons[who] = reason
            continue
        folder = installed.folder / who.replace(", ", "-").replace(" ", "-")
        folder.mkdir()
        folder.chmod(0o777)
        started[who] = subprocess.Popen(
            [*(prefix or []), *shlex.split(REAL)],
            cwd=folder,
            env=activated(path) | {"HOME": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    yield RealRuns(started, reasons)
    for job in started.values():
        if job.poll() is None:
            job.terminate()
            job.communicate(timeout=BOUND_S)


def as_ordinary_user(python: Path) -> list[str] | None:
    """What starts a command as an ordinary user; nothing where we are one, None if it cannot be.

    Root becomes nobody, or where nobody may read this environment, a user of a namespace, to whom
    root's files belong: neither the system nor Open MPI takes that one for root.
    """
    if os.geteuid() != 0:
        return []
    look = "import os, adpkv, numpy, mpi4py; assert os.geteuid() != 0"
    for prefix in (
        ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"],
        ["unshare", "--user", "--map-user=1000", "--map-group=1000"],
    ):
        # By a shell, which has no rights of root's any more when it looks.
        tried = [*prefix, "sh", "-c", f"{python} -c '{look}' && true"]
        if shutil.which(prefix[0]) and not subprocess.run(tried, cwd="/", check=False).returncode:
            return prefix
    return None


# -- the other commands of the README ------------------------------------------------------------


@pytest.mark.parametrize("where", ["wheel", pytest.param("clone", marks=pytest.mark.campaign)])
def test_what_the_readme_shows_can_be_typed(
    installed: Installed, mpirun: Path, where: str, tmp_path: Path
) -> None:
    path = installed.bin if where == "wheel" else mpirun.parent
    commands = [(line, lines) for line, lines in shown() if line != REAL]
    assert len(commands) >= 4
    for line, lines in commands:
        ended = called(shlex.split(line), tmp_path, path)
        stuck = "regressions/" in line
        assert ended.returncode == (3 if stuck else 0), f"{line}\n{ended.stderr}"
        assert_in_order(lines, ended.stderr if stuck else ended.stdout)


def plain(line: str) -> str:
    """Without what differs from run to run, and without the width of columns."""
    return " ".join(re.sub(r"\(\d+\.\d s\)|runs/quickstart-[\d-]+", "", line).split())


def assert_in_order(lines: list[str], said: str) -> None:
    """What the README shows is what was said, but for what it leaves out with `...`."""
    rest = iter([plain(line) for line in said.splitlines()])
    for line in lines:
        if plain(line) not in ("...", ""):
            assert plain(line) in rest, f"the README shows what nobody says: {line}\n{said}"


# -- last, because it takes longest --------------------------------------------------------------


@pytest.mark.parametrize("who", ["root, wheel", "not root, wheel", "clone"])
def test_the_real_run_works_as_written(real_runs: RealRuns, who: str) -> None:
    assert REAL in dict(shown())
    if who in real_runs.reasons:
        pytest.skip(real_runs.reasons[who])
    said, complaints = real_runs.started[who].communicate(timeout=BOUND_S)
    assert real_runs.started[who].returncode == 0, complaints
    assert "completed: 193 of 200 requests completed, 7 cancelled" in said
    assert "no violation, nothing leaked." in said
    assert "Traceback" not in complaints
