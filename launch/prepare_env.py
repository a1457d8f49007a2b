"""Prepares a virtual environment for `mpirun -n 8 adpkv run ...` without further flags.

Run by `make setup` with the environment's own Python, after its packages are installed:

- `etc/prte-mca-params.conf` gets the line that allows more ranks than cores. Open MPI refuses
  otherwise, and a flag on each command line is what this avoids.
- `bin/mpirun` becomes `launch/mpirun.sh`, for root and for Ctrl-C (it says why); the real one
  stays beside it as `bin/mpirun.openmpi`.

Doing it twice changes nothing; after an upgrade of Open MPI it mends what the upgrade replaced.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

__all__ = ["MARK", "allow_oversubscription", "main", "wrap_mpirun"]

MARK = "# adpkv-mpirun:"
"""In the second line of the wrapper: tells it from the real mpirun."""

SETTING = "rmaps_default_mapping_policy"
WRAPPER = Path(__file__).with_name("mpirun.sh")


def allow_oversubscription(prefix: Path) -> bool:
    """Write the setting into the environment's Open MPI, unless one is there. True if written."""
    path = prefix / "etc" / "prte-mca-params.conf"
    lines = path.read_text().splitlines() if path.exists() else []
    if any(line.split("=")[0].strip() == SETTING for line in lines):
        return False
    path.parent.mkdir(exist_ok=True)
    lines += [
        "",
        "# Written by adpkv's make setup: more ranks than cores are welcome.",
        f"{SETTING} = :oversubscribe",
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
    if allow_oversubscription(prefix):
        print("Open MPI: more ranks than cores are allowed")
    if wrap_mpirun(prefix):
        print("Open MPI: wrapper put before mpirun (root, Ctrl-C)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
