"""What `adpkv doctor` looks at: one small function per finding, none of which can fail.

MPI is imported and started in processes of its own, because a broken one ends the process that
touches it.
"""

from __future__ import annotations

import os
import platform
import resource
import shlex
import shutil
import sys
import tracemalloc
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from adpkv import huge_pages
from adpkv.build import build
from adpkv.cli.probe_ports import port_findings
from adpkv.cli.probing import Finding, Need, asked
from adpkv.plugins import SLOTS, Slot, installed
from adpkv.worlds.mpi.launcher.repair import ALLOWANCES, by_hand

__all__ = ["Finding", "Need", "all_findings"]

PACKAGES: Final = ("msgspec", "numpy", "pydantic", "PyYAML", "rich", "typer")
"""What every command needs (pyproject.toml, `dependencies`)."""

LEAST_PYTHON: Final = (3, 11)
LEAST_SHARED_MEMORY_BYTES: Final = 64 << 20
LEAST_OPEN_FILES: Final = 1024
HUGE_PAGES: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")
MOST_TRIAL_RANKS: Final = 32
"""The trial starts one rank more than there are cores, but not hundreds."""

GET_MPI: Final = "pip install 'adpkv[mpi]', or mpi4py and your cluster's MPI"
MPIRUN_ON_PATH: Final = "export PATH={folder}:$PATH, for mpirun -n N adpkv run FILE"
LIBRARY_VERSION: Final = (
    "import mpi4py; mpi4py.rc.initialize = False; from mpi4py import MPI;"
    " print(mpi4py.__version__ + ', ' + MPI.Get_library_version().splitlines()[0].split(',')[0])"
)


def all_findings() -> list[Finding]:
    """Look at everything; takes a second or two because ranks are really started."""
    return [
        _python(),
        _build(),
        _huge_pages(),
        *map(_package, PACKAGES),
        _mpi(),
        _mpirun(),
        _http(),
        *map(_plugins, SLOTS),
        *port_findings(),
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


def _build() -> Finding:
    told = {"python": "plain Python", "compiled": "compiled by mypyc"}
    return Finding("build", True, told[build()], Need.NOTHING)


def _huge_pages() -> Finding:
    """Whether the compiled build has them. It asks for them in this process as in any other."""
    name, gain = "huge pages", "for faster simulations"
    if build() != "compiled":
        return Finding(name, True, "not used by plain Python", Need.NOTHING)
    try:
        chosen = HUGE_PAGES.read_text("ascii")
    except OSError:
        chosen = "[never]"
    if "[never]" in chosen:
        hint = f"echo madvise > {HUGE_PAGES}, {gain}"
        return Finding(name, False, "none: the system gives none", Need.NOTHING, hint)
    if not huge_pages.use():
        if sys.version_info >= (3, 12):
            return Finding(name, True, "not used by Python 3.12 or newer", Need.NOTHING)
        if _memory_is_watched():
            found = "none: somebody looks at this process's memory"
            hint = f"unset PYTHONMALLOC PYTHONDEVMODE PYTHONTRACEMALLOC, {gain}"
            return Finding(name, False, found, Need.NOTHING, hint)
        found, hint = "none: no room for its range of addresses (ulimit -v)", "ulimit -v unlimited"
        return Finding(name, False, found, Need.NOTHING, f"{hint}, {gain}")
    return Finding(name, True, "used for a simulation's memory", Need.NOTHING)


def _memory_is_watched() -> bool:
    """Whether the allocator stays what it is for those who look at it (`huge_pages.c`)."""
    asked = os.environ.get("PYTHONMALLOC") or sys.flags.dev_mode
    return bool(asked) or tracemalloc.is_tracing()


def _package(name: str) -> Finding:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, False, "missing", Need.EVERYTHING, f"pip install {name}")
    return Finding(name, True, version, Need.EVERYTHING)


def _mpi() -> Finding:
    said, error = asked([sys.executable, "-c", LIBRARY_VERSION])
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
        hint = MPIRUN_ON_PATH.format(folder=shlex.quote(str(Path(starter).parent)))
        return Finding("mpirun", False, beside, Need.NOTHING, hint)
    if _trial(typed, ranks, {}):
        found = f"adpkv run starts {tried}; {typed} by hand refuses them"
        hint = f"adpkv doctor --repair allows it for good; by hand: {by_hand()}"
        return Finding("mpirun", False, found, Need.NOTHING, hint)
    return Finding("mpirun", True, f"starts {tried}", Need.RUN)


def _starter() -> str | None:
    """What `adpkv run` starts ranks with; mpi4py, which it needs too, is another finding."""
    from adpkv.worlds.mpi.launcher.mpirun import mpirun_path

    return mpirun_path()


def _trial(mpirun: str, ranks: int, allowances: Mapping[str, str]) -> str:
    """Start so many ranks of a program that prints a word; what was wrong, empty if nothing."""
    command = [mpirun, "-n", str(ranks), sys.executable, "-c", "print('here')"]
    said, error = asked(command, allowances)
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


def _gpu() -> Finding:
    tool = shutil.which("nvidia-smi")
    hint = "memory cuda and model.device cuda need one; adpkv simulate does not"
    if tool is None:
        return Finding("GPU", False, "none seen: there is no nvidia-smi", Need.NOTHING, hint)
    said, error = asked([tool, "--query-gpu=name,memory.total", "--format=csv,noheader"])
    found = f"none seen: nvidia-smi: {error}" if error else said.replace("\n", "; ")
    return Finding("GPU", not error, found, Need.NOTHING, hint)


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
