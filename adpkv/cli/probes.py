"""What `adpkv doctor` looks at: one small function per finding, none of which can fail.

MPI is imported and started in processes of its own, because a broken one ends the process that
touches it.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Final

from adpkv.plugins import SLOTS, Slot, installed
from adpkv.worlds.mpi.launcher.repair import ALLOWANCES, BY_HAND

__all__ = ["Finding", "Need", "all_findings"]

PACKAGES: Final = ("msgspec", "numpy", "pydantic", "PyYAML", "rich", "typer")
"""What every command needs (pyproject.toml, `dependencies`)."""

LEAST_PYTHON: Final = (3, 11)
LEAST_SHARED_MEMORY_BYTES: Final = 64 << 20
LEAST_OPEN_FILES: Final = 1024
UNUSED: Final = "this version does not use it"
MOST_TRIAL_RANKS: Final = 32
"""The trial starts one rank more than there are cores, but not hundreds."""

PROBE_TIMEOUT_S: Final = 30.0

GET_MPI: Final = "pip install 'adpkv[mpi]', or mpi4py and your cluster's MPI"
ALLOW_MPIRUN: Final = f"adpkv doctor --repair allows it for good; by hand: {BY_HAND}"
LIBRARY_VERSION: Final = (
    "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI;"
    " print(mpi4py.__version__ + ', ' + MPI.Get_library_version().splitlines()[0].split(',')[0])"
)


class Need(StrEnum):
    """Which command does not work without a finding."""

    EVERYTHING = "everything"
    RUN = "adpkv run"
    NOTHING = "nothing"
    UNUSED = "nothing of this version"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `hint` says how to get it where it is not fine."""

    name: str
    fine: bool
    found: str
    need: Need
    hint: str = ""


def all_findings() -> list[Finding]:
    """Look at everything; takes a second or two because ranks are really started."""
    return [
        _python(),
        *map(_package, PACKAGES),
        _mpi(),
        _mpirun(),
        _http(),
        *map(_plugins, SLOTS),
        _transport("NIXL", ("nixl_cu13", "nixl_cu12", "nixl"), "pip install --no-deps nixl-cu12"),
        _transport("UCX", ("ucxx",), "pip install ucxx-cu12"),
        _gpu(),
        _shared_memory(),
        *_limits(),
        _cores(),
    ]


def _python() -> Finding:
    wanted = ".".join(map(str, LEAST_PYTHON))
    fine = sys.version_info >= LEAST_PYTHON
    return Finding(
        "Python", fine, platform.python_version(), Need.EVERYTHING, f"Python {wanted} or newer"
    )


def _package(name: str) -> Finding:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, False, "missing", Need.EVERYTHING, f"pip install {name}")
    return Finding(name, True, version, Need.EVERYTHING)


def _mpi() -> Finding:
    said, error = _asked([sys.executable, "-c", LIBRARY_VERSION])
    if error:
        missing = "No module named 'mpi4py'" in error
        return Finding("MPI", False, "missing" if missing else error, Need.RUN, GET_MPI)
    return Finding("MPI", True, f"mpi4py {said}", Need.RUN)


def _mpirun() -> Finding:
    """Whether `adpkv run` can start ranks, and whether the mpirun that a person types can."""
    starter, typed = _starter(), shutil.which("mpirun")
    if starter is None:
        return Finding("mpirun", False, "missing", Need.RUN, GET_MPI)
    ranks = min(_core_count() + 1, MOST_TRIAL_RANKS)
    who = "as root" if os.geteuid() == 0 else "as this user"
    tried = f"{ranks} ranks on {_core_count()} cores {who}"
    # `adpkv run` gives the allowances itself.
    error = _trial(starter, ranks, ALLOWANCES)
    if error:
        return Finding("mpirun", False, f"cannot start {tried}: {error}", Need.RUN, GET_MPI)
    if typed is None:
        beside = f"adpkv run starts {tried}; no mpirun on the PATH"
        hint = f"export PATH={Path(starter).parent}:$PATH, for mpirun -n N adpkv run FILE"
        return Finding("mpirun", False, beside, Need.NOTHING, hint)
    if _trial(typed, ranks, {}):
        found = f"adpkv run starts {tried}; {typed} by hand refuses them"
        return Finding("mpirun", False, found, Need.NOTHING, ALLOW_MPIRUN)
    return Finding("mpirun", True, f"starts {tried}", Need.RUN)


def _starter() -> str | None:
    """What `adpkv run` starts ranks with; mpi4py, which it needs too, is another finding."""
    from adpkv.worlds.mpi.launcher.launch import mpirun_path

    return mpirun_path()


def _trial(mpirun: str, ranks: int, allowances: Mapping[str, str]) -> str:
    """Start so many ranks of a program that prints a word; what was wrong, empty if nothing."""
    command = [mpirun, "-n", str(ranks), sys.executable, "-c", "print('here')"]
    said, error = _asked(command, allowances)
    heard = said.count("here")
    return error or ("" if heard == ranks else f"{heard} of {ranks} ranks were heard")


def _http() -> Finding:
    name, hint = "prometheus-client", "pip install 'adpkv[http]', for observe.http"
    try:
        return Finding(name, True, metadata.version(name), Need.NOTHING)
    except metadata.PackageNotFoundError:
        return Finding(name, False, "missing", Need.NOTHING, hint)


def _plugins(slot: Slot) -> Finding:
    """What installed packages offer for a key of the experiment. Importing them is left to the run
    that names them: their code is not ours."""
    entries = [entry for same_name in installed(slot).values() for entry in same_name]
    offered = [f"{entry.name} = {entry.value}" for entry in entries]
    found = f"{', '.join(offered)} (not imported here)" if offered else "none installed"
    return Finding(slot.group, True, f"{slot.key}: {found}", Need.NOTHING)


def _transport(name: str, modules: Sequence[str], get: str) -> Finding:
    """A transport that this version does not use: whether it is installed, which is never wrong."""
    found = next((module for module in modules if find_spec(module)), None)
    if found is None:
        return Finding(name, True, f"not installed; {UNUSED}", Need.UNUSED, get)
    _, error = _asked([sys.executable, "-c", f"import {found}"])
    state = f"installed, but cannot be imported: {error}" if error else "installed, importable"
    return Finding(name, True, f"{found} {state}; {UNUSED}", Need.UNUSED, get)


def _gpu() -> Finding:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("GPU", True, f"no nvidia-smi; {UNUSED}", Need.UNUSED)
    said, error = _asked([tool, "--query-gpu=name,memory.total", "--format=csv,noheader"])
    found = f"nvidia-smi: {error}" if error else said.replace("\n", "; ")
    return Finding("GPU", True, f"{found}; {UNUSED}", Need.UNUSED)


def _shared_memory() -> Finding:
    hint = f"at least {_size(LEAST_SHARED_MEMORY_BYTES)}; in a container: --shm-size=1g"
    try:
        usage = shutil.disk_usage("/dev/shm")
    except OSError as error:
        return Finding("/dev/shm", False, f"none: {error.strerror}", Need.NOTHING, hint)
    found = f"{_size(usage.free)} free of {_size(usage.total)}"
    fine = usage.free >= LEAST_SHARED_MEMORY_BYTES
    return Finding("/dev/shm", fine, found, Need.NOTHING, hint)


def _limits() -> Iterator[Finding]:
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    fine = files == resource.RLIM_INFINITY or files >= LEAST_OPEN_FILES
    hint = f"ulimit -n {LEAST_OPEN_FILES}"
    yield Finding("open files", fine, _limit(files, str(files)), Need.NOTHING, hint)
    locked, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    yield Finding("locked memory", True, _limit(locked, _size(locked)), Need.NOTHING)


def _cores() -> Finding:
    found = f"{_core_count()}; more ranks than cores work, but slower"
    return Finding("cores", True, found, Need.NOTHING)


def _core_count() -> int:
    return len(os.sched_getaffinity(0))


def _limit(limit: int, text: str) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else text


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count >> 20} MiB"


def _asked(
    command: Sequence[str], more_environment: Mapping[str, str] = MappingProxyType({})
) -> tuple[str, str]:
    """(what it printed, what was wrong): the second is empty if the command succeeded."""
    try:
        ended = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_TIMEOUT_S,
            env={**os.environ, **more_environment},
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    said = ended.stdout.strip()
    if ended.returncode == 0:
        return said, ""
    complaint = ended.stderr.strip().splitlines() or [f"ended with {ended.returncode}"]
    return said, complaint[-1]
